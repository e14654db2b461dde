"""An instance dies, hangs and comes back under load, and no client notices."""

import time

import httpx
import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from load import Load
from world import COLLECTIONS, wait_until

VICTIMS = ["primary", "replica"]


def owed(world, chroma):
    return world.proxy.instance(chroma.name)["pending_writes"]


def unhurt(load):
    assert load.failures == [], load.failures[:5]
    assert load.stale == [], load.stale[:5]


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_instance_costs_no_request_and_no_stale_read(world, victim):
    chroma = getattr(world, victim)
    with Load(world.proxy.url, threads=8) as load:
        load.wait_steps(200)
        chroma.kill()
        load.wait_steps(400)
        assert not world.proxy.instance(victim)["healthy"]
        chroma.start()
        wait_until(world.all_healthy, 30, f"the {victim} is healthy again")
        load.wait_steps(200)
    unhurt(load)
    load.check(converged(world))
    check_mappings(world)


def test_both_take_turns_in_dying(world):
    with Load(world.proxy.url, threads=4) as load:
        for chroma in (world.primary, world.replica, world.primary):
            load.wait_steps(100)
            chroma.kill()
            load.wait_steps(200)
            chroma.start()
            wait_until(world.all_healthy, 30, "it is healthy")
            # it is owed no more than what is under way: the other one may go now
            under_way = 2 * len(load.threads)
            wait_until(lambda: owed(world, chroma) <= under_way, 60, "it has caught up")
    unhurt(load)
    load.check(converged(world))


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_hanging_instance_is_routed_around(world, victim):
    chroma = getattr(world, victim)
    with Load(world.proxy.url, threads=8) as load:
        load.wait_steps(200)
        chroma.pause()
        load.wait_steps(300)
        wait_until(lambda: not world.proxy.instance(victim)["healthy"], 30, "it is seen down")
        chroma.resume()
        wait_until(world.all_healthy, 30, "it is healthy again")
        load.wait_steps(200)
    unhurt(load)
    assert load.slowest < 10, "a request waited for the hanging instance"
    load.check(converged(world))


@pytest.mark.parametrize("victim", VICTIMS)
def test_the_first_request_after_a_death_succeeds(world, victim):
    """No detection gap: each kind of request is the first one once."""
    path = f"{COLLECTIONS}/{world.client().create_collection('first', embedding_function=None).id}"
    record = {"ids": ["1"], "embeddings": [[1, 2]], "metadatas": [{"a": 1}]}
    world.http.post(path + "/add", json=record).raise_for_status()
    chroma = getattr(world, victim)
    requests = [
        ("POST", path + "/upsert", record),
        ("POST", path + "/get", {"ids": ["1"]}),
        ("POST", path + "/query", {"query_embeddings": [[1, 2]], "n_results": 1}),
        ("GET", path + "/count", None),
        ("POST", COLLECTIONS, {"name": "born-in-an-outage"}),
        ("DELETE", COLLECTIONS + "/born-in-an-outage", None),
        ("POST", path + "/delete", {"where": {"a": 1}}),
    ]
    for method, url, body in requests:
        converged(world)
        with httpx.Client(base_url=world.proxy.url, timeout=30) as client:
            chroma.kill()
            started = time.monotonic()
            answer = client.request(method, url, json=body)
            seconds = time.monotonic() - started
        assert answer.is_success, f"{method} {url}: {answer.status_code} {answer.text}"
        assert seconds < 3, f"{method} {url} took {seconds:.2f} s"
        chroma.start()
    converged(world)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_client_can_be_constructed_while_an_instance_is_down(world, victim):
    getattr(world, victim).kill()
    client = world.client()
    client.get_or_create_collection("x-y-z", embedding_function=None).add(ids=["1"], embeddings=[[1, 2]])
    assert [c.name for c in world.client().list_collections()] == ["x-y-z"]
    getattr(world, victim).start()
    assert converged(world)[DEFAULT_DATABASE]["x-y-z"]["order"] == ["1"]
    check_mappings(world)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_backlog_is_applied_in_order_and_soon(world, victim):
    """Three hundred writes, in which the order decides what is left."""
    c = world.client().create_collection("backlog", embedding_function=None)
    chroma = getattr(world, victim)
    chroma.kill()
    for i in range(0, 250, 5):
        ids = [str(n) for n in range(i, i + 5)]
        c.add(ids=ids, embeddings=[[n, 1] for n in range(5)], metadatas=[{"n": i}] * 5)
        c.update(ids=ids[:2], embeddings=[[9, 9]] * 2, metadatas=[{"n": -1}] * 2)
        c.upsert(ids=ids[1:3], embeddings=[[8, 8]] * 2, metadatas=[{"m": i}] * 2)
        c.delete(ids=ids[:1])
        c.add(ids=ids[:1], embeddings=[[7, 7]])
        c.delete(where={"m": i})
    wait_until(lambda: owed(world, chroma) >= 300, 5, "what it is owed is shown")
    assert world.proxy.status()["wal"]["pending_writes"] >= 300
    chroma.start()
    content = converged(world, timeout=60)[DEFAULT_DATABASE]["backlog"]
    assert content["records"]["5"]["embeddings"] == [7, 7]
    assert "6" not in content["records"] and "7" not in content["records"]
    assert content["records"]["8"]["metadatas"] == {"n": 5}
    assert len(content["order"]) == 150


def test_a_search_that_meets_a_write_is_asked_again(make_world):
    """A Chroma has an item's metadata a moment before it has its vector, and says 500."""
    world = make_world(relays=True)
    c = world.client().create_collection("docs", embedding_function=None)
    c.add(ids=["1"], embeddings=[[1, 2]])
    converged(world)
    world.replica.kill()
    wait_until(lambda: not world.proxy.instance("replica")["healthy"], 20, "it is seen down")
    message = "Error executing plan: Internal error: Error finding id"
    body = b'{"error":"InternalError","message":"%s"}' % message.encode()
    relay = world.relay_of(world.primary)
    relay.fault("error", times=2, match=lambda method, path: path.endswith("/query"), body=body)
    assert c.query(query_embeddings=[[1, 2]], n_results=1)["ids"] == [["1"]]
    assert relay.counts["error"] == 2
    relay.fault("error", match=lambda method, path: path.endswith("/query"), body=body)
    path = f"{COLLECTIONS}/{c.id}/query"
    answer = world.http.post(path, json={"query_embeddings": [[1, 2]]})
    assert answer.status_code == 500 and answer.json()["message"] == message
    assert relay.counts["error"] == 5
