"""A server that came to differ: found while executing, not read there, and nothing else stops."""

import pytest

from compare import DEFAULT_DATABASE, converged, snapshot
from world import COLLECTIONS, World, wait_until


@pytest.fixture
def world(postgres, tmp_path):
    """Nothing heals by itself here: see test_rebuild.py."""
    with World(postgres, tmp_path, WRITE_WAIT="10s", REPAIR="report") as world:
        yield world


def quarantine(world):
    return world.proxy.status()["quarantine"]


def in_quarantine(world, cause):
    """Waits for the one entry there is, and checks what it says."""
    [entry] = wait_until(lambda: quarantine(world), 20, "a lane is in quarantine")
    assert entry["cause"] == cause, entry
    assert entry["attempts"] >= 1 and entry["since"] and entry["error"]
    status, health = world.proxy.status(), world.http.get("/health").json()
    assert status["wal"]["quarantined"] == 1
    assert status["status"] == health["status"] == "degraded" and status["ready"]
    assert health["pending_writes"] >= entry["pending_writes"]
    assert f"seq {entry['seq']} " in world.proxy.instance(entry["instance"])["last_error"]
    return entry


def local_id(world, chroma, name):
    mappings = world.http.get("/collection/mappings").json()["mappings"]
    return next(m for m in mappings if m["collection_name"] == name)["locations"][chroma.name]


def lose(world, chroma, name):
    """Somebody deletes the collection on that server, behind the proxy's back."""
    chroma.http.delete(f"{COLLECTIONS}/{name}").raise_for_status()


def make(world, name, records=3):
    c = world.client().create_collection(name, embedding_function=None)
    if records:
        ids = [str(n) for n in range(records)]
        c.add(ids=ids, embeddings=[[n, 1] for n in range(records)])
    converged(world)
    return c


def act(world, seq, verb, body=None, **options):
    return world.http.post(f"/admin/wal/{seq}/{verb}", json=body or {}, **options)


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_a_lost_collection_is_not_read_and_costs_nothing_else(world, victim):
    chroma = getattr(world, victim)
    c, other = make(world, "lost"), make(world, "other")
    lose(world, chroma, "lost")
    for _ in range(10):  # before anybody has noticed: reads that meet the hole go elsewhere
        assert c.count() == 3
        assert c.get()["ids"] == ["0", "1", "2"]
    c.add(ids=["3"], embeddings=[[3, 1]])
    entry = in_quarantine(world, "lost")
    assert (entry["instance"], entry["collection"]) == (victim, "lost")
    refused = act(world, entry["seq"], "skip", {"reason": "it does not come back by that"})
    assert refused.status_code == 409 and "not there" in refused.json()["message"]
    for n in range(10):
        c.upsert(ids=["0"], embeddings=[[n, n]])
        other.add(ids=[f"more{n}"], embeddings=[[n, n]])
        assert c.get()["ids"] == ["0", "1", "2", "3"]
    c.modify(name="found")  # waits with its collection; the rest of the database does not
    world.client().create_collection("born", embedding_function=None)
    wait_until(lambda: "born" in snapshot(chroma)[DEFAULT_DATABASE], 10, "the new one is on both")
    assert world.proxy.instance(victim)["healthy"]
    world.proxy.kill()
    world.proxy.start()
    assert in_quarantine(world, "lost")["collection"] == "found"
    assert world.client().get_collection("found", embedding_function=None).count() == 4
    # deleted, there is nothing left to heal
    world.client().delete_collection("found")
    content = converged(world)[DEFAULT_DATABASE]
    assert set(content) == {"born", "other"} and quarantine(world) == []
    assert world.http.get("/health").json()["status"] == "healthy"
    assert world.proxy.instance(victim)["last_error"] is None


def diverge(world, name):
    """The replica refuses what the primary takes: somebody gave it another dimension."""
    c = make(world, name, records=0)
    path = f"{COLLECTIONS}/{local_id(world, world.replica, name)}"
    world.replica.http.post(f"{path}/add", json={"ids": ["x"], "embeddings": [[1, 2, 3]]}).raise_for_status()
    c.add(ids=["1"], embeddings=[[1, 2]])
    return c, in_quarantine(world, "refused")


