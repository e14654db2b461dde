"""The proxy's own small write to each instance: clients never see it, and it finds the
instance that answers reads and heartbeats while every write fails or hangs."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from load import Load
from relay import CHANGES
from world import COLLECTIONS, DEFAULT, wait_until

TENANT = "/api/v2/tenants/ctd-chromatid"
DATABASE = TENANT + "/databases/ctd-canary"
PATH = DATABASE + "/collections"
VICTIMS = ["primary", "replica"]


def canary_id(chroma):
    """Of its collection, once a marker is in there; else None."""
    answer = chroma.http.get(PATH + "/ctd-canary")
    if answer.status_code != 200:
        return None
    id = answer.json()["id"]
    found = chroma.http.post(f"{PATH}/{id}/get", json={"include": ["embeddings"]})
    items = found.json()["ids"] if found.status_code == 200 else []
    markers = [item for item in items if item.startswith("marker.")]
    assert set(items) - set(markers) <= {"canary"}  # of a proxy that does not lead
    return id if markers else None


def wait_canaries(world):
    return [wait_until(lambda c=c: canary_id(c), 20, f"the canary of the {c.name}") for c in world.instances]


def test_no_client_can_see_it(shared_world):
    world = shared_world
    ids = wait_canaries(world)
    for path in (TENANT, DATABASE, PATH + "/ctd-canary", COLLECTIONS + "/ctd-canary"):
        assert world.http.get(path).status_code == 404, path
    assert world.http.get(TENANT + "/databases").json() == []
    assert world.http.get(PATH).json() == []
    assert world.http.get(DATABASE + "/collections_count").text == "0"
    for id in ids:
        for base in (PATH, COLLECTIONS):
            body = {"ids": ["canary"], "embeddings": [[1]]}
            assert world.http.get(f"{base}/{id}/count").status_code == 404
            for op in ("get", "delete", "upsert", "add", "update"):
                answer = world.http.post(f"{base}/{id}/{op}", json=body)
                assert answer.status_code == 404, f"{op}: {answer.status_code} {answer.text}"
            query = {"query_embeddings": [[1]], "n_results": 1}
            assert world.http.post(f"{base}/{id}/query", json=query).status_code == 404
            assert world.http.get(f"{base}/by-id/{id}").status_code == 404
            assert 400 <= world.http.put(f"{base}/{id}", json={"new_name": "mine"}).status_code < 500
    listed = world.http.get("/api/v2/tenants/default_tenant/databases").json()
    assert [d["name"] for d in listed] == ["default_database"]
    assert [c for c in world.http.get(COLLECTIONS).json() if c["name"].startswith("ctd-")] == []
    assert world.http.get(DEFAULT + "/collections_count").text == "0"
    assert check_mappings(world) == {}
    assert wait_canaries(world) == ids
    converged(world)


def test_its_names_are_refused(shared_world):
    world = shared_world
    ids = wait_canaries(world)
    requests = [
        ("POST", "/api/v2/tenants", {"name": "ctd-chromatid"}),
        ("POST", "/api/v2/tenants", {"name": "ctd-mine"}),
        ("POST", "/api/v2/tenants/default_tenant/databases", {"name": "ctd-canary"}),
        ("POST", TENANT + "/databases", {"name": "ctd-canary"}),
        ("POST", TENANT + "/databases", {"name": "mine"}),
        ("POST", COLLECTIONS, {"name": "ctd-canary"}),
        ("POST", PATH, {"name": "ctd-canary", "get_or_create": True}),
        ("POST", PATH, {"name": "mine", "get_or_create": True}),
        ("DELETE", PATH + "/ctd-canary", None),
        ("DELETE", DATABASE, None),
    ]
    wrong = []
    for method, path, body in requests:
        answer = world.http.request(method, path, json=body)
        if not 400 <= answer.status_code < 500:
            wrong.append(f"{method} {path} {body}: {answer.status_code} {answer.text}")
    assert wrong == []
    assert wait_canaries(world) == ids
    converged(world)


def test_it_comes_back_after_a_reset(world):
    before = wait_canaries(world)
    c = world.client().create_collection("reset-me", embedding_function=None)
    converged(world)
    assert world.http.post("/api/v2/reset").status_code == 200
    after = wait_canaries(world)
    assert set(before).isdisjoint(after)
    assert c.name not in converged(world)[DEFAULT_DATABASE]
    assert all(i["state"] == "up" for i in world.proxy.status()["instances"])


def test_it_comes_back_on_a_wiped_disk(world):
    before = wait_canaries(world)
    world.proxy.terminate()
    for chroma in world.instances:
        chroma.kill()
        chroma.wipe()
        chroma.start()
    world.proxy.start()
    assert set(before).isdisjoint(wait_canaries(world))


@contextmanager
def no_writes(chroma):
    """Every write of this server waits for as long as this lasts; reads are answered."""
    db = sqlite3.connect(chroma.data / "chroma.sqlite3", timeout=10, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


def state(world, chroma):
    return world.proxy.instance(chroma.name)["state"]


def add(world, path, n):
    """Seconds until it was answered with success."""
    record = {"ids": [str(n)], "embeddings": [[n, 1]], "metadatas": [{"n": n}]}
    started = time.monotonic()
    answer = world.http.post(path + "/add", json=record)
    assert answer.status_code == 201, answer.text
    return time.monotonic() - started


@pytest.mark.parametrize("victim", VICTIMS)
def test_an_instance_that_hangs_on_every_write_gets_none(world, victim):
    chroma = getattr(world, victim)
    wait_canaries(world)
    paths = []
    for n in range(6):
        c = world.client().create_collection(f"hangs-{n}", embedding_function=None)
        paths.append(f"{COLLECTIONS}/{c.id}")
        add(world, paths[n], 0)
    converged(world)
    with no_writes(chroma), ThreadPoolExecutor(1) as reader:
        over = []
        reads = reader.submit(read_on, world, paths[0], over)
        first = add(world, paths[0], 1)
        wait_until(lambda: state(world, chroma) == "read_only", 40, "it is seen to take no writes")
        assert world.proxy.instance(victim)["healthy"]
        later = [add(world, path, 2) for path in paths]
        over.append(True)
        slowest_read = reads.result()
    print(f"\n{victim}: first {first:.2f} s, later {max(later):.2f} s, read {slowest_read:.2f} s")
    assert first < 8
    assert max(later) < 2, "a write was sent to an instance that takes none"
    assert slowest_read < 3
    released = time.monotonic()
    wait_until(lambda: state(world, chroma) == "up", 20, "it takes writes again")
    print(f"writable again after {time.monotonic() - released:.2f} s")
    content = converged(world)[DEFAULT_DATABASE]
    assert content["hangs-0"]["order"] == ["0", "1", "2"]


def read_on(world, path, over):
    slowest = 0
    while not over:
        started = time.monotonic()
        answer = world.proxy.http.post(path + "/get", json={"ids": ["0"]})
        assert answer.json()["ids"] == ["0"], answer.text
        slowest = max(slowest, time.monotonic() - started)
    return slowest


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_restarted_instance_takes_writes_as_soon_as_it_is_up(world, victim):
    chroma = getattr(world, victim)
    wait_canaries(world)
    converged(world)
    for _ in range(3):
        chroma.kill()
        world.wait_down(chroma)
        chroma.start(wait=False)
        wait_until(lambda: world.proxy.instance(victim)["healthy"], 10, "it is up")
        wait_until(lambda: state(world, chroma) == "up", 1, "it takes writes")


def test_a_slow_big_write_does_not_look_like_trouble(world):
    """The queue of writes is one: behind thousands of items a canary may wait in vain."""
    wait_canaries(world)
    paths = []
    for name in ("big", "small"):
        c = world.client().create_collection(name, embedding_function=None)
        paths.append(f"{COLLECTIONS}/{c.id}")
    converged(world)
    record = {"ids": ["big"], "embeddings": [[1, 1]], "documents": ["x" * 2_000_000]}
    with ThreadPoolExecutor(1) as writer, no_writes(world.primary):
        began = time.monotonic()
        big = writer.submit(world.http.post, paths[0] + "/add", json=record)
        wait_until(lambda: world.proxy.status()["wal"]["undecided"] == 1, 5, "it is under way")
        assert 3 < add(world, paths[1], 1) < 8, "the small write was to give up waiting behind it"
        # as long as it would take to call it failing, and not as long as it may take
        wait_until(lambda: time.monotonic() - began > 14 or state(world, world.primary) != "up", 20, "")
        assert state(world, world.primary) == "up"
        assert not big.done()
    assert big.result().status_code == 201
    converged(world)
    assert not world.proxy.log_contains("does not take writes")


@pytest.mark.parametrize("victim", VICTIMS)
def test_an_instance_that_fails_every_write_is_known_soon(make_world, victim):
    world = make_world(relays=True)
    chroma = getattr(world, victim)
    wait_canaries(world)
    c = world.client().create_collection("fails", embedding_function=None)
    path = f"{COLLECTIONS}/{c.id}"
    converged(world)
    relay = world.relay_of(chroma)
    relay.fault("error", match=lambda method, path: method != "GET" and CHANGES.search(path))
    began = time.monotonic()
    add(world, path, 0)
    wait_until(lambda: state(world, chroma) == "read_only", 5, "it is seen to take no writes")
    print(f"\n{victim}: known after {time.monotonic() - began:.2f} s")
    assert world.proxy.instance(victim)["healthy"]
    assert world.proxy.instance(victim)["reason"] == "canary: HTTP 500"
    with Load(world.proxy.url, threads=2) as load:
        load.wait_steps(100)
    assert load.failures == [] and load.stale == []
    assert state(world, chroma) == "read_only"
    relay.clear()
    wait_until(lambda: state(world, chroma) == "up", 10, "it takes writes again")
    load.check(converged(world))
