"""Servers and networks that are half dead: they accept and never answer, fail after they have
done it, lose, cut or garble answers. No client notices, and both servers end up equal.

The relay (relay.py) does the harm. Deeds are what a client does; each is a generator that
prepares, yields, and then does the one thing that matters and looks at what came of it.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from compare import check_mappings, converged
from load import Load
from relay import all_writes, not_probes, reads, writes
from world import wait_until

VICTIMS = ["primary", "replica"]
LONGEST = 10  # seconds for any request, whatever happens to one instance
TENANTS = "/api/v2/tenants"
DATABASES = TENANTS + "/default_tenant/databases"

BROKEN = [
    ("reset", {}),
    ("reset_after", {}),
    ("lose", {}),
    ("cut", {"where": "head"}),
    ("cut", {"where": "body"}),
    ("wrong_length", {}),
    ("garbage", {}),
]
ERRORS = [(kind, {"status": s}) for kind in ("error", "error_after") for s in (500, 502, 503, 504)]
# a 429 comes before anything is done
TOO_BUSY = [("error", {"status": 408}), ("error", {"status": 429}), ("error_after", {"status": 408})]
# each of these costs an instance five seconds
SILENT = [("hang_after", {}), ("silence", {}), ("half_open", {}), ("slow", {"rate": 20})]
GROUPS = {"broken": BROKEN, "errors": ERRORS, "too busy": TOO_BUSY, "silent": SILENT}

numbers = itertools.count()


class Database:
    """A database, and requests that insist on the answer a healthy Chroma gives."""

    def __init__(self, http):
        self.http = http
        self.name = f"half{next(numbers)}dead"  # also what its faults are matched by
        self.path = f"{DATABASES}/{self.name}"
        self.slowest = 0

    def ask(self, method, path, body=None, expected=200):
        started = time.monotonic()
        answer = self.http.request(method, path, json=body)
        self.slowest = max(self.slowest, time.monotonic() - started)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def post(self, path, body, **options):
        return self.ask("POST", path, body, **options)

    def make(self, name, beside=""):
        """beside: a database of its own, so that its path is like no other."""
        if beside:
            self.post(DATABASES, {"name": self.name + beside})
        return f"{self.path}{beside}/collections"

    def filled(self, name):
        """The path of a collection with three records."""
        made = self.post(self.path + "/collections", {"name": name, "metadata": {"old": 1}})
        path = f"{self.path}/collections/{made['id']}"
        self.post(path + "/add", records("1", "2", "3"), expected=201)
        return path

    def content(self, path):
        got = self.post(path + "/get", {"include": ["documents", "metadatas"]})
        return {id: (doc, meta) for id, doc, meta in zip(got["ids"], got["documents"], got["metadatas"])}


def records(*ids, text="as added"):
    return {
        "ids": list(ids),
        "embeddings": [[int(id), 1] for id in ids],
        "documents": [text] * len(ids),
        "metadatas": [{"odd": int(id) % 2} for id in ids],
    }


# deeds


def add(db):
    path = db.filled("add")
    yield
    db.post(path + "/add", records("4", "5"), expected=201)
    assert list(db.content(path)) == ["1", "2", "3", "4", "5"]


def upsert(db):
    path = db.filled("upsert")
    yield
    db.post(path + "/upsert", records("2", "4", text="upserted"))
    texts = [doc for doc, _ in db.content(path).values()]
    assert texts == ["as added", "upserted", "as added", "upserted"]


def update(db):
    path = db.filled("update")
    yield
    db.post(path + "/update", records("2", text="updated"))
    assert db.content(path)["2"] == ("updated", {"odd": 0})


def delete_by_ids(db):
    path = db.filled("delete_by_ids")
    yield
    assert db.post(path + "/delete", {"ids": ["1", "2", "9"]})["deleted"] == 3
    assert list(db.content(path)) == ["3"]


def delete_by_filter(db):
    path = db.filled("delete_by_filter")
    yield
    assert db.post(path + "/delete", {"where": {"odd": 1}})["deleted"] == 2
    assert list(db.content(path)) == ["2"]


def create(db):
    path = db.make("create", beside="c")
    yield
    made = db.post(path, {"name": "created", "metadata": {"a": 1}})
    assert made["metadata"] == {"a": 1}
    db.post(path, {"name": "created"}, expected=409)
    db.post(f"{path}/{made['id']}/add", records("1"), expected=201)
    assert list(db.content(f"{path}/{made['id']}")) == ["1"]


def get_or_create(db):
    path = db.make("get_or_create", beside="g")
    yield
    made = db.post(path, {"name": "got", "metadata": {"a": 1}, "get_or_create": True})
    again = db.post(path, {"name": "got", "get_or_create": True})
    assert made["id"] == again["id"] and again["metadata"] == {"a": 1}


def rename(db):
    path = db.filled("rename")
    yield
    db.ask("PUT", path, {"new_name": "renamed"})
    assert path.endswith(db.ask("GET", db.path + "/collections/renamed")["id"])
    db.ask("GET", db.path + "/collections/rename", expected=404)


def change_metadata(db):
    path = db.filled("change_metadata")
    yield
    db.ask("PUT", path, {"new_metadata": {"new": 2}})
    assert db.ask("GET", db.path + "/collections/change_metadata")["metadata"] == {"new": 2}


def delete_collection(db):
    path = db.filled("delete_collection")
    by_name = db.path + "/collections/delete_collection"
    yield
    db.ask("DELETE", by_name)
    db.ask("GET", by_name, expected=404)
    db.ask("DELETE", by_name, expected=404)
    again = db.post(db.path + "/collections", {"name": "delete_collection"})
    assert not path.endswith(again["id"]) and again["metadata"] is None


def create_database(db):
    tenant = f"{TENANTS}/{db.name}d"
    db.post(TENANTS, {"name": db.name + "d"})
    yield
    db.post(tenant + "/databases", {"name": "made"})
    assert db.ask("GET", tenant + "/databases/made")["name"] == "made"
    db.post(tenant + "/databases", {"name": "made"}, expected=409)
    db.post(tenant + "/databases/made/collections", {"name": "inside"})


def delete_database(db):
    beside = db.make("delete_database", beside="x")
    db.post(beside, {"name": "inside"})
    path = f"{db.path}x"
    yield
    db.ask("DELETE", path)
    db.ask("GET", path, expected=404)
    db.post(DATABASES, {"name": db.name + "x"})
    assert db.ask("GET", beside) == []


def create_tenant(db):
    yield
    db.post(TENANTS, {"name": db.name + "t"})
    assert db.ask("GET", f"{TENANTS}/{db.name}t")["name"] == db.name + "t"
    db.post(TENANTS, {"name": db.name + "t"}, expected=409)


def read(db):
    path = db.filled("read")
    by_name = db.path + "/collections/read"
    yield
    end = time.monotonic() + LONGEST
    for n in itertools.count(1):  # until the victim was asked, too
        assert list(db.content(path)) == ["1", "2", "3"]
        assert db.ask("GET", path + "/count") == 3
        near = db.post(path + "/query", {"query_embeddings": [[1, 1]], "n_results": 1})
        assert near["ids"] == [["1"]]
        assert path.endswith(db.ask("GET", by_name)["id"])
        assert "read" in {c["name"] for c in db.ask("GET", db.path + "/collections")}
        db.ask("GET", f"{TENANTS}/default_tenant")
        db.ask("GET", db.path)
        if n >= 3 and (db.once.hits or time.monotonic() > end):
            break


WRITES = [
    add,
    upsert,
    update,
    delete_by_ids,
    delete_by_filter,
    create,
    get_or_create,
    rename,
    change_metadata,
    delete_collection,
    create_database,
    delete_database,
    create_tenant,
]


# for faults that take time: what has most to lose first, then what stands for its kind
LONG = [add, update, delete_by_filter, create, rename, delete_collection, delete_database]
SHORT = [add, delete_by_filter, create]


class Once:
    """Matches each different request to a database once."""

    def __init__(self, relay, db, match):
        self.relay = relay
        self.name = db.name
        self.match = match
        self.hits = set()

    def __call__(self, method, path):
        if (method, path) in self.hits or not self.match(method, path) or not self.is_ours(path):
            return False
        self.hits.add((method, path))
        return True

    def is_ours(self, path):
        """What makes a tenant has the same path for all: never two faults in a row."""
        if path != TENANTS:
            return self.name in path
        last = next((kind for _, p, kind in reversed(list(self.relay.seen)) if p == path), None)
        return last is None


def run(deeds):
    """All of them at once; what went wrong, a line each."""

    def finish(deed, label):
        try:
            next(deed, None)
        except (AssertionError, httpx.HTTPError) as e:
            return f"{label}: {str(e).splitlines()[0] if str(e) else repr(e)}"

    with ThreadPoolExecutor(16) as pool:
        return [e for e in pool.map(finish, *zip(*deeds)) if e]


def suffer(world, victim, plan, match):
    """plan: (fault, its options, the deeds that suffer it); each in a database of its own.

    No request may take longer than LONGEST."""
    relay = world.relay_of(getattr(world, victim))
    deeds = []
    databases = []
    with httpx.Client(base_url=world.proxy.url, timeout=LONGEST) as http:
        for kind, options, kinds in plan:
            db = Database(http)
            db.fault = (kind, options)
            db.post(DATABASES, {"name": db.name})
            db.once = Once(relay, db, match)
            databases.append(db)
            deeds += [(deed(db), f"{kind} {options} {deed.__name__}") for deed in kinds]
        wrong = run(deeds)
        assert not wrong, "while nothing is wrong:\n" + "\n".join(wrong)
        converged(world)
        for db in databases:
            relay.fault(db.fault[0], match=db.once, **db.fault[1])
        wrong = run(deeds)
        assert not wrong, "\n".join(wrong)
        converged(world, timeout=60)
        relay.clear()
        for db in databases:
            db.ask("DELETE", db.path)
    return databases


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("group", GROUPS)
def test_every_write_is_answered_as_if_nothing_had_happened(relayed_world, victim, group):
    if group == "silent":
        plan = [(*fault, SHORT if n else LONG) for n, fault in enumerate(SILENT)]
    else:
        plan = [(*fault, WRITES) for fault in GROUPS[group]]
    for db, (_, _, deeds) in zip(suffer(relayed_world, victim, plan, writes), plan):
        assert len(db.once.hits) >= len(deeds), f"{db.fault} has hit only {db.once.hits}"
    check_mappings(relayed_world)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize(
    "group",
    [
        "broken",
        "errors",
        "too busy",
        "silent",
    ],
)
def test_every_read_is_answered_as_if_nothing_had_happened(relayed_world, victim, group):
    plan = [(*fault, [read]) for fault in GROUPS[group] if fault[0] != "slow"]  # no fault of a read
    for db in suffer(relayed_world, victim, plan, reads):
        assert db.once.hits, f"{db.fault} has hit nothing"


def test_a_read_outlives_an_error_of_the_only_one_that_is_current(relayed_world):
    """The other one is half a second behind."""
    world = relayed_world
    ahead, behind = world.relays
    with httpx.Client(base_url=world.proxy.url, timeout=30) as http:
        db = Database(http)
        db.post(DATABASES, {"name": db.name})
        path = db.filled("read")
        converged(world)
        behind.fault("delay", seconds=0.5, match=lambda _, p: db.name in p and p.endswith("/add"))
        db.post(path + "/add", records("4"), expected=201)
        ahead.fault("error", times=1, match=lambda _, p: db.name in p)
        assert list(db.content(path)) == ["1", "2", "3", "4"]
        assert ahead.counts["error"] > 0


# under load


def unhurt(load):
    assert load.failures == [], load.failures[:5]
    assert load.stale == [], load.stale[:5]
    assert load.slowest < LONGEST


@pytest.mark.parametrize("victim", VICTIMS)
def test_no_client_of_many_notices_anything(relayed_world, victim):
    """A third of what the victim is asked goes wrong, in one way after the other."""
    world = relayed_world
    relay = world.relay_of(getattr(world, victim))
    with Load(world.proxy.url, threads=6) as load:
        for kind, options in (*BROKEN, *ERRORS[::2]):
            hit = relay.counts[kind]
            match = not_probes if kind not in ("error", "error_after") else writes
            relay.fault(kind, share=0.3, match=match, **options)
            wait_until(lambda: relay.counts[kind] >= hit + 8, 30, f"{kind} has hit")
            relay.clear()
        load.wait_steps(50)
    unhurt(load)
    load.check(converged(world, timeout=60))


@pytest.mark.parametrize("victim", VICTIMS)
def test_one_that_accepts_and_never_answers_is_seen_down(relayed_world, victim):
    world = relayed_world
    relay = world.relay_of(getattr(world, victim))
    with Load(world.proxy.url, threads=6) as load:
        load.wait_steps(50)
        relay.fault("silence")
        load.wait_steps(50)
        world.wait_down(getattr(world, victim))
        load.wait_steps(50)
        relay.clear()
        wait_until(world.all_healthy, 30, "it is healthy again")
        load.wait_steps(50)
    unhurt(load)
    load.check(converged(world, timeout=60))


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("kind", ["error", "error_after"])
def test_one_that_only_reads_costs_no_write(relayed_world, victim, kind):
    """Its disk is full: whatever changes something is answered 500, for as long as it lasts."""
    world = relayed_world
    relay = world.relay_of(getattr(world, victim))
    with Load(world.proxy.url, threads=6) as load:
        relay.fault(kind, match=all_writes)
        load.wait_steps(150)
        assert relay.counts[kind] > 0
        relay.clear()
        load.wait_steps(50)
    unhurt(load)
    load.check(converged(world, timeout=60))


# slow, and nothing else


def test_great_latency_fails_nothing(relayed_world):
    world = relayed_world
    with Load(world.proxy.url, threads=16) as load:
        for relay in world.relays:
            relay.fault("delay", seconds=2, match=not_probes)
        load.wait_steps(40)
        assert world.all_healthy(), "slow is not dead"
        world.calm()
    unhurt(load)
    load.check(converged(world))


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_long_answer_comes_slowly_and_whole(relayed_world, victim):
    """1 KB/s. It slows nobody else down."""
    world = relayed_world
    relay = world.relay_of(getattr(world, victim))
    with httpx.Client(base_url=world.proxy.url, timeout=30) as http:
        db = Database(http)
        db.post(DATABASES, {"name": db.name})
        path = db.filled("slow")
        other = db.filled("other")
        db.post(path + "/add", {**records("4"), "documents": ["x" * 3000]}, expected=201)
        converged(world)
        relay.fault("slow", rate=1000, match=lambda _, p: db.name in p and p.endswith("/get"))
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(Database.content, db, path) for _ in range(8)]
            wait_until(lambda: relay.counts["slow"], 10, "one is on its way")
            fast = Database(http)
            fast.post(other + "/add", records("4"), expected=201)
            fast.ask("GET", other + "/count")
            assert fast.slowest < 2
            for answer in answers:
                assert answer.result()["4"][0] == "x" * 3000
    relay.clear()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_big_write_may_take_its_time(relayed_world, victim):
    """Eight seconds for three megabytes, slow to be taken or slow to be done: not a fault."""
    world = relayed_world
    chroma = getattr(world, victim)
    relay, beside = world.relay_of(chroma), world.relay_of(world.other(chroma))
    big = records(*map(str, range(3000)), text="y" * 1000)
    with httpx.Client(base_url=world.proxy.url, timeout=30) as http, ThreadPoolExecutor(2) as pool:
        db = Database(http)
        db.post(DATABASES, {"name": db.name})
        taken, done = db.filled("taken"), db.filled("done")
        converged(world)

        def executed(relay):
            here = [path.rsplit("/", 1)[1] for _, path, _ in list(relay.seen) if db.name in path]
            return [op for op in sorted(here) if op in ("update", "upsert")]

        relay.fault("delay", seconds=8, match=lambda _, p: db.name in p and p.endswith("/update"))
        relay.fault(
            "delay", seconds=8, after=True, match=lambda _, p: db.name in p and p.endswith("/upsert")
        )
        started = time.monotonic()
        answers = [pool.submit(db.post, path, big) for path in (taken + "/update", done + "/upsert")]
        while time.monotonic() < started + 7:
            assert world.all_healthy(), "a slow write is no reason"
            assert victim == "replica" or not executed(beside), "it is waited for"
            time.sleep(0.1)
        for answer in answers:
            answer.result()
        content = converged(world)["default_tenant", db.name]
        assert len(content["taken"]["records"]) == 3 and len(content["done"]["records"]) == 3000
        for relay in world.relays:
            assert executed(relay) == ["update", "upsert"], "once, on each"
        assert world.all_healthy()
    world.calm()
