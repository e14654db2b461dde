"""Reads that share a call hear what they would hear alone, whatever happens to the call.

LOAD_BALANCE_STRATEGY=primary_only sends all to one instance, so that they meet there.
"""

import asyncio
import itertools
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from beside import Beside
from relay import reads
from world import COLLECTIONS, wait_until

CLIENTS = 24
ITEMS = 300
DIMENSION = 8
AWKWARD = ["\u00e9", 'q"', "back\\slash", "a b", "\u4e2d\u2028", "/"]
METRIC = "chromatid_read_merged_reads_total"


def vector(r):
    return [round(r.uniform(-1, 1), 4) for _ in range(DIMENSION)]


@pytest.fixture
def world(make_world):
    return make_world(LOAD_BALANCE_STRATEGY="primary_only")


def local_path(world, name, path):
    """Where the primary itself has it."""
    found = world.primary.http.get(f"{COLLECTIONS}/{name}").raise_for_status().json()
    return f"{COLLECTIONS}/{found['id']}/{path}"


def fill(world, name="together"):
    r = random.Random(name)
    made = world.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()
    ids = [f"item-{n}" for n in range(ITEMS)] + AWKWARD
    body = {
        "ids": ids,
        "embeddings": [vector(r) for _ in ids],
        "documents": [r.choice([None, f"text {id}", 'x"]}']) for id in ids],
        "metadatas": [r.choice([None, {"n": n % 5}, {"[": "]"}]) for n in range(len(ids))],
    }
    world.http.post(f"{COLLECTIONS}/{made['id']}/add", json=body).raise_for_status()
    return f"{COLLECTIONS}/{made['id']}", ids


def some_get(r, ids):
    body = {"ids": r.sample([*ids, "none", ""], r.randint(1, 6)), "where": None}
    if r.random() < 0.2:
        body["ids"] += body["ids"][:1]
    if r.random() < 0.3:
        body["where"] = {"n": {"$gt": 1}}
    if r.random() < 0.5:
        body["include"] = ["documents", "embeddings", "metadatas", "uris"]
    if r.random() < 0.05:
        body["limit"] = 1
    return "get", body


def some_query(r, _):
    body = {"query_embeddings": [vector(r) for _ in range(r.choice([1, 1, 1, 3]))], "n_results": 3}
    if r.random() < 0.2:
        body["where"] = {"n": 2}
    return "query", body


def some_bad(r, _):
    """What a Chroma refuses."""
    return r.choice(
        [
            ("query", {"query_embeddings": [[1.0] * (DIMENSION + 1)], "n_results": 3}),
            ("query", {"query_embeddings": [[1.0] * DIMENSION, [1.0]], "n_results": 3}),
            ("query", {"query_embeddings": [[1.0] * DIMENSION], "n_results": 3, "where": {"$no": 1}}),
            ("query", {"query_embeddings": [[1.0] * DIMENSION], "n_results": "many"}),
            ("get", {"ids": ["item-1", 7], "where": None}),
            ("get", {"ids": ["item-1"], "where": {"n": {"$no": 1}}}),
        ]
    )


def ask_all(url, path, questions):
    """Each by a client of its own out of CLIENTS, all at once; the answers in order."""
    dumps = [json.dumps, lambda body: json.dumps(body, ensure_ascii=False).encode()]

    def ask(http, n, question):
        if question[0] == "count":
            return http.get(f"{path}/count")
        content = dumps[n % 2](question[1])
        return http.post(
            f"{path}/{question[0]}", content=content, headers={"content-type": "application/json"}
        )

    limits = httpx.Limits(max_connections=CLIENTS)
    with httpx.Client(base_url=url, timeout=60, limits=limits) as http, ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda n: ask(http, n, questions[n]), range(len(questions))))


def alone(world, path, question):
    verb, body = question
    local = local_path(world, "together", verb)
    return world.primary.http.get(local) if verb == "count" else world.primary.http.post(local, json=body)


def assert_as_alone(world, path, questions, answers):
    for question, told in zip(questions, answers):
        direct = alone(world, path, question)
        assert told.status_code == direct.status_code, (question, told.text, direct.text)
        if told.status_code == 200:
            assert told.text == direct.text, question
            assert told.headers["content-type"] == direct.headers["content-type"]
            assert told.headers["x-chromatid-instance"] == "primary"
            assert int(told.headers["content-length"]) == len(told.content)
        else:
            assert told.json()["error"] == direct.json()["error"]
    ids = [told.headers["x-request-id"] for told in answers]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("kind", ["get", "query", "count"])
def test_each_hears_what_it_would_hear_alone(world, kind):
    path, ids = fill(world)
    r = random.Random(kind)
    some = {"get": some_get, "query": some_query, "count": lambda *_: ("count", None)}[kind]
    questions = [some(r, ids) for _ in range(400)]
    answers = ask_all(world.proxy.url, path, questions)
    assert all(told.status_code == 200 for told in answers)
    assert_as_alone(world, path, questions, answers)
    merged = world.metric(METRIC)
    assert merged > len(questions) / 20, f"only {merged} of {len(questions)} shared a call"
    assert world.metric("chromatid_read_merged_calls_total") <= merged / 2


