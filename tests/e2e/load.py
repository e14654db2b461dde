"""Mixed load from several clients, which knows what each read must show.

Every record is written by one worker only, each time with a higher version, and read by
all. A read is stale if it does not show what was acknowledged before it began. A write
with an unknown outcome (no answer, or an error without X-Chromatid-Outcome: none) makes
its record unsure: it may be there or not, and is left alone from then on.

    with Load(world.proxy.url, threads=8) as load:
        load.wait_steps(200)
        world.primary.kill()
        load.wait_steps(200)
    assert load.failures == [] and load.stale == []
    load.check(converged(world))
"""

import itertools
import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from compare import DEFAULT_DATABASE
from world import COLLECTIONS, wait_until

DIMENSION = 8


@dataclass
class Failure:
    """A request that was not answered, or not as it should be."""

    op: str
    status: int | None  # None: no answer
    text: str
    seconds: float
    headers: dict = field(default_factory=dict)

    @property
    def is_write(self):
        return self.op not in ("get", "query", "count", "list", "name")

    @property
    def had_no_effect(self):
        return self.headers.get("x-chromatid-outcome") == "none"


class Record:
    def __init__(self, collection, id):
        self.collection = collection
        self.id = id
        self.acked = (0, False)  # what was acknowledged last: version, is it there
        self.deleted = 0  # the highest version sent as a delete
        self.unsure = False


class Load:
    def __init__(self, url, threads=8, collections=2, catalogue=True):
        """catalogue: also create and delete collections."""
        self.url = url
        self.catalogue = catalogue
        self.ids = {f"load-{i}-{random.randrange(10**9)}": None for i in range(collections)}
        self.records = []
        self.failures = []
        self.stale = []
        self.crashes = []
        self.steps = 0
        self.slowest = 0.0
        self.versions = itertools.count(1)
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(threads)]

    def __enter__(self):
        for name in self.ids:
            made = httpx.post(self.url + COLLECTIONS, json={"name": name}, timeout=60)
            self.ids[name] = made.raise_for_status().json()["id"]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.crashes, self.crashes

    def wait_steps(self, steps, timeout=60):
        """Until so many more requests have been answered with success."""
        goal = self.steps + steps
        wait_until(lambda: self.steps >= goal or self.crashes, timeout, f"{steps} more requests")

    def work(self, number):
        try:
            with httpx.Client(base_url=self.url, timeout=120) as http:
                worker = Worker(self, http, number)
                while not self.over.is_set():
                    worker.step()
        except Exception as e:  # raised again by stop()
            self.crashes.append(repr(e))

    def succeeded(self, seconds):
        with self.lock:
            self.steps += 1
            self.slowest = max(self.slowest, seconds)

    def check(self, content):
        """Holds what the servers have (see compare.py) to what was acknowledged."""
        wrong = []
        for name in self.ids:
            mine = [r for r in self.records if r.collection == name]
            expected = {r.id: r.acked[0] for r in mine if r.acked[1] and not r.unsure}
            unsure = {r.id for r in mine if r.unsure}
            found = content[DEFAULT_DATABASE][name]["records"]
            there = {id: r["metadatas"]["version"] for id, r in found.items() if id not in unsure}
            for id in {*there, *expected}:
                if there.get(id) != expected.get(id):
                    wrong.append(f"{name} {id}: {there.get(id)} there, {expected.get(id)} expected")
        assert not wrong, "\n".join(wrong[:20])


