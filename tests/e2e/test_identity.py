"""An instance comes back as somebody else: without its disk, with an older one, or as another server.

Nothing may be read from it that it does not have, and nobody else may notice."""

import shutil
import threading
from pathlib import Path

import httpx
import pytest

from compare import DEFAULT_DATABASE, converged, snapshot
from world import BINARY, COLLECTIONS, Proxy, World, wait_until

NAMES = ["one", "two", "three"]


@pytest.fixture
def world(postgres, tmp_path):
    """Nothing heals by itself here: see test_rebuild.py."""
    with World(postgres, tmp_path, WRITE_WAIT="10s", REPAIR="report") as world:
        yield world


@pytest.fixture
def filled(world):
    """Three collections of three records, on both; the markers are noted."""
    world.collections = [world.client().create_collection(name, embedding_function=None) for name in NAMES]
    for c in world.collections:
        c.add(ids=["a", "b", "c"], embeddings=[[1, 1], [2, 2], [3, 3]])
    converged(world)
    wait_until(lambda: all(marks(world).values()), 15, "both are marked")
    return world


def marks(world):
    rows = world.sql("SELECT name, marked, beat FROM chromatid.instance")
    return {row["name"]: row["beat"] if row["marked"] else 0 for row in rows}


def identity(world, chroma):
    return world.proxy.instance(chroma.name)["identity"]


def lanes(world):
    return sorted((q["instance"], q["collection"], q["cause"]) for q in world.proxy.status()["quarantine"])


def lost(chroma, names=NAMES):
    return sorted((chroma.name, name, "lost") for name in names)


def back(world, chroma):
    wait_until(lambda: world.proxy.instance(chroma.name)["state"] == "up", 30, f"{chroma.name} is up")


def names_on(chroma):
    return set(snapshot(chroma)[DEFAULT_DATABASE])


def ids_on(chroma, name):
    id = chroma.http.get(f"{COLLECTIONS}/{name}").raise_for_status().json()["id"]
    return chroma.http.post(f"{COLLECTIONS}/{id}/get", json={}).raise_for_status().json()["ids"]


