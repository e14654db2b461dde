"""What an instance holds wrong, or has lost, is made anew there from the other one, while
clients go on reading and writing."""

import random
import shutil
import time

import pytest

from beside import Beside
from compare import DEFAULT_DATABASE, converged, snapshot
from crash import arm, resume
from world import COLLECTIONS, wait_until

DIMENSION = 8
BOTH = pytest.mark.parametrize("victim", ["primary", "replica"])


def vectors(n, rng=random):
    return [[rng.uniform(-1, 1) for _ in range(DIMENSION)] for _ in range(n)]


def fill(c, first, n):
    ids = [f"item{k}" for k in range(first, first + n)]
    c.add(
        ids=ids,
        embeddings=vectors(n),
        documents=[f"text of {id}" if k % 3 else None for k, id in enumerate(ids)],
        metadatas=[{"n": k, "f": k / 3, "b": k % 2 == 0, "s": id} if k % 5 else None for k, id in enumerate(ids)],
    )


def lose(chroma, name):
    """Somebody deletes the collection on that server, behind the proxy's back."""
    chroma.http.delete(f"{COLLECTIONS}/{name}").raise_for_status()


def noticed(world, c):
    """A write is what the hole is found by."""
    c.upsert(ids=["probe"], embeddings=vectors(1))
    wait_until(lambda: world.proxy.log_contains("(lost, HTTP"), 20, "the hole is found")


def healed(world, timeout=60, drift=0):
    wait_until(lambda: world.proxy.status()["quarantine"] == [], timeout, "nothing is in quarantine")
    wait_until(lambda: world.proxy.status()["resync"] == [], timeout, "it was compared")
    content = converged(world, drift=drift)
    for pair, collections in content.items():
        if pair != "tenants":
            assert not [name for name in collections if name.startswith("ctd-")], "nothing is left over"
    return content


class Writers(Beside):
    """Clients that add, change and delete as long as they may, resting so many seconds after
    each write; every answer must be good. Of the items of `fill` those from 1000 on stay."""

    def __init__(self, world, name, clients=3, rest=0):
        super().__init__(clients)
        self.world, self.name, self.rest, self.writes = world, name, rest, 0

    def work(self, number):
        rng = random.Random(number)
        c = self.world.client().get_collection(self.name, embedding_function=None)
        mine, made = [], 0
        while not self.over.is_set():
            kind = rng.random()
            if kind < 0.4 or not mine:
                id = f"w{number}-{made}"
                made += 1
                c.add(ids=[id], embeddings=vectors(1, rng), metadatas=[{"a": made, "b": 1}])
                mine.append(id)
            elif kind < 0.6:
                c.update(ids=[rng.choice(mine)], metadatas=[{"a": None, "c": made}])
            elif kind < 0.75:
                c.upsert(ids=[rng.choice(mine)], embeddings=vectors(1, rng), documents=["again"])
            elif kind < 0.85:
                c.update(ids=[f"item{rng.randrange(1000)}"], metadatas=[{"touched": number}])
            elif kind < 0.9:
                c.delete(ids=[f"item{rng.randrange(1000)}"])
            else:
                id = mine.pop(rng.randrange(len(mine)))
                c.delete(ids=[id])
                if kind < 0.95:
                    c.add(ids=[id], embeddings=vectors(1, rng), documents=["once more"])
                    mine.append(id)
            self.writes += 1
            assert set(mine[-1:]) == set(c.get(ids=mine[-1:], include=[])["ids"])
            self.over.wait(self.rest)


