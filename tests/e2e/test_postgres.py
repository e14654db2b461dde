"""PostgreSQL goes away: reads go on, writes are refused without effect, nobody helps it back."""

import httpx
import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from load import Load
from world import COLLECTIONS, wait_until


@pytest.fixture
def log(postgres):
    """The session's PostgreSQL, running again afterwards whatever happened."""
    yield postgres
    postgres.start()


def refused(answer):
    """A clear no: nothing happened and nothing will."""
    assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-chromatid-outcome"] == "none"
    assert answer.json()["error"] == "InternalError" and answer.json()["message"]


def first_success(world, path):
    """Writes are taken again, without a restart of anything."""
    body = {"ids": ["back"], "embeddings": [[1, 2]]}
    wait_until(lambda: world.http.post(path, json=body).is_success, 30, "writes work again")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_reads_go_on_and_writes_are_refused_while_it_is_down(log, world, how):
    c = world.client().create_collection("steady", embedding_function=None)
    c.add(ids=["1"], embeddings=[[1, 2]], metadatas=[{"a": 1}])
    before = converged(world)
    path = f"{COLLECTIONS}/{c.id}"
    getattr(log, how)()

    refused(world.http.post(path + "/add", json={"ids": ["2"], "embeddings": [[1, 2]]}))
    refused(world.http.post(path + "/upsert", json={"ids": ["1"], "embeddings": [[5, 5]]}))
    refused(world.http.post(path + "/delete", json={"ids": ["1"]}))
    refused(world.http.post(path + "/delete", json={"where": {"a": 1}}))
    refused(world.http.put(path, json={"new_name": "unsteady"}))
    refused(world.http.delete(COLLECTIONS + "/steady"))
    refused(world.http.post(COLLECTIONS, json={"name": "never"}))

    assert c.get()["ids"] == ["1"]
    assert c.count() == 1
    assert c.query(query_embeddings=[[1, 2]], n_results=1)["ids"] == [["1"]]
    assert [x.name for x in world.client().list_collections()] == ["steady"]
    health = world.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert world.http.get("/ready").status_code == 503
    assert world.http.get("/api/v2/heartbeat").status_code == 200

    log.start()
    wait_until(lambda: world.http.get("/ready").status_code == 200, 30, "it is ready again")
    assert converged(world) == before, "nothing was executed meanwhile"
    first_success(world, path + "/add")
    assert converged(world)[DEFAULT_DATABASE]["steady"]["order"] == ["1", "back"]
    check_mappings(world)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_stops_and_starts_under_load(log, world, how):
    with Load(world.proxy.url, threads=8) as load:
        load.wait_steps(200)
        getattr(log, how)()
        load.wait_steps(200)
        log.start()
        wait_until(lambda: world.http.get("/ready").status_code == 200, 30, "it is ready again")
        load.wait_steps(300)
    assert load.failures, "writes were refused"
    bad = [f for f in load.failures if not f.is_write or f.status != 503 or "retry-after" not in f.headers]
    assert bad == [], bad[:5]
    # what was being committed at that moment may be in the log; nothing else may
    in_doubt = [f for f in load.failures if not f.had_no_effect]
    assert len(in_doubt) <= len(load.threads), in_doubt
    assert load.stale == []
    load.check(converged(world))


def test_a_proxy_that_starts_first_waits_for_it(log, make_world):
    world = make_world(start=False)
    log.stop()
    for chroma in world.instances:
        chroma.start()
    world.proxy.start(wait="listening")
    wait_until(lambda: world.http.get("/health").status_code == 200, 10, "alive: a restart would mend nothing")
    assert world.http.get("/health").json()["status"] == "degraded"
    answer = world.http.get("/ready")
    assert answer.status_code == 503 and answer.json()["reason"] == "PostgreSQL is not connected"
    log.start()
    wait_until(world.proxy.leads, 30, "it is ready")
    world.client().create_collection("x-y-z", embedding_function=None)
    converged(world)


def test_a_proxy_that_starts_before_the_instances_waits_for_them(make_world):
    world = make_world(start=False)
    world.proxy.start(wait="listening")
    assert world.http.get("/ready").status_code == 503
    world.replica.start()
    wait_until(world.proxy.leads, 30, "one instance is enough")
    world.client().create_collection("early", embedding_function=None).add(ids=["1"], embeddings=[[1, 2]])
    world.primary.start()
    assert converged(world)[DEFAULT_DATABASE]["early"]["order"] == ["1"]
    check_mappings(world)


def test_an_instance_that_died_meanwhile_gets_everything_later(log, world):
    """PostgreSQL and an instance are away at once, and come back in either order."""
    c = world.client().create_collection("both", embedding_function=None)
    converged(world)
    path = f"{COLLECTIONS}/{c.id}/add"
    world.replica.kill()
    c.add(ids=["1"], embeddings=[[1, 2]])
    log.kill()
    refused(world.http.post(path, json={"ids": ["2"], "embeddings": [[1, 2]]}))
    assert c.get()["ids"] == ["1"]
    world.replica.start()
    log.start()
    first_success(world, path)
    assert converged(world)[DEFAULT_DATABASE]["both"]["order"] == ["1", "back"]


def test_the_connection_is_cut_and_made_again(world):
    """What an administrator does with pg_terminate_backend costs no write."""
    c = world.client().create_collection("cut-off", embedding_function=None)
    for i in range(5):
        world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        wait_until(lambda: add_works(world, c.id, i), 10, "a write is taken")
    assert converged(world)[DEFAULT_DATABASE]["cut-off"]["order"] == ["0", "1", "2", "3", "4"]


def add_works(world, id, i):
    body = {"ids": [str(i)], "embeddings": [[1, 2]]}
    answer = httpx.post(f"{world.proxy.url}{COLLECTIONS}/{id}/add", json=body, timeout=30)
    if not answer.is_success:
        refused(answer)
    return answer.is_success