class Reader:
    """Reads everything all the time, as clients do, and keeps what was wrong."""

    def __init__(self, world):
        self.url = world.proxy.url
        self.paths = [(f"{COLLECTIONS}/{c.id}", c.name) for c in world.collections]
        self.wrong = []
        self.reads = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        with httpx.Client(base_url=self.url, timeout=30) as http:
            while not self.over.is_set():
                for path, name in self.paths:
                    self.look(name, http.post(path + "/get", json={"ids": ["a", "b", "c"], "include": []}))
                    near = {"query_embeddings": [[2, 2]], "n_results": 3}
                    self.look(name, http.post(path + "/query", json=near))
                    self.count(name, http.get(path + "/count"))
                    self.named(name, http.get(f"{COLLECTIONS}/{name}"))
                listed = http.get(COLLECTIONS)
                if listed.status_code != 200 or not set(NAMES) <= {c["name"] for c in listed.json()}:
                    self.wrong.append(("list", listed.status_code, listed.text[:200]))
                self.reads += 1

    def look(self, name, answer):
        ids = answer.json().get("ids") if answer.status_code == 200 else None
        flat = ids[0] if ids and isinstance(ids[0], list) else ids
        if flat is None or sorted(flat) != ["a", "b", "c"]:
            self.wrong.append((name, answer.status_code, answer.text[:200]))

    def count(self, name, answer):
        if answer.status_code != 200 or answer.json() < 3:
            self.wrong.append((name, answer.status_code, answer.text[:200]))

    def named(self, name, answer):
        if answer.status_code != 200:
            self.wrong.append((name, answer.status_code, answer.text[:200]))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        reads = self.reads
        if kind is None:
            wait_until(lambda: self.reads > reads + 3, 30, "it reads on")
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_a_lost_disk_is_noticed_and_not_read(filled, victim):
    world, chroma = filled, getattr(filled, victim)
    with Reader(world) as reader:
        chroma.kill()
        world.wait_down(chroma)
        world.collections[0].add(ids=["d"], embeddings=[[90, 0]])
        chroma.wipe()
        chroma.start()
        back(world, chroma)
        assert lanes(world) == lost(chroma)
        assert identity(world, chroma) == "blank"
        for n in range(20):
            world.collections[1].upsert(ids=["x"], embeddings=[[100 + n, 0]])
            assert world.collections[0].count() == 4
        world.client().create_collection("born", embedding_function=None)
        wait_until(lambda: "born" in names_on(chroma), 10, "new ones live there")
    assert reader.wrong == [] and reader.reads > 3
    assert names_on(chroma) == {"born"}
    status = world.proxy.status()
    assert status["status"] == "degraded" and status["ready"]
    assert {q["error"] for q in status["quarantine"]} == {"the instance came back without its data"}
    rows = world.sql("SELECT cause, attempts FROM chromatid.quarantine")
    assert rows == [{"cause": 3, "attempts": 0}] * 3
    assert world.proxy.log_contains("the instance came back without its data")
    world.proxy.kill()
    world.proxy.start()
    back(world, chroma)
    assert lanes(world) == lost(chroma) and identity(world, chroma) == "ours"
    for name in NAMES:
        world.client().delete_collection(name)
    assert set(converged(world)[DEFAULT_DATABASE]) == {"born"} and lanes(world) == []


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_an_older_copy_of_the_disk_is_noticed_and_not_read(filled, victim, tmp_path):
    world, chroma = filled, getattr(filled, victim)
    gone = world.client().create_collection("gone", embedding_function=None)
    gone.add(ids=["1"], embeddings=[[1, 1]])
    converged(world)
    chroma.kill()
    world.wait_down(chroma)
    shutil.copytree(chroma.data, tmp_path / "old")
    chroma.start()
    back(world, chroma)
    with Reader(world) as reader:
        for c in world.collections:
            c.add(ids=["d"], embeddings=[[90, 0]])
        world.client().delete_collection("gone")
        converged(world)
        chroma.kill()
        world.wait_down(chroma)
        chroma.wipe()
        shutil.copytree(tmp_path / "old", chroma.data)
        chroma.start()
        back(world, chroma)
        for n in range(20):
            assert world.collections[n % 3].count() == 4
    assert reader.wrong == []
    assert identity(world, chroma) == "old" and lanes(world) == lost(chroma)
    aside = [name for name in names_on(chroma) if name.startswith("ctd-lost.")]
    assert len(aside) == 1 and "gone" not in names_on(chroma)
    world.client().create_collection("gone", embedding_function=None).add(ids=["2"], embeddings=[[2, 2]])
    wait_until(lambda: ids_on(chroma, "gone") == ["2"], 10, "its name is free")
    with pytest.raises(Exception):
        world.client().get_collection(aside[0], embedding_function=None)


def swap(world):
    urls = world.proxy.settings
    urls["PRIMARY_URL"], urls["REPLICA_URL"] = urls["REPLICA_URL"], urls["PRIMARY_URL"]


def test_swapped_urls_are_refused(filled):
    world = filled
    world.proxy.terminate()
    swap(world)
    world.proxy.start(wait="listening")
    for chroma, other in ((world.primary, "replica"), (world.replica, "primary")):
        wait_until(lambda: identity(world, chroma) == "another", 20, "it is refused")
        told = world.proxy.instance(chroma.name)
        assert told["state"] == "down" and f"this is the server of '{other}'" in told["reason"]
    path = f"{COLLECTIONS}/{world.collections[0].id}"
    assert world.http.post(path + "/get", json={}).status_code == 503
    world.proxy.terminate()
    swap(world)
    world.proxy.start()
    wait_until(world.all_healthy, 20, "both are let in")
    assert world.collections[0].count() == 3 and lanes(world) == []
    converged(world)


