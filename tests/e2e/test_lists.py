"""Lists, names, ids and reset behave as with one Chroma, whichever instance answers."""

import uuid

import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged
from world import COLLECTIONS


@pytest.fixture(scope="module")
def many(shared_world):
    """Twelve collections, created while one or the other instance was down."""
    client = shared_world.client()
    made = {}
    for i in range(12):
        if i == 4:
            shared_world.primary.kill()
        if i == 8:
            shared_world.primary.start()
            converged(shared_world)
            shared_world.replica.kill()
        made[f"list-{i}"] = str(client.create_collection(f"list-{i}", embedding_function=None).id)
    shared_world.replica.start()
    converged(shared_world)
    return made


def fetch(world, path, **params):
    answer = world.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer


def test_pages_are_slices_of_the_list(shared_world, many):
    whole = fetch(shared_world, COLLECTIONS).json()
    assert {c["name"]: c["id"] for c in whole} == many
    for limit in (1, 3, 5, 12, 100):
        for offset in (0, 1, 4, 11, 12, 50):
            page = fetch(shared_world, COLLECTIONS, limit=limit, offset=offset).json()
            assert page == whole[offset : offset + limit], (limit, offset)
    assert fetch(shared_world, COLLECTIONS, offset=10).json() == whole[10:]
    assert fetch(shared_world, DEFAULT_DATABASE_PATH + "/collections_count").json() == 12


DEFAULT_DATABASE_PATH = "/api/v2/tenants/default_tenant/databases/default_database"


def test_every_answer_is_the_same_whoever_gives_it(shared_world, many):
    """With each instance down in turn, and with both taking turns."""
    whole = fetch(shared_world, COLLECTIONS).json()
    for _ in range(10):
        assert fetch(shared_world, COLLECTIONS).json() == whole
    for chroma in shared_world.instances:
        chroma.kill()
        assert fetch(shared_world, COLLECTIONS).json() == whole
        assert fetch(shared_world, COLLECTIONS, limit=5, offset=5).json() == whole[5:10]
        chroma.start()
        converged(shared_world)


def test_records_page_alike(shared_world, many):
    c = shared_world.client().get_collection("list-0", embedding_function=None)
    c.add(ids=[str(i) for i in range(50)], embeddings=[[i, 1] for i in range(50)])
    c.delete(ids=["7"])
    c.add(ids=["7"], embeddings=[[7, 1]])
    converged(shared_world)
    whole = c.get()["ids"]
    assert whole[-1] == "7" and len(whole) == 50
    for offset in range(0, 60, 9):
        for _ in range(3):
            assert c.get(limit=9, offset=offset)["ids"] == whole[offset : offset + 9]


def test_record_routes_take_the_name_for_the_id(shared_world, many):
    http = shared_world.http
    by_name = f"{COLLECTIONS}/list-1"
    record = {"ids": ["1"], "embeddings": [[1, 2]], "documents": ["x"]}
    assert http.post(by_name + "/add", json=record).status_code == 201
    assert http.post(by_name + "/upsert", json=record).status_code == 200
    assert http.post(by_name + "/get", json={}).json()["ids"] == ["1"]
    query = {"query_embeddings": [[1, 2]], "n_results": 1}
    assert http.post(by_name + "/query", json=query).json()["ids"] == [["1"]]
    assert http.get(by_name + "/count").json() == 1
    assert http.post(by_name + "/delete", json={"ids": ["1"]}).status_code == 200
    assert http.get(by_name + "/count").json() == 0


def test_every_known_id_of_a_collection_is_understood(shared_world, many):
    """Its public id and the ids it has on the instances; answers show the public one."""
    mapping = check_mappings(shared_world)[(*DEFAULT_DATABASE, "list-2")]
    for id in (many["list-2"], mapping["primary_uuid"], mapping["replica_uuid"]):
        assert fetch(shared_world, f"{COLLECTIONS}/{id}/count").json() == 0
        assert fetch(shared_world, f"{COLLECTIONS}/by-id/{id}").json()["id"] == many["list-2"]
    for spelling in (uuid.UUID(many["list-2"]).hex, many["list-2"].upper()):
        assert fetch(shared_world, f"{COLLECTIONS}/{spelling}/count").json() == 0


def test_a_collection_is_fetched_and_deleted_by_its_public_id(shared_world, many):
    id = str(shared_world.client().create_collection("by-its-id", embedding_function=None).id)
    assert fetch(shared_world, f"{COLLECTIONS}/{id}").json()["name"] == "by-its-id"
    assert shared_world.http.delete(f"{COLLECTIONS}/{id}").status_code == 200
    assert shared_world.http.delete(f"{COLLECTIONS}/{id}").status_code == 404
    assert "by-its-id" not in converged(shared_world)[DEFAULT_DATABASE]


def test_a_name_that_looks_like_an_id_is_a_name(shared_world, many):
    """Another collection is called what this one's id is: names come first."""
    client = shared_world.client()
    first = client.create_collection("the-first", embedding_function=None)
    second = client.create_collection(str(first.id), embedding_function=None)
    found = fetch(shared_world, f"{COLLECTIONS}/{first.id}").json()
    assert found["id"] == str(second.id)
    assert shared_world.http.delete(f"{COLLECTIONS}/{first.id}").status_code == 200
    content = converged(shared_world)[DEFAULT_DATABASE]
    assert "the-first" in content and str(first.id) not in content
    client.delete_collection("the-first")


def test_databases_have_one_id_and_one_order(shared_world, many):
    path = "/api/v2/tenants/default_tenant/databases"
    for name in ("zeta", "alpha"):
        shared_world.http.post(path, json={"name": name}).raise_for_status()
    converged(shared_world)
    answers = [fetch(shared_world, path).json() for _ in range(8)]
    assert [d["name"] for d in answers[0]] == ["alpha", "default_database", "zeta"]
    assert all(a == answers[0] for a in answers)
    id = next(d["id"] for d in answers[0] if d["name"] == "zeta")
    for chroma in shared_world.instances:
        chroma.kill()
        assert fetch(shared_world, path + "/zeta").json()["id"] == id
        chroma.start()
        converged(shared_world)
    for name in ("zeta", "alpha"):
        shared_world.http.delete(f"{path}/{name}").raise_for_status()


def test_reset_empties_both_and_the_next_call_is_clean(make_world):
    world = make_world()
    client = world.client()
    for i in range(3):
        client.create_collection(f"old-{i}", embedding_function=None).add(ids=["1"], embeddings=[[1, 2]])
    answer = world.http.post("/api/v2/reset")
    assert (answer.status_code, answer.json()) == (200, True)
    assert world.http.get(COLLECTIONS).json() == []
    fresh = client.create_collection("old-1", embedding_function=None)
    assert fresh.get()["ids"] == []
    content = converged(world)[DEFAULT_DATABASE]
    assert list(content) == ["old-1"] and content["old-1"]["order"] == []
    assert set(check_mappings(world)) == {(*DEFAULT_DATABASE, "old-1")}


def test_reset_can_be_switched_off(make_world):
    world = make_world(ALLOW_RESET="off")
    world.client().create_collection("kept", embedding_function=None)
    assert world.http.post("/api/v2/reset").status_code == 403
    assert list(converged(world)[DEFAULT_DATABASE]) == ["kept"]
