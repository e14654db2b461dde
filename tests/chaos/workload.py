"""The clients: each a thread with one connection, which does what plan.py decided, never
retries, and notes what it was told.

    with Workload(history, urls, seed, clients=16, rate=150) as workload: ...

A line of the history is the operation and what became of it:

    c, n        client, number of the request
    p           of the proxy it was sent to; any, each time
    uuid        of the collection, where the path has one
    t0, t1      when it was sent and answered
    status      null: no answer, and `error` says why
    seq, outcome, instance, stale    from the headers X-Chromatid-*
    answer      of a 2xx, in short (wire.py)
    text        of anything else, its beginning

A collection is reached by the UUID that anybody was last told for its name; while nobody knows
one, the operation becomes a question for the name. So an old UUID is used now and then after
its collection was deleted, as real clients do.
"""

import json
import random
import threading

import httpx

from beside import Beside
from plan import DEFAULT, SHARED, operations
from wire import BY_ID, WRITES, answer_of, request_of

PATIENCE = 60  # longer than any time limit of the proxy
HEADERS = {"content-type": "application/json"}


class Directory:
    """(database, name) -> the UUID somebody was told last."""

    def __init__(self):
        self.known = {}

    def learn(self, op):
        answer = op.get("answer")
        if op["op"] in ("create", "named"):
            if answer:
                self.known[op["db"], op["name"]] = answer[0]
            elif op["status"] == 404:
                self.known.pop((op["db"], op["name"]), None)
        if op["op"] == "rename" and op["status"] == 200:
            uuid = self.known.pop((op["db"], op["name"]), None)
            if uuid:
                self.known[op["db"], op["to"]] = uuid

    def find(self, op):
        return self.known.get((op["db"], op["name"]))


class Client:
    """One connection and its requests."""

    def __init__(self, history, urls, number, directory):
        self.history = history
        self.number = number
        self.requests = 0
        self.directory = directory
        self.proxies = [httpx.Client(base_url=url, timeout=PATIENCE, headers=HEADERS) for url in urls]
        self.random = random.Random(f"{number}/proxies")

    def do(self, op):
        if op["op"] in BY_ID:
            uuid = self.directory.find(op)
            if uuid is None:
                op = {"op": "named", "db": op["db"], "name": op["name"], "tag": op["tag"]}
            else:
                op = {**op, "uuid": uuid}
        return self.send(op)

    def send(self, op):
        method, path, body = request_of(op, op.get("uuid"))
        if isinstance(body, dict):
            body = json.dumps(body)
        self.requests += 1
        p = self.random.randrange(len(self.proxies))
        op = {"c": self.number, "n": self.requests, "p": p, **op, "t0": self.history.now()}
        try:
            response = self.proxies[p].request(method, path, content=body)
        except httpx.HTTPError as e:
            op.update(t1=self.history.now(), status=None, error=repr(e))
        else:
            op.update(t1=self.history.now(), status=response.status_code)
            self.note(op, response)
        self.directory.learn(op)
        self.history.add("history", op)
        return op

    def note(self, op, response):
        for key in ("seq", "outcome", "instance", "stale"):
            value = response.headers.get(f"x-chromatid-{key}")
            if value is not None:
                op[key] = int(value) if key in ("seq", "stale") else value
        if response.status_code < 300:
            op["answer"] = answer_of(op, response.json())
        else:
            op["text"] = response.text[:200]

    def close(self):
        for http in self.proxies:
            http.close()


class Workload(Beside):
    def __init__(self, history, urls, seed, clients, rate):
        super().__init__(clients)
        self.history = history
        self.urls = urls
        self.seed = seed
        self.pause = clients / rate  # from one request of a client to its next
        self.directory = Directory()

    def __enter__(self):
        self.prepare()
        return super().__enter__()

    def prepare(self):
        """The shared collections, with their dimension: without faults yet."""
        client = Client(self.history, self.urls, "setup", self.directory)
        for name in SHARED:
            here = {"db": DEFAULT, "name": name}
            made = client.do({"op": "create", **here, "tag": f"setup-{name}"})
            assert made["status"] == 200, made
            first = {"op": "add", **here, "ids": ["first"], "docs": True, "emb": True}
            added = client.do({**first, "tag": f"setup-{name}-first"})
            assert added["status"] == 201, added
        client.close()

    def work(self, number):
        client = Client(self.history, self.urls, number, self.directory)
        for op in operations(self.seed, number):
            if self.over.is_set():
                break
            done = client.do(op)
            spent = done["t1"] - done["t0"]
            self.over.wait(max(self.pause - spent, 0.05 if done["status"] is None else 0.001))
        client.close()


class Sampler:
    """Asks /status of each proxy four times a second what it says is owed: the one that leads knows."""

    def __init__(self, history, urls):
        self.history = history
        self.over = threading.Event()
        self.proxies = [httpx.Client(base_url=url, timeout=2) for url in urls]
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for http in self.proxies:
            http.close()

    def run(self):
        while not self.over.wait(0.25):
            for http in self.proxies:
                self.look(http)

    def look(self, http):
        begun = self.history.now()
        try:
            status = http.get("/status").raise_for_status().json()
        except httpx.HTTPError:
            return
        if status["leader"] or len(self.proxies) == 1:
            self.history.add("samples", {"t0": begun, "t1": self.history.now(), **short(status)})


def short(status):
    instances = {
        i["name"]: {"healthy": i["healthy"], "pending": i["pending_writes"]} for i in status["instances"]
    }
    return {
        "leader": status["leader"],
        "pending": status["wal"]["pending_writes"],
        "instances": instances,
        "quarantine": status["quarantine"],
    }


def is_write(op):
    return op["op"] in WRITES


def succeeded(op):
    """Answered as one would be without any fault; refusals are answers too."""
    return op["status"] is not None and op["status"] < 500
