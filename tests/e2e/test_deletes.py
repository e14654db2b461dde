"""What is deleted stays deleted, whoever was down when, and nothing else goes.

A scenario is a generator in three phases, with a yield between two of them. Each sequence
of outages runs all scenarios at once: phase one with both instances up, phase two while
the first of the sequence is down, phase three while the second is down (or, in a sequence
of one, with both up). Afterwards both servers are equal and `left` says what must be there.
"""

import pytest

from compare import DEFAULT_DATABASE, check_mappings, converged


def create(client, name, ids=("1", "2", "3"), **options):
    collection = client.create_collection(name, embedding_function=None, **options)
    if ids:
        put(collection, ids)
    return collection


def put(collection, ids):
    collection.add(
        ids=list(ids),
        embeddings=[[i, 1] for i in range(len(ids))],
        documents=[f"document {id} of {collection.name}" for id in ids],
        metadatas=[{"document_id": f"d{id}", "odd": int(id) % 2 == 1} for id in ids],
    )


# Each yields twice and returns what is left: {collection name: ids in order}.


def deleted_in_the_outage(client, name):
    create(client, name)
    yield
    client.delete_collection(name)
    yield
    return {}


def created_and_deleted_in_one_outage(client, name):
    yield
    create(client, name)
    client.delete_collection(name)
    yield
    return {}


def deleted_and_recreated(client, name):
    create(client, name)
    yield
    client.delete_collection(name)
    create(client, name, ids=["7", "8"])
    yield
    return {name: ["7", "8"]}


def recreated_again_and_again(client, name):
    create(client, name)
    yield
    for i in range(4, 9):
        client.delete_collection(name)
        create(client, name, ids=[str(i)])
    yield
    client.delete_collection(name)
    create(client, name, ids=["9"])
    return {name: ["9"]}


def created_in_one_outage_and_deleted_in_the_next(client, name):
    yield
    create(client, name)
    yield
    client.delete_collection(name)
    return {}


def deleted_in_one_outage_and_recreated_in_the_next(client, name):
    create(client, name)
    yield
    client.delete_collection(name)
    yield
    create(client, name, ids=["5"])
    return {name: ["5"]}


def renamed_and_the_name_used_again(client, name):
    create(client, name)
    yield
    client.get_collection(name, embedding_function=None).modify(name=name + "-old")
    create(client, name, ids=["6"])
    yield
    client.delete_collection(name + "-old")
    return {name: ["6"]}


def renamed_twice_and_deleted_by_the_last_name(client, name):
    collection = create(client, name)
    yield
    collection.modify(name=name + "-2")
    yield
    collection.modify(name=name + "-3")
    client.delete_collection(name + "-3")
    return {}


def two_collections_swap_their_names(client, name):
    a, b = create(client, name + "-a", ids=["1"]), create(client, name + "-b", ids=["2"])
    yield
    a.modify(name=name + "-c")
    b.modify(name=name + "-a")
    a.modify(name=name + "-b")
    yield
    return {name + "-a": ["2"], name + "-b": ["1"]}


def documents_deleted_by_metadata(client, name):
    collection = create(client, name)
    yield
    collection.delete(where={"document_id": "d1"})
    yield
    collection.delete(where={"odd": True})
    return {name: ["2"]}


def documents_deleted_by_metadata_come_again(client, name):
    collection = create(client, name)
    yield
    collection.delete(where={"document_id": {"$in": ["d1", "d2"]}})
    put(collection, ["2"])
    yield
    collection.delete(where={"$and": [{"odd": False}, {"document_id": "d2"}]})
    put(collection, ["1"])
    return {name: ["3", "1"]}


def documents_deleted_by_content(client, name):
    collection = create(client, name)
    yield
    collection.delete(where_document={"$contains": "document 2"})
    yield
    collection.delete(where_document={"$contains": "document 3"}, where={"odd": True})
    return {name: ["1"]}


def documents_deleted_by_ids_in_both_outages(client, name):
    collection = create(client, name, ids=["1", "2", "3", "4"])
    yield
    collection.delete(ids=["1", "2"])
    yield
    collection.delete(ids=["3", "nobody"])
    return {name: ["4"]}


def a_filter_sees_what_was_updated_in_the_outage(client, name):
    collection = create(client, name)
    yield
    collection.update(ids=["2"], embeddings=[[5, 5]], metadatas=[{"document_id": "d1"}])
    collection.delete(where={"document_id": "d1"})
    yield
    collection.update(ids=["3"], embeddings=[[6, 6]], metadatas=[{"document_id": "d1"}])
    return {name: ["3"]}