def test_one_server_under_two_names_is_refused_once(filled):
    world = filled
    world.proxy.terminate()
    right = world.proxy.settings["REPLICA_URL"]
    world.proxy.settings["REPLICA_URL"] = f"http://localhost:{world.primary.port}"
    world.proxy.start()
    wait_until(lambda: identity(world, world.replica) == "another", 20, "the second is refused")
    assert "configured twice" in world.proxy.instance("replica")["reason"]
    world.collections[0].add(ids=["d"], embeddings=[[90, 0]])
    assert world.collections[0].count() == 4
    world.proxy.terminate()
    world.proxy.settings["REPLICA_URL"] = right
    world.proxy.start()
    wait_until(world.all_healthy, 20, "both are let in")
    converged(world)


def test_one_server_under_two_names_at_the_first_start(make_world):
    world = make_world(start=False)
    world.primary.start()
    world.proxy.settings["REPLICA_URL"] = f"http://localhost:{world.primary.port}"
    world.proxy.start()
    up = lambda: sorted((i["identity"], i["healthy"]) for i in world.proxy.status()["instances"])
    wait_until(lambda: up() == [("another", False), ("new", True)], 20, "one of them is refused")


def test_the_servers_of_another_cluster_are_taken_over_on_request_only(filled):
    """PostgreSQL was lost, the servers were not."""
    world = filled
    cluster = world.sql("SELECT id FROM chromatid.cluster")[0]["id"]
    other = world.database + "_other"
    world.proxy.terminate()
    world.postgres.create_database(other)
    try:
        mine = world.proxy.settings["DATABASE_URL"]
        world.proxy.settings["DATABASE_URL"] = world.postgres.url_of(other)
        world.proxy.start(wait="listening")
        for chroma in world.instances:
            wait_until(lambda: identity(world, chroma) == "foreign", 20, "it is refused")
            assert f"ADOPT_CLUSTER={cluster}" in world.proxy.instance(chroma.name)["reason"]
        world.proxy.terminate()
        world.proxy.settings["ADOPT_CLUSTER"] = cluster
        world.proxy.start()
        wait_until(world.all_healthy, 20, "both are let in")
        world.proxy.terminate()
        del world.proxy.settings["ADOPT_CLUSTER"]
        world.proxy.start()
        wait_until(world.all_healthy, 20, "they are ours now")
        assert {identity(world, chroma) for chroma in world.instances} == {"ours"}
        world.proxy.settings["DATABASE_URL"] = mine
        world.proxy.terminate()
        world.proxy.start(wait="listening")
        wait_until(lambda: identity(world, world.primary) == "foreign", 20, "and not the first cluster's any more")
        world.proxy.terminate()
    finally:
        world.proxy.kill()
        world.postgres.drop_database(other)


@pytest.mark.parametrize("place", ["resync_surveyed", "resync_kept", "resync_ready", "marker_written"])
def test_whoever_dies_beside_it_finds_it_again(filled, place):
    world, chroma = filled, filled.replica
    world.proxy.terminate()
    chroma.kill()
    chroma.wipe()
    chroma.start()
    assert b"CHROMATID_FAILPOINT" in Path(BINARY).read_bytes(), f"{BINARY} has no failpoints"
    died = 0
    for nth in (1, 2):  # the primary is looked at and marked as well
        world.proxy.settings["CHROMATID_FAILPOINT"] = f"{place}:{nth}"
        world.proxy.start(wait=None)
        try:
            wait_until(lambda: not world.proxy.running(), 15, "it dies")
            died += 1
        except TimeoutError:
            world.proxy.kill()
        world.postgres.execute("UPDATE chromatid.lease SET until = now()", world.database)
    assert died > 0
    del world.proxy.settings["CHROMATID_FAILPOINT"]
    world.proxy.start()
    back(world, chroma)
    back(world, world.primary)
    assert lanes(world) == lost(chroma)
    for c in world.collections:
        for _ in range(10):
            assert c.count() == 3


