"""Both instances are down: no write is lost, none is done twice, none is out of order."""

import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from world import COLLECTIONS, wait_until


@pytest.fixture
def dark(make_world):
    """A world with one collection, in which both instances have just died."""
    world = make_world(WRITE_WAIT="1s")
    c = world.client().create_collection("dark", embedding_function=None)
    c.add(ids=["0"], embeddings=[[0, 0]], metadatas=[{"n": 0}])
    converged(world)
    world.path = f"{COLLECTIONS}/{c.id}"
    for chroma in world.instances:
        chroma.kill()
    return world


def pending(answer):
    """Refused for now, but logged; returns its place in the log."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-chromatid-outcome"] == "pending"
    assert answer.headers["chroma-trace-id"]
    body = answer.json()
    assert body["error"] == "InternalError" and body["message"]
    return int(answer.headers["x-chromatid-seq"])


def refused(answer):
    if answer.headers["x-chromatid-outcome"] == "none":
        return True
    pending(answer)
    return False


def come_back(world, order):
    for chroma in order:
        chroma.start()
    return converged(world)[DEFAULT_DATABASE]


@pytest.mark.parametrize("first_back", ["primary", "replica"])
def test_every_write_is_applied_in_order_when_they_return(dark, first_back):
    world = dark
    seqs = []
    for n in range(1, 6):
        record = {"ids": [str(n)], "embeddings": [[n, n]], "metadatas": [{"n": n}]}
        seqs.append(pending(world.http.post(world.path + "/add", json=record)))
        change = {"ids": ["0"], "embeddings": [[n, 0]], "metadatas": [{"n": n, f"seen{n}": True}]}
        seqs.append(pending(world.http.post(world.path + "/update", json=change)))
        seqs.append(pending(world.http.post(world.path + "/delete", json={"where": {"n": n - 2}})))
    assert seqs == sorted(set(seqs)), "places in the log are given in order, once"
    assert world.proxy.status()["wal"]["pending_writes"] == 15

    first = getattr(world, first_back)
    content = come_back(world, [first, world.other(first)])["dark"]
    # n=1 deletes {"n": -1}; 2: {"n": 0}, by then 0 has n=2; 3 and on: the add of two before
    assert content["order"] == ["0", "4", "5"]
    assert content["records"]["0"]["metadatas"] == {"n": 5, **{f"seen{n}": True for n in range(1, 6)}}
    assert world.proxy.status()["wal"]["pending_writes"] == 0


def test_creates_renames_and_deletes_are_kept_too(dark):
    world = dark
    pending(world.http.post(COLLECTIONS, json={"name": "made-in-the-dark"}))
    pending(world.http.put(world.path, json={"new_name": "light"}))
    pending(world.http.post(world.path + "/add", json={"ids": ["1"], "embeddings": [[1, 1]]}))
    content = come_back(world, world.instances)
    assert set(content) == {"made-in-the-dark", "light"}
    assert content["light"]["order"] == ["0", "1"]
    check_mappings(world)


def test_reads_are_refused_with_503(dark):
    world = dark
    for method, path, body in [
        ("POST", world.path + "/get", {}),
        ("POST", world.path + "/query", {"query_embeddings": [[1, 2]], "n_results": 1}),
        ("GET", world.path + "/count", None),
    ]:
        answer = world.http.request(method, path, json=body)
        assert answer.status_code == 503, f"{path}: {answer.text}"
        assert answer.json()["error"] == "InternalError"
        assert int(answer.headers["retry-after"]) > 0
    assert world.http.get("/ready").status_code == 503
    health = world.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "unavailable")
    come_back(world, world.instances)
    assert world.http.post(world.path + "/get", json={}).json()["ids"] == ["0"]


def test_a_write_waits_for_an_instance_that_returns_in_time(make_world):
    """Nobody sees a short outage of both: the write is held and then answered."""
    world = make_world(WRITE_WAIT="30s")
    c = world.client().create_collection("held", embedding_function=None)
    converged(world)
    for chroma in world.instances:
        chroma.kill()
    world.replica.start(wait=False)
    c.add(ids=["1"], embeddings=[[1, 2]])
    world.primary.start()
    assert converged(world)[DEFAULT_DATABASE]["held"]["order"] == ["1"]


def test_the_pending_writes_survive_the_proxy(dark):
    world = dark
    pending(world.http.post(world.path + "/add", json={"ids": ["1"], "embeddings": [[1, 1]]}))
    world.proxy.kill()
    world.proxy.start(wait="listening")
    second = {"ids": ["2"], "embeddings": [[2, 2]]}
    # refused without effect until the lease of the dead proxy is over
    wait_until(lambda: not refused(world.http.post(world.path + "/add", json=second)), 30, "it takes writes")
    assert come_back(world, world.instances)["dark"]["order"] == ["0", "1", "2"]


def test_reject_refuses_without_logging(make_world):
    world = make_world(WRITE_WAIT="1s", BOTH_DOWN="reject")
    c = world.client().create_collection("reject", embedding_function=None)
    converged(world)
    for chroma in world.instances:
        chroma.kill()
    wait_until(lambda: world.proxy.status()["healthy_instances"] == 0, 30, "both are seen down")
    answer = world.http.post(f"{COLLECTIONS}/{c.id}/add", json={"ids": ["1"], "embeddings": [[1, 1]]})
    assert answer.status_code == 503 and answer.headers["x-chromatid-outcome"] == "none"
    assert int(answer.headers["retry-after"]) > 0
    assert world.proxy.status()["wal"]["pending_writes"] == 0
    assert come_back(world, world.instances)["reject"]["order"] == []