def test_one_that_is_refused_spoils_nothing(world):
    path, ids = fill(world)
    r = random.Random(5)
    kinds = [some_get, some_query, some_query, some_bad]
    questions = [r.choice(kinds)(r, ids) for _ in range(400)]
    answers = ask_all(world.proxy.url, path, questions)
    assert_as_alone(world, path, questions, answers)
    statuses = Counter(told.status_code for told in answers)
    assert statuses[200] > 200 and statuses[400] > 20 and statuses[500] == 0, statuses


def test_it_can_be_switched_off(make_world):
    world = make_world(LOAD_BALANCE_STRATEGY="primary_only", MERGE_READS="off")
    path, ids = fill(world)
    questions = [some_get(random.Random(n), ids) for n in range(200)]
    assert_as_alone(world, path, questions, ask_all(world.proxy.url, path, questions))
    assert world.metric(METRIC) == 0


class Readers(Beside):
    """They get and query without a pause; whatever is not a 200, or not right, is a failure."""

    def __init__(self, url, path, ids, clients=CLIENTS):
        super().__init__(clients)
        self.url, self.path, self.ids = url, path, ids
        self.done = 0

    def wait(self, more, timeout=60):
        goal = self.done + more
        wait_until(lambda: self.done >= goal or self.failures, timeout, f"{more} more reads")

    def work(self, number):
        r = random.Random(number)
        with httpx.Client(base_url=self.url, timeout=60) as http:
            while not self.over.is_set():
                self.read(http, r)
                self.done += 1

    def read(self, http, r):
        if r.random() < 0.3:
            body = {"query_embeddings": [vector(r)], "n_results": 2}
            found = http.post(f"{self.path}/query", json=body).raise_for_status().json()
            assert [len(ids) for ids in found["ids"]] == [2], found
        else:
            wanted = r.sample(self.ids, 2)
            found = http.post(f"{self.path}/get", json={"ids": wanted}).raise_for_status().json()
            assert sorted(found["ids"]) == sorted(wanted), found


def test_an_instance_killed_under_them_costs_no_read(make_world):
    world = make_world()
    path, ids = fill(world)
    with Readers(world.proxy.url, path, ids) as load:
        for chroma in (world.replica, world.primary):
            load.wait(300)
            chroma.kill()
            load.wait(300)
            chroma.start()
            wait_until(world.all_healthy, 30, "both are healthy")
    assert world.metric(METRIC) > 0


def test_one_that_hangs_is_routed_around(make_world):
    world = make_world()
    path, ids = fill(world)
    with Readers(world.proxy.url, path, ids) as load:
        load.wait(300)
        world.replica.pause()
        load.wait(600)
        world.replica.resume()
    assert world.metric(METRIC) > 0


@pytest.mark.parametrize("fault", ["error", "reset", "lose", "cut", "garbage", "hang_after"])
def test_a_call_that_comes_to_nothing_costs_no_read(make_world, fault):
    """Each is asked alone then, by the other one where that is due."""
    world = make_world(relays=True)
    path, ids = fill(world)
    relay = world.relay_of(world.replica)
    with Readers(world.proxy.url, path, ids) as load:
        load.wait(200)
        relay.fault(fault, match=reads, times=6)
        wait_until(lambda: relay.counts[fault] >= 6, 30, "all faults have hit")
        load.wait(300)
    assert world.metric(METRIC) > 0


async def ask_and_leave(port, path, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = json.dumps(body).encode()
    head = f"POST {path}/get HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    await writer.drain()
    await asyncio.sleep(random.random() / 50)  # some wait, some are under way
    writer.transport.abort()


async def many_leave(port, path, ids, times):
    for _ in range(times):
        await asyncio.gather(*(ask_and_leave(port, path, {"ids": [random.choice(ids)]}) for _ in range(CLIENTS)))


def test_clients_that_leave_are_dropped_alone(world):
    path, ids = fill(world)
    with Readers(world.proxy.url, path, ids, clients=12) as load:
        load.wait(100)
        asyncio.run(many_leave(world.proxy.port, path, ids, 30))
        load.wait(100)
    asyncio.run(many_leave(world.proxy.port, path, ids, 10))  # all of them
    wait_until(lambda: world.metric("chromatid_http_requests_in_flight") == 1, 10, "all have ended")
    assert world.metric(METRIC) > 0


def test_what_was_written_is_read(make_world):
    """A get of what its client has just written, among many that share calls; versions only rise."""
    world = make_world()
    path, _ = fill(world)
    wrong = []
    numbers = itertools.count()

    def work(client):
        with httpx.Client(base_url=world.proxy.url, timeout=60) as http:
            for version in range(25):
                body = {"ids": [f"own-{client}"], "embeddings": [[version] * DIMENSION]}
                body["metadatas"] = [{"version": version, "unique": next(numbers)}]
                http.post(f"{path}/upsert", json=body).raise_for_status()
                for _ in range(4):
                    found = http.post(f"{path}/get", json={"ids": body["ids"]}).raise_for_status().json()
                    if found["metadatas"] != body["metadatas"]:
                        wrong.append((body["metadatas"], found))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    assert wrong == [], wrong[:3]
    assert world.metric(METRIC) > 0