@BOTH
def test_a_lost_collection_is_made_anew(world, victim):
    chroma = getattr(world, victim)
    client = world.client()
    c = client.create_collection(
        "docs", metadata={"owner": "us"}, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    client.create_collection("other", embedding_function=None)
    fill(c, 0, 700)
    converged(world)
    lose(chroma, "docs")
    noticed(world, c)
    content = healed(world, drift=1e-6)[DEFAULT_DATABASE]
    assert len(content["docs"]["records"]) == 701 and content["docs"]["metadata"] == {"owner": "us"}
    assert content["docs"]["configuration_json"]["hnsw"]["space"] == "cosine"
    c.add(ids=["later"], embeddings=vectors(1))
    assert c.count() == 702
    assert len(healed(world, drift=1e-6)[DEFAULT_DATABASE]["docs"]["records"]) == 702
    assert world.metric("chromatid_resync_collections_total") == 1


@BOTH
def test_it_is_not_read_before_it_is_compared(world, victim):
    c = world.client().create_collection("docs", embedding_function=None)
    for first in range(0, 2000, 500):
        fill(c, first, 500)
    converged(world)
    path = f"{COLLECTIONS}/{c.id}/get"
    readers, shown = [], []

    def look():
        """What the page of collections says of it, and how many the metric counts."""
        (row,) = world.http.get("/status/collections").json()["collections"]
        (place,) = [i for i in row["instances"] if i["name"] == victim]
        return place["state"], row["well"], world.metric("chromatid_unproven_collections")

    def read():
        answer = world.http.post(path, json={"ids": ["item1500"]})
        assert answer.status_code == 200 and answer.json()["ids"] == ["item1500"]
        readers.append(answer.headers["X-Chromatid-Instance"])
        return readers[-1]

    # while clients write without a rest, only the one ahead is fresh enough to be read
    with Writers(world, "docs", clients=1, rest=0.05):
        wait_until(lambda: read() == victim, 20, "it is read there")
        lose(getattr(world, victim), "docs")
        wait_until(lambda: world.proxy.status()["quarantine"], 20, "the hole is found")
        del readers[:]
        while not world.proxy.log_contains("compared, and read from now on"):
            if read() == victim:
                assert world.proxy.log_contains("compared, and read from now on")
            shown.append(look())
        assert ("unproven", False, 1) in shown, set(shown)
        assert len(readers) > 20 and world.metric("chromatid_resync_collections_total") == 1
        wait_until(lambda: read() == victim, 20, "it is read there again")
    healed(world)
    assert look() == ("current", True, 0)


def test_items_of_which_two_do_not_fit_in_an_answer_are_compared(world):
    """Their copy is proven all the same: each is compared alone."""
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 0, 50)
    for id in ("large1", "large2"):
        c.add(ids=[id], embeddings=vectors(1), uris=[id + "x" * 17_000_000])
    fill(c, 50, 50)
    converged(world)
    lose(world.replica, "docs")
    noticed(world, c)
    wait_until(lambda: world.proxy.log_contains("compared, and read from now on"), 60, "it is proven")
    assert not world.proxy.log_contains("not compared")
    assert world.metric("chromatid_resync_collections_total") == 1
    healed(world)


@BOTH
def test_it_is_made_anew_while_clients_write(world, victim):
    c = world.client().create_collection("docs", embedding_function=None)
    for first in range(0, 3000, 500):
        fill(c, first, 500)
    converged(world)
    with Writers(world, "docs") as writers:
        wait_until(lambda: writers.writes > 20, 20, "they write")
        lose(getattr(world, victim), "docs")
        wait_until(lambda: world.metric("chromatid_resync_collections_total") >= 1, 90, "it was made anew")
        before = writers.writes
        wait_until(lambda: writers.writes > before + 20, 20, "they still write")
    healed(world)


def test_what_one_refuses_and_the_other_took_heals(world):
    """Somebody gave the replica's collection another dimension."""
    c = world.client().create_collection("odd", embedding_function=None)
    converged(world)
    mapping = world.http.get("/collection/mappings").json()["mappings"][0]
    path = f"{COLLECTIONS}/{mapping['replica_collection_id']}"
    world.replica.http.post(f"{path}/add", json={"ids": ["x"], "embeddings": [[1, 2, 3]]}).raise_for_status()
    c.add(ids=["1"], embeddings=[[1, 2]])
    wait_until(lambda: world.metric("chromatid_resync_collections_total") == 1, 30, "it was made anew")
    assert list(healed(world)[DEFAULT_DATABASE]["odd"]["records"]) == ["1"]


def test_renamed_changed_and_deleted_meanwhile(world):
    client = world.client()
    kept, dropped = (client.create_collection(name, embedding_function=None) for name in ("kept", "dropped"))
    for c in (kept, dropped):
        fill(c, 0, 600)
    converged(world)
    for c in (kept, dropped):
        lose(world.replica, c.name)
        c.upsert(ids=["probe"], embeddings=vectors(1))
    kept.modify(name="renamed")
    kept.modify(metadata={"changed": True})
    client.create_collection("kept", embedding_function=None).add(ids=["new"], embeddings=vectors(1))
    client.delete_collection("dropped")
    client.create_collection("dropped", embedding_function=None)
    content = healed(world)[DEFAULT_DATABASE]
    assert set(content) == {"kept", "renamed", "dropped"}
    assert content["renamed"]["metadata"] == {"changed": True}
    assert [len(content[n]["records"]) for n in ("kept", "renamed", "dropped")] == [1, 601, 0]


POINTS = [
    "rebuild_begun",
    "rebuild_made",
    "rebuild_handed_out",
    "worker_copies",
    "worker_copied",
    "worker_done",
    "rebuild_copied",
    "rebuild_freezing",
    "rebuild_switching",
    "rebuild_switched",
    "rebuild_installed",
    "rebuild_ended",
]


