"""Unchanged clients do a day's work, with both servers up and with either one down."""

import asyncio
import inspect
import os
import subprocess
from pathlib import Path

import chromadb
import pytest
from chromadb.errors import NotFoundError

from compare import DEFAULT_DATABASE, check_mappings, converged
from world import wait_until

JS = Path(__file__).parent / "js"
VECTORS = [[0.1, 0.2, 0.3], [0.9, 0.1, 0.4], [0.5, 0.5, 0.5], [0.7, 0.2, 0.1], [0.3, 0.8, 0.6]]


@pytest.fixture(params=["none", "primary", "replica"], ids=lambda down: f"{down}_down")
def outage(request, shared_world):
    """To be called in the middle of the work."""
    world = shared_world
    victim = {"none": None, "primary": world.primary, "replica": world.replica}[request.param]
    return lambda: victim and victim.kill()


def finish(world):
    """The server that was down comes back: both get equal; returns the collections."""
    world.revive()
    content = converged(world)[DEFAULT_DATABASE]
    check_mappings(world)
    return content


async def settle(value):
    """Lets one workflow drive the synchronous and the asynchronous client."""
    return await value if inspect.isawaitable(value) else value


async def work(client, name, in_the_middle):
    """create ... add | the outage | everything else, with the collection of before."""
    assert await settle(client.heartbeat()) > 0
    c = await settle(client.create_collection(name, metadata={"made": "new"}, embedding_function=None))
    id = c.id
    again = await settle(client.get_or_create_collection(name, embedding_function=None))
    assert again.id == id
    with pytest.raises(chromadb.errors.ChromaError, match="already exists"):
        await settle(client.create_collection(name, embedding_function=None))
    await settle(
        c.add(
            ids=["1", "2", "3"],
            embeddings=VECTORS[:3],
            documents=["red apple", "green pear", "red cherry"],
            metadatas=[{"document_id": "x", "page": i} for i in range(3)],
        )
    )
    in_the_middle()

    assert await settle(c.count()) == 3
    await settle(c.add(ids=["4"], embeddings=VECTORS[3:4], metadatas=[{"document_id": "y"}]))
    assert await settle(c.count()) == 4
    await settle(c.upsert(ids=["4", "5"], embeddings=VECTORS[3:5], documents=["grape", "plum"]))
    await settle(
        c.update(ids=["2"], embeddings=VECTORS[1:2], documents=["yellow pear"], metadatas=[{"page": 7}])
    )
    got = await settle(c.get(ids=["2", "4"], include=["documents", "metadatas", "embeddings"]))
    assert got["ids"] == ["2", "4"]
    assert got["documents"] == ["yellow pear", "grape"]
    assert got["metadatas"] == [{"document_id": "x", "page": 7}, {"document_id": "y"}]
    assert got["embeddings"].round(6).tolist() == VECTORS[1:2] + VECTORS[3:4]
    found = await settle(c.query(query_embeddings=[VECTORS[4]], n_results=1))
    assert found["ids"] == [["5"]]
    found = await settle(c.query(query_embeddings=[VECTORS[4]], n_results=5, where={"document_id": "x"}))
    assert sorted(found["ids"][0]) == ["1", "2", "3"]
    assert (await settle(c.peek(2)))["ids"] == ["1", "2"]
    assert (await settle(c.get(where_document={"$contains": "red"})))["ids"] == ["1", "3"]

    await settle(c.delete(ids=["1"]))
    await settle(c.delete(where={"page": {"$in": [7]}}))
    await settle(c.delete(where_document={"$contains": "plum"}))
    assert (await settle(c.get()))["ids"] == ["3", "4"]
    await settle(c.modify(name=name + "-renamed", metadata={"made": "old"}))
    renamed = await settle(client.get_collection(name + "-renamed", embedding_function=None))
    assert renamed.id == id and renamed.metadata == {"made": "old"}

    short = await settle(client.create_collection(name + "-short", embedding_function=None))
    await settle(short.add(ids=["1"], embeddings=[[1, 2]]))
    names = [x.name for x in await settle(client.list_collections())]
    assert {name + "-renamed", name + "-short"} <= set(names) and name not in names
    assert await settle(client.count_collections()) == len(names)
    await settle(client.delete_collection(name + "-short"))
    with pytest.raises(NotFoundError):
        await settle(client.get_collection(name + "-short", embedding_function=None))
    with pytest.raises(NotFoundError):
        await settle(client.delete_collection(name + "-short"))
    return id