class Worker:
    def __init__(self, load, http, number):
        self.load = load
        self.http = http
        self.number = number
        self.random = random.Random(number)
        self.own = []
        self.numbers = itertools.count()
        writes = [self.add] * 4 + [self.upsert, self.update, self.delete] * 2
        reads = [self.read_any] * 6 + [self.query] * 2 + [self.count, self.list]
        self.steps = writes + reads + [self.create_and_delete] * load.catalogue

    def step(self):
        self.random.choice(self.steps)()

    def send(self, op, method, path, body=None, expected=(200, 201)):
        """(answer, None) or (None, failure)"""
        started = time.monotonic()
        try:
            answer = self.http.request(method, COLLECTIONS + path, json=body)
        except httpx.HTTPError as e:
            failure = Failure(op, None, repr(e), time.monotonic() - started)
            self.load.over.wait(0.02)  # a proxy that is gone refuses very fast
        else:
            seconds = time.monotonic() - started
            if answer.status_code in expected:
                self.load.succeeded(seconds)
                return answer, None
            failure = Failure(op, answer.status_code, answer.text[:500], seconds, dict(answer.headers))
        self.load.failures.append(failure)
        return None, failure

    def send_to(self, collection, op, body):
        return self.send(op, "POST", f"/{self.load.ids[collection]}/{op}", body)

    def embedding(self):
        return [self.random.random() for _ in range(DIMENSION)]

    # writes: afterwards the record says what every later read must show

    def write(self, op, record):
        version = next(self.load.versions)
        body = {
            "ids": [record.id],
            "embeddings": [self.embedding()],
            "documents": [f"version {version}"],
            "metadatas": [{"version": version, "key": record.id}],
        }
        self.settle(record, version, True, self.send_to(record.collection, op, body))

    def settle(self, record, version, alive, result):
        answer, failure = result
        if answer:
            record.acked = (version, alive)
            self.read(record)
        elif not failure.had_no_effect:
            record.unsure = True

    def pick(self, alive=True):
        fitting = [r for r in self.own if r.acked[1] == alive and not r.unsure]
        return self.random.choice(fitting) if fitting else None

    def add(self):
        record = self.pick(alive=False)  # what is deleted may come back
        if record is None or self.random.random() < 0.7:
            name = self.random.choice(list(self.load.ids))
            record = Record(name, f"{self.number}-{next(self.numbers)}")
            self.own.append(record)
            self.load.records.append(record)
        self.write("add", record)

    def upsert(self):
        if record := self.pick():
            self.write("upsert", record)

    def update(self):
        if record := self.pick():
            self.write("update", record)

    def delete(self):
        if record := self.pick():
            version = record.deleted = next(self.load.versions)
            which = self.random.choice([{"ids": [record.id]}, {"where": {"key": record.id}}])
            result = self.send_to(record.collection, "delete", which)
            self.settle(record, version, False, result)

    def create_and_delete(self):
        name = f"short-{self.number}-{next(self.numbers)}"
        created, _ = self.send("create", "POST", "", {"name": name})
        if created:
            self.send("name", "GET", f"/{name}")
            deleted, _ = self.send("drop", "DELETE", f"/{name}")
            if deleted:
                self.send("name", "GET", f"/{name}", expected=(404,))

    # reads

    def expect(self, true, text):
        if not true:
            self.load.stale.append(text)

    def read(self, record):
        before = record.acked
        body = {"ids": [record.id], "include": ["metadatas", "documents"]}
        answer, _ = self.send_to(record.collection, "get", body)
        if answer is None or record.unsure:
            return
        found = answer.json()
        seen = found["metadatas"][0]["version"] if found["ids"] else None
        self.judge(record, before, seen, answer)
        if seen:
            self.expect(found["documents"][0] == f"version {seen}", f"{record.id} is torn: {found}")

    def judge(self, record, before, seen, answer):
        version, alive = before
        if seen is None:
            right = not alive or record.deleted > version
        else:
            right = seen >= version
        instance = answer.headers.get("x-chromatid-instance")
        text = f"{record.collection} {record.id} on {instance}: {seen}, but {before} was acknowledged"
        self.expect(right, text)

    def read_any(self):
        if self.load.records:
            self.read(self.random.choice(self.load.records))

    def query(self):
        body = {"query_embeddings": [self.embedding()], "n_results": 3}
        self.send_to(self.random.choice(list(self.load.ids)), "query", body)

    def count(self):
        name = self.random.choice(list(self.load.ids))
        self.send("count", "GET", f"/{self.load.ids[name]}/count")

    def list(self):
        answer, _ = self.send("list", "GET", "")
        if answer:
            missing = set(self.load.ids) - {c["name"] for c in answer.json()}
            self.expect(not missing, f"not in the list: {missing}")