def test_after_a_reset_nobody_is_taken_for_blank(filled):
    world = filled
    world.http.post("/api/v2/reset").raise_for_status()
    # one that is killed in the middle of it leaves its database in pieces
    wait_until(lambda: world.proxy.status()["wal"]["pending_writes"] == 0, 20, "both have done it")
    for process in (world.proxy, *world.instances):
        process.kill()
    for chroma in world.instances:
        chroma.start()
    world.proxy.start()
    wait_until(world.all_healthy, 20, "both are let in")
    assert lanes(world) == []
    assert {identity(world, chroma) for chroma in world.instances} <= {"ours", "new"}
    world.client().create_collection("one", embedding_function=None).add(ids=["a"], embeddings=[[1, 1]])
    converged(world)
    wait_until(lambda: all(marks(world).values()), 15, "both are marked again")
    for chroma in world.instances:
        chroma.kill()
        world.wait_down(chroma)
        chroma.start()
        back(world, chroma)
        assert identity(world, chroma) == "ours"
    assert lanes(world) == []


def test_a_reset_behind_our_back_is_a_lost_disk(filled):
    world = filled
    with Reader(world) as reader:
        world.replica.http.post("/api/v2/reset").raise_for_status()
        wait_until(lambda: identity(world, world.replica) == "blank", 30, "it is noticed")
        back(world, world.replica)
    assert reader.wrong == [] and lanes(world) == lost(world.replica)


def test_a_collection_deleted_while_it_was_down_is_missed_at_once(filled):
    world, chroma = filled, filled.replica
    world.proxy.terminate()
    chroma.http.delete(f"{COLLECTIONS}/two").raise_for_status()
    world.proxy.start()
    wait_until(lambda: lanes(world) == lost(chroma, ["two"]), 20, "it is noticed")
    assert identity(world, chroma) == "ours"
    for _ in range(10):
        assert world.collections[1].count() == 3


def test_a_proxy_that_waits_writes_no_marker(filled, tmp_path):
    world = filled
    second = Proxy(tmp_path / "second", {**world.proxy.settings, "PORT": "0"}, name="second")
    second.settings["PORT"] = str(second.port)
    second.start(wait="listening")
    try:
        wait_until(lambda: second.status()["healthy_instances"] == 2, 20, "it has probed them")
        assert {i["identity"] for i in second.status()["instances"]} == {"unknown"}
        before = marks(world)
        world.proxy.terminate()
        wait_until(second.leads, 20, "it leads")
        wait_until(lambda: {i["identity"] for i in second.status()["instances"]} == {"ours"}, 20, "it has asked")
        wait_until(lambda: all(beat > before[name] for name, beat in marks(world).items()), 20, "and marks them")
        second.terminate()
    finally:
        second.kill()
        second.http.close()


def test_a_canary_that_is_under_way_makes_no_blank_disk_ours(make_world):
    """It began before we led, and is written while the marker is asked for."""
    world = make_world(relays=True)
    c = world.client().create_collection("docs", embedding_function=None)
    c.add(ids=["1"], embeddings=[[1, 2]])
    converged(world)
    wait_until(lambda: all(marks(world).values()), 15, "both are marked")
    world.proxy.terminate()
    world.replica.kill()
    world.replica.wipe()
    world.replica.start()
    relay = world.relay_of(world.replica)
    ours = lambda method, path: "/tenants/ctd-" in path
    relay.fault("delay", seconds=0.7, match=lambda method, path: ours(method, path) and path.endswith("/databases"))
    relay.fault("delay", seconds=1.5, match=lambda method, path: ours(method, path) and method == "GET")
    world.proxy.start()
    wait_until(lambda: world.proxy.log_contains("came back without its data"), 30, "its disk is seen to be another")
    relay.clear()
    wait_until(lambda: world.metric("chromatid_resync_collections_total") == 1, 60, "it is made anew")
    converged(world, timeout=60)