def a_deleted_collection_is_gone_by_its_id(client, name):
    collection = create(client, name)
    yield
    client.delete_collection(name)
    fresh = create(client, name, ids=["4"])
    with pytest.raises(Exception, match="does not exist"):
        collection.add(ids=["9"], embeddings=[[1, 1]])
    yield
    with pytest.raises(Exception, match="does not exist"):
        collection.get()
    assert fresh.get()["ids"] == ["4"]
    return {name: ["4"]}


def two_deletes_cancel_nothing(client, name):
    create(client, name)
    yield
    client.delete_collection(name)
    with pytest.raises(Exception, match="does not exist"):
        client.delete_collection(name)
    yield
    with pytest.raises(Exception, match="does not exist"):
        client.delete_collection(name)
    return {}


SCENARIOS = [
    deleted_in_the_outage,
    created_and_deleted_in_one_outage,
    deleted_and_recreated,
    recreated_again_and_again,
    created_in_one_outage_and_deleted_in_the_next,
    deleted_in_one_outage_and_recreated_in_the_next,
    renamed_and_the_name_used_again,
    renamed_twice_and_deleted_by_the_last_name,
    two_collections_swap_their_names,
    documents_deleted_by_metadata,
    documents_deleted_by_metadata_come_again,
    documents_deleted_by_content,
    documents_deleted_by_ids_in_both_outages,
    a_filter_sees_what_was_updated_in_the_outage,
    a_deleted_collection_is_gone_by_its_id,
    two_deletes_cancel_nothing,
]

OUTAGES = [
    ("primary",),
    ("replica",),
    ("primary", "primary"),
    ("primary", "replica"),
    ("replica", "primary"),
    ("replica", "replica"),
]


def next_phase(running, left):
    for name, scenario in running.items():
        try:
            next(scenario)
        except StopIteration as end:
            left.update(end.value)
        except Exception as e:
            e.add_note(f"in {name}")
            raise


@pytest.mark.parametrize("outages", OUTAGES, ids="_then_".join)
@pytest.mark.parametrize("restart", [False, True], ids=["", "and_the_proxy_restarts"])
def test_nothing_comes_back_from_the_dead(shared_world, outages, restart):
    world = shared_world
    client = world.client()
    running = {s.__name__: s(client, s.__name__.replace("_", "-")) for s in SCENARIOS}
    left = {}
    next_phase(running, left)
    for i, victim in enumerate(outages):
        chroma = getattr(world, victim)
        chroma.kill()
        next_phase(running, left)
        if restart:
            world.proxy.restart()
        chroma.start()
        converged(world)
    if len(outages) == 1:
        next_phase(running, left)

    content = converged(world)[DEFAULT_DATABASE]
    assert {name: c["order"] for name, c in content.items()} == left
    listed = [c.name for c in client.list_collections(limit=1000)]
    assert sorted(listed) == sorted(left)
    check_mappings(world)
    for name in left:
        client.delete_collection(name)
    assert converged(world)[DEFAULT_DATABASE] == {}


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_a_database_deleted_in_an_outage_takes_its_collections_along(shared_world, victim):
    world = shared_world
    databases = "/api/v2/tenants/default_tenant/databases"
    for name in ("goes", "comes-again"):
        world.http.post(databases, json={"name": name}).raise_for_status()
        create(world.client(database=name), "inside")
    chroma = getattr(world, victim)
    converged(world)
    chroma.kill()
    for name in ("goes", "comes-again"):
        world.http.delete(f"{databases}/{name}").raise_for_status()
    world.http.post(databases, json={"name": "comes-again"}).raise_for_status()
    create(world.client(database="comes-again"), "inside", ids=["9"])
    chroma.start()
    content = converged(world)
    assert ("default_tenant", "goes") not in content
    assert content[("default_tenant", "comes-again")]["inside"]["order"] == ["9"]
    world.http.delete(f"{databases}/comes-again").raise_for_status()
    converged(world)


def test_a_delete_that_did_not_happen_is_not_acknowledged(make_world):
    world = make_world(WRITE_WAIT="1s")
    create(world.client(), "kept")
    converged(world)
    for chroma in world.instances:
        chroma.pause()
    answer = world.http.delete("/api/v2/tenants/default_tenant/databases/default_database/collections/kept")
    assert answer.status_code in (503, 504), answer.text
    for chroma in world.instances:
        chroma.resume()
    assert "kept" not in converged(world)[DEFAULT_DATABASE], "a pending delete happens once, later"