def check_result(content, name):
    """What work() and workflow.mjs leave behind, on both servers."""
    assert name not in content and name + "-short" not in content
    collection = content[name + "-renamed"]
    assert collection["metadata"] == {"made": "old"}
    assert collection["order"] == ["3", "4"]
    assert collection["records"]["3"]["documents"] == "red cherry"
    assert collection["records"]["4"]["documents"] == "grape"


def test_the_python_client_works(shared_world, outage, request):
    name = f"sync-{request.node.callspec.id}"
    asyncio.run(work(shared_world.client(), name, outage))
    check_result(finish(shared_world), name)


def test_the_asynchronous_python_client_works(shared_world, outage, request):
    name = f"async-{request.node.callspec.id}"

    async def run():
        client = await chromadb.AsyncHttpClient(host="127.0.0.1", port=shared_world.proxy.port)
        await work(client, name, outage)

    asyncio.run(run())
    check_result(finish(shared_world), name)


def test_the_javascript_client_works(shared_world, outage, request):
    name = f"js-{request.node.callspec.id}"
    node = subprocess.Popen(
        ["node", "workflow.mjs", str(shared_world.proxy.port), name],
        cwd=JS,
        env=os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first = node.stdout.readline()
    if first == "half\n":
        outage()
    rest, _ = node.communicate("go on\n", timeout=120)
    assert node.returncode == 0, first + rest
    check_result(finish(shared_world), name)


@pytest.mark.parametrize("creator", ["primary", "replica"])
def test_a_collection_keeps_its_id_when_its_creator_dies(shared_world, creator):
    """Created while only one server was there, used while only the other one is."""
    world = shared_world
    first = getattr(world, creator)
    second = world.other(first)
    second.kill()
    c = world.client().create_collection(f"kept-{creator}", embedding_function=None)
    c.add(ids=["1"], embeddings=[[1, 2]])
    second.start()
    converged(world)
    first.kill()
    c.add(ids=["2"], embeddings=[[3, 4]])
    assert c.get()["ids"] == ["1", "2"]
    assert world.client().get_collection(c.name, embedding_function=None).id == c.id
    first.start()
    assert finish(world)[c.name]["order"] == ["1", "2"]
    world.proxy.restart()
    assert c.get()["ids"] == ["1", "2"]


def test_a_new_collection_is_on_both_servers_and_in_the_mapping(shared_world):
    world = shared_world
    c = world.client().create_collection("on-both", embedding_function=None)
    converged(world)
    mapping = check_mappings(world)[(*DEFAULT_DATABASE, "on-both")]
    assert mapping["public_id"] == str(c.id)
    assert mapping["primary_uuid"] == mapping["primary_collection_id"] == mapping["locations"]["primary"]
    assert mapping["replica_uuid"] == mapping["replica_collection_id"] == mapping["locations"]["replica"]
    assert mapping["primary_uuid"] != mapping["replica_uuid"]
    rows = world.sql("SELECT * FROM collection_id_mapping WHERE collection_name = 'on-both'")
    assert len(rows) == 1
    assert str(rows[0]["primary_collection_id"]) == mapping["primary_uuid"]
    assert str(rows[0]["replica_collection_id"]) == mapping["replica_uuid"]


def test_the_second_server_has_each_write_within_a_second(shared_world):
    world = shared_world
    c = world.client().create_collection("prompt", embedding_function=None)
    for i in range(10):
        c.add(ids=[str(i)], embeddings=[[i, 1]])
        for chroma in world.instances:
            there = chroma.client
            wait_until(
                lambda: str(i) in there().get_collection("prompt", embedding_function=None).get()["ids"],
                1,
                f"write {i} is on the {chroma.name}",
            )


def test_a_read_always_shows_what_was_written_before_it(shared_world):
    """Reads are spread over both servers, and counted."""
    world = shared_world
    c = world.client().create_collection("fresh", embedding_function=None)
    before = {i["name"]: i["request_count"] for i in world.proxy.status()["instances"]}
    for i in range(60):
        c.upsert(ids=["1"], embeddings=[[1, 2]], metadatas=[{"i": i}])
        for _ in range(3):
            assert c.get(ids=["1"])["metadatas"] == [{"i": i}]
    for _ in range(100):
        c.count()
    after = {i["name"]: i["request_count"] for i in world.proxy.status()["instances"]}
    assert all(after[name] - before[name] > 20 for name in after), (before, after)