@pytest.mark.parametrize("point", POINTS)
def test_the_proxy_dies_in_the_middle(world, point):
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 0, 500)
    converged(world)
    arm(world, point)
    lose(world.replica, "docs")
    with pytest.raises(Exception):
        for n in range(10000):
            c.upsert(ids=["probe"], embeddings=[[n] * DIMENSION])
            c.add(ids=[f"more{n}"], embeddings=vectors(1))
            time.sleep(0.01)
    resume(world)
    c.upsert(ids=["probe"], embeddings=vectors(1))
    assert len(healed(world)[DEFAULT_DATABASE]["docs"]["records"]) == c.count()


@BOTH
def test_the_donor_dies_in_the_middle(make_world, victim):
    world = make_world(relays=True)
    chroma = getattr(world, victim)
    c = world.client().create_collection("docs", embedding_function=None)
    for first in range(0, 2000, 500):
        fill(c, first, 500)
    converged(world)
    relay = world.relay_of(chroma)
    relay.fault("delay", seconds=0.5, match=lambda method, path: path.endswith("/add"))
    lose(chroma, "docs")
    noticed(world, c)
    wait_until(lambda: [r for r in world.proxy.status()["resync"] if r["items"] > 200], 30, "it is copied")
    donor = world.other(chroma)
    donor.kill()
    relay.clear()
    world.wait_down(donor)
    donor.start()
    assert len(healed(world)[DEFAULT_DATABASE]["docs"]["records"]) == 2001


def make_many(world, n=6, records=300):
    client = world.client()
    for k in range(n):
        fill(client.create_collection(f"col{k}", embedding_function=None), 0, records)
    client.create_collection("docs", embedding_function=None)
    fill(client.get_collection("docs", embedding_function=None), 0, 1000)
    converged(world)


@BOTH
def test_a_disk_lost_in_an_outage_is_filled_again_while_clients_write(world, victim):
    chroma = getattr(world, victim)
    make_many(world)
    with Writers(world, "docs") as writers:
        chroma.kill()
        world.wait_down(chroma)
        world.client().delete_collection("col0")
        world.client().create_collection("born", embedding_function=None)
        chroma.wipe()
        chroma.start()
        wait_until(lambda: world.metric("chromatid_resync_collections_total") >= 6, 120, "all were made anew")
        before = writers.writes
        wait_until(lambda: writers.writes > before + 20, 20, "they still write")
    assert set(healed(world)[DEFAULT_DATABASE]) == {"docs", "born", *(f"col{k}" for k in range(1, 6))}


@BOTH
def test_an_older_copy_of_the_disk_is_brought_up_to_date(world, victim, tmp_path):
    chroma = getattr(world, victim)
    make_many(world, n=3)
    chroma.kill()
    world.wait_down(chroma)
    shutil.copytree(chroma.data, tmp_path / "copy")
    chroma.start()
    wait_until(world.all_healthy, 30, "both are up")
    client = world.client()
    client.delete_collection("col0")
    client.get_collection("col1", embedding_function=None).modify(name="renamed")
    fill(client.create_collection("col1", embedding_function=None), 0, 50)
    fill(client.get_collection("docs", embedding_function=None), 2000, 100)
    beat = world.sql("SELECT max(beat) AS n FROM chromatid.instance")[0]["n"]
    converged(world)
    wait_until(lambda: world.sql("SELECT min(beat) AS n FROM chromatid.instance")[0]["n"] > beat + 1, 60, "beats")
    with Writers(world, "docs"):
        chroma.kill()
        world.wait_down(chroma)
        chroma.wipe()
        shutil.copytree(tmp_path / "copy", chroma.data)
        chroma.start()
        wait_until(lambda: world.metric("chromatid_resync_collections_total") >= 4, 120, "all were made anew")
    kept = [c["name"] for c in chroma.http.get(COLLECTIONS).json() if c["name"].startswith("ctd-lost.")]
    assert len(kept) == 1, "what nobody knows is set aside, not deleted"
    lose(chroma, kept[0])
    assert set(healed(world)[DEFAULT_DATABASE]) == {"docs", "col1", "col2", "renamed"}


def test_report_only(make_world):
    world = make_world(REPAIR="report")
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 0, 10)
    converged(world)
    lose(world.replica, "docs")
    noticed(world, c)
    for n in range(20):
        c.upsert(ids=["probe"], embeddings=vectors(1))
    assert [q["cause"] for q in world.proxy.status()["quarantine"]] == ["lost"]
    assert "docs" not in snapshot(world.replica)[DEFAULT_DATABASE]