def leave_out(world, seq):
    """What lacks a record is not equal, and nobody is told that it is."""
    assert act(world, seq, "skip", {"reason": "a test"}).json()["success"]
    assert in_quarantine(world, "differs")["seq"] == seq
    again = act(world, seq, "skip", {"reason": "a test"})
    assert again.status_code == 409 and "retry" in again.json()["message"]


def test_what_one_refuses_and_the_other_took_is_parked_retried_and_skipped(world):
    c, entry = diverge(world, "odd")
    assert entry["http"] == 400 and entry["instance"] == "replica"
    c.add(ids=["2"], embeddings=[[3, 4]])
    assert c.get()["ids"] == ["1", "2"], "the replica is not asked"
    assert wait_until(lambda: in_quarantine(world, "refused")["pending_writes"] == 2, 5, "both wait")

    assert act(world, entry["seq"], "retry").json()["success"]
    again = wait_until(lambda: [q for q in quarantine(world) if q["attempts"] == 2], 10, "it was tried again")
    assert again[0]["seq"] == entry["seq"]

    refused = act(world, entry["seq"], "skip")
    assert refused.status_code == 400 and "reason" in refused.json()["message"]
    leave_out(world, entry["seq"])
    assert act(world, entry["seq"], "retry").json()["success"], "somebody says that it is well"
    further = wait_until(lambda: [q for q in quarantine(world) if q["seq"] > entry["seq"]], 10, "the next one")
    leave_out(world, further[0]["seq"])
    world.proxy.kill()
    world.proxy.start()
    assert in_quarantine(world, "differs")["pending_writes"] == 0
    assert act(world, further[0]["seq"], "retry").json()["success"]
    wait_until(lambda: quarantine(world) == [], 10, "the lane goes on")


def test_an_operators_word_must_make_sense(world):
    c, entry = diverge(world, "odd")
    for seq in ("0", str(entry["seq"] + 1), "999999999999999999999", "x", "-1"):
        answer = act(world, seq, "retry")
        assert (answer.status_code, answer.json()["error"]) == (404, "NotFoundError"), seq
    answer = world.http.post(f"/admin/wal/{entry['seq']}/retry", content=b"{}")
    assert answer.status_code == 415
    assert world.http.get(f"/admin/wal/{entry['seq']}/retry").status_code == 405
    assert in_quarantine(world, "refused")["attempts"] == 1


def test_what_arrives_late_is_found(make_world):
    """Something in front of a server held a request and delivers it when everybody has gone on."""
    world = make_world(relays=True, LATE_CHECK="2s", REPAIR="report")
    c = make(world, "late", records=1)
    relay = world.relay_of(world.primary)
    is_upsert = lambda method, path: path.endswith("/upsert")
    relay.fault("late", times=1, match=is_upsert, seconds=1)
    c.upsert(ids=["ghost"], embeddings=[[9, 9]])
    c.delete(ids=["ghost"])
    entry = in_quarantine(world, "differs")
    assert (entry["instance"], entry["collection"]) == ("primary", "late")
    for _ in range(10):
        assert c.get()["ids"] == ["0"], "what was deleted is not shown again"
    world.client().delete_collection("late")
    converged(world)


def test_what_was_in_doubt_and_is_well_stays_unnoticed(make_world):
    world = make_world(relays=True, LATE_CHECK="500ms")
    c = make(world, "well")
    for chroma in world.instances:
        relay = world.relay_of(chroma)
        relay.fault("lose", times=1, match=lambda method, path: path.endswith("/upsert"))
        c.upsert(ids=["1", "2"], embeddings=[[1, 1], [2, 2]], documents=["a", "b"], metadatas=[{"n": 1}, {"n": 2}])
    looks = "SELECT looks FROM chromatid.doubt ORDER BY seq"
    wait_until(lambda: [row["looks"] for row in world.sql(looks)] == [1, 1], 20, "both were looked at")
    wait_until(lambda: world.sql(looks) == [], 30, "and once more")
    assert quarantine(world) == []
    converged(world)
