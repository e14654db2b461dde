"""The proxy dies or is told to stop at any moment: no acknowledged write is lost."""

import signal
import threading

import httpx
import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from load import Load
from world import COLLECTIONS, wait_until


def test_kill_9_again_and_again_under_load(world):
    with Load(world.proxy.url, threads=8) as load:
        for _ in range(6):
            load.wait_steps(60)
            world.proxy.kill()
            world.proxy.start(wait="listening")
            wait_until(world.proxy.leads, 30, "it is ready again")
        load.wait_steps(60)
    # no answer from the dead one; from a starting one a clear: not yet
    odd = [f for f in load.failures if f.status not in (None, 503) or (f.status and not f.had_no_effect)]
    assert odd == [], odd[:5]
    assert load.stale == [], load.stale[:5]
    load.check(converged(world, timeout=60))
    check_mappings(world)


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_kill_9_while_an_instance_is_down(world, victim):
    """The next proxy knows from the log alone what the instance is owed."""
    chroma = getattr(world, victim)
    with Load(world.proxy.url, threads=4) as load:
        load.wait_steps(60)
        chroma.kill()
        for _ in range(3):
            load.wait_steps(60)
            world.proxy.kill()
            world.proxy.start(wait="listening")
        load.wait_steps(60)
        chroma.start()
        load.wait_steps(60)
    assert load.stale == [], load.stale[:5]
    load.check(converged(world, timeout=60))
    check_mappings(world)


def test_proxy_and_instances_die_together(world):
    with Load(world.proxy.url, threads=4) as load:
        for _ in range(3):
            load.wait_steps(60)
            world.proxy.kill()
            for chroma in world.instances:
                chroma.kill()
            for chroma in world.instances:
                chroma.start(wait=False)
            world.proxy.start(wait="listening")
        load.wait_steps(60)
    assert load.stale == [], load.stale[:5]
    load.check(converged(world, timeout=60))


def test_sigterm_under_load_ends_what_was_begun(world):
    """Requests are answered or not begun; none is cut off, none fails half done."""
    with Load(world.proxy.url, threads=8) as load:
        load.wait_steps(200)
        world.proxy.terminate()
        load.stop()
    answered = [f for f in load.failures if f.status is not None]
    assert all(f.status == 503 and f.had_no_effect for f in answered), answered[:5]
    cut_off = [f for f in load.failures if f.status is None and "Connect" not in f.text]
    idle = ("Server disconnected without sending a response", "ReadError")  # closed before it was used
    assert all(any(t in f.text for t in idle) for f in cut_off), cut_off[:5]
    assert load.stale == []
    world.proxy.start()
    load.check(converged(world))


def test_sigterm_waits_for_a_write_in_flight(world):
    c = world.client().create_collection("flight", embedding_function=None)
    converged(world)
    for chroma in world.instances:
        chroma.pause()
    answers = []
    body = {"ids": ["1"], "embeddings": [[1, 2]]}
    path = f"{COLLECTIONS}/{c.id}/add"
    client = threading.Thread(target=lambda: answers.append(world.http.post(path, json=body)))
    client.start()
    wait_until(lambda: world.proxy.status()["wal"]["pending_writes"] == 1, 10, "the write is in the log")
    world.proxy.signal(signal.SIGTERM)
    wait_until(lambda: world.proxy.log_contains("finishing what is in flight"), 10, "it drains")
    for chroma in world.instances:
        chroma.resume()
    client.join()
    assert answers[0].status_code == 201, answers[0].text
    world.proxy.process.wait(60)
    world.proxy.check_sanitizers()
    world.proxy.start()
    assert converged(world)[DEFAULT_DATABASE]["flight"]["order"] == ["1"]


def test_who_watches_it_is_told_that_it_goes(world):
    """Not that it is gone, as long as a request is under way: platforms would restart it."""
    c = world.client().create_collection("going", embedding_function=None)
    converged(world)
    early = httpx.Client(base_url=world.proxy.url, timeout=60)
    answers = []
    path = f"{COLLECTIONS}/{c.id}/add"
    for chroma in world.instances:
        chroma.pause()
    body = {"ids": ["1"], "embeddings": [[1, 2]]}
    writer = threading.Thread(target=lambda: answers.append(early.post(path, json=body)))
    writer.start()
    wait_until(lambda: world.proxy.status()["wal"]["pending_writes"] == 1, 10, "the write is in the log")
    world.proxy.signal(signal.SIGTERM)
    ask = lambda path, **more: httpx.request("GET", world.proxy.url + path, **more)
    wait_until(lambda: ask("/health").json()["status"] == "draining", 10, "it drains")
    assert ask("/api/v2/heartbeat").status_code == 200
    health = ask("/health")
    assert (health.status_code, health.json()["status"]) == (200, "draining")
    assert health.headers["connection"] == "close"
    assert ask("/ready").status_code == 503 and ask("/status").json()["status"] == "draining"
    late = httpx.post(world.proxy.url + path, json={"ids": ["2"], "embeddings": [[1, 2]]})
    assert (late.status_code, late.json()["error"]) == (503, "InternalError")
    assert late.headers["retry-after"] and late.headers["x-chromatid-outcome"] == "none"
    for chroma in world.instances:
        chroma.resume()
    writer.join()
    assert answers[0].status_code == 201, answers[0].text
    assert world.proxy.process.wait(60) == 0
    world.proxy.check_sanitizers()
    world.proxy.start()
    assert converged(world)[DEFAULT_DATABASE]["going"]["order"] == ["1"]


def test_before_the_first_verdict_it_is_starting(make_world):
    world = make_world(start=False, CHECK_TIMEOUT="2s")
    for chroma in world.instances:
        chroma.start()
        chroma.pause()
    try:
        world.proxy.start(wait="listening")
        health = world.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "starting")
        assert world.proxy.ready() == 503 and world.http.get("/api/v2/heartbeat").status_code == 503
        wait_until(lambda: world.http.get("/health").json()["status"] == "unavailable", 20, "there is a verdict")
        assert world.http.get("/health").status_code == 200
    finally:
        for chroma in world.instances:
            chroma.resume()
    wait_until(lambda: world.http.get("/health").json()["status"] == "healthy", 30, "all is well")


def test_ids_and_content_survive_a_restart(world):
    c = world.client().create_collection("same", embedding_function=None, metadata={"a": "b"})
    c.add(ids=["1"], embeddings=[[1, 2]], documents=["x"])
    before = converged(world)
    world.proxy.restart()
    assert world.client().get_collection("same", embedding_function=None).id == c.id
    assert c.get()["documents"] == ["x"]
    assert converged(world) == before
