"""What must not get past the log, or past the catalogue, however it is asked for."""

import time
import uuid

import pytest

from compare import converged
from world import COLLECTIONS, DEFAULT, wait_until

DEEP = "[" * 200 + "]" * 200


def create(world, name=None):
    name = name or "around-" + uuid.uuid4().hex[:8]
    return name, world.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()["id"]


def add(world, id, *ids):
    body = {"ids": ids, "embeddings": [[1.0, 2.0]] * len(ids), "metadatas": [{"n": 1}] * len(ids)}
    world.http.post(f"{COLLECTIONS}/{id}/add", json=body).raise_for_status()


def send(world, path, text, method="POST"):
    headers = {"content-type": "application/json"}
    return world.http.request(method, path, content=text, headers=headers)


def test_a_body_too_deep_to_look_into_has_no_effect(shared_world):
    name, id = create(shared_world)
    add(shared_world, id, "a", "b", "c")
    path = f"{COLLECTIONS}/{id}"
    poison = '{"ids":["p"],"embeddings":[[1,2]],"metadatas":[{"chroma:document":5}],"z":%s}'
    assert 400 <= send(shared_world, path + "/add", poison % DEEP).status_code < 500
    rename = '{"new_name":"ctd-mine","z":%s}' % DEEP
    assert 400 <= send(shared_world, path, rename, "PUT").status_code < 500
    some = '{"where":{"n":1},"limit":1,"z":%s}' % DEEP
    assert 400 <= send(shared_world, path + "/delete", some).status_code < 500
    assert 400 <= send(shared_world, COLLECTIONS, '{"name":"too-deep","z":%s}' % DEEP).status_code < 500
    assert shared_world.http.get(f"{COLLECTIONS}/{name}").json()["id"] == id
    assert shared_world.http.get(f"{path}/count").text == "3"
    converged(shared_world)


@pytest.mark.parametrize("body", ['["around-array"]', '{"name":"around\\u0000nul"}', '{"name":"around-deep","z":%s}' % DEEP])
def test_an_odd_body_creates_no_tenant_and_no_database(shared_world, body):
    before = [sorted(tenants(c)) for c in shared_world.instances]
    assert 400 <= send(shared_world, "/api/v2/tenants", body).status_code < 500
    databases = "/api/v2/tenants/default_tenant/databases"
    assert 400 <= send(shared_world, databases, body).status_code < 500
    assert [sorted(tenants(c)) for c in shared_world.instances] == before
    converged(shared_world)


def tenants(chroma):
    """Those of the odd names that the server knows."""
    names = ("around-array", "around-deep")
    return [n for n in names if chroma.http.get(f"/api/v2/tenants/{n}").status_code == 200]


def test_an_offset_in_a_delete_by_filter_is_ignored_as_by_a_chroma(shared_world):
    _, id = create(shared_world)
    add(shared_world, id, "a", "b", "c")
    body = {"where": {"n": 1}, "offset": 2}
    answer = shared_world.http.post(f"{COLLECTIONS}/{id}/delete", json=body)
    assert answer.json() == {"deleted": 3}
    converged(shared_world)


def test_head_is_answered_with_the_length_of_get(shared_world):
    name, id = create(shared_world)
    for path in (f"{COLLECTIONS}/{name}", f"{COLLECTIONS}/{id}/count"):
        head, get = shared_world.http.head(path), shared_world.http.get(path)
        assert head.status_code == 200 and head.content == b""
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("query", ["limit=%35", "limit=00000000010", "offset=%2B1"])
def test_odd_pages_show_no_id_of_an_instance(shared_world, query):
    name, id = create(shared_world)
    local = {c.client().get_collection(name, embedding_function=None).id for c in shared_world.instances}
    text = shared_world.http.get(f"{COLLECTIONS}?{query}").text
    assert not any(str(l) in text for l in local if str(l) != id)


def test_the_default_database_is_there_after_a_reset(world):
    world.http.delete(DEFAULT).raise_for_status()
    assert world.http.get(DEFAULT).status_code == 404
    world.http.post("/api/v2/reset").raise_for_status()
    assert world.http.get(DEFAULT).json()["name"] == "default_database"
    create(world)
    converged(world)


def test_nobody_waits_without_end_for_a_create_that_is_pending(make_world):
    world = make_world(WRITE_WAIT="1s")
    for chroma in world.instances:
        chroma.kill()
    wait_until(lambda: world.proxy.status()["healthy_instances"] == 0, 30, "both are seen down")
    assert world.http.post(COLLECTIONS, json={"name": "pending"}).headers["x-chromatid-outcome"] == "pending"
    for again in (
        lambda: world.http.post(COLLECTIONS, json={"name": "pending", "get_or_create": True}),
        lambda: world.http.get(f"{COLLECTIONS}/pending"),
        lambda: world.http.delete(f"{COLLECTIONS}/pending"),
    ):
        started = time.monotonic()
        answer = again()
        assert answer.status_code == 503 and answer.headers["x-chromatid-outcome"] == "none"
        assert time.monotonic() - started < 10
    for chroma in world.instances:
        chroma.start()
    converged(world)
    assert world.http.get(f"{COLLECTIONS}/pending").status_code == 200
