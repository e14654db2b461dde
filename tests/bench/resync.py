"""resync: the replica's disk is lost in an outage, and filled again while clients write and read.

So many records in 20 collections (fewer, if they are few), written through the proxy. The replica is killed, its data
directory deleted, and it is started again, empty. The clock starts when it answers, and stops
when nothing is in quarantine or being made anew and nothing is owed; that it is compared, and read,
comes later, and is told. The clients have written
since before the outage; each keeps to records of its own, and knows what a read must show. In
the end both servers hold the same, record by record, in the same order, and all that was
acknowledged. Then the same once more with nobody writing. With --proxies N so many proxies
share the work; clients talk to the one that leads.

The anchor: a script that reads pages from the one server, the proxy being gone, and adds them
to an empty one.
"""

import contextlib
import http.client
import json
import random
import time

import httpx

import wrk
from beside import Beside
from compare import differences, read_records, settled
from contestants import Bare, Chromatid, cpu_seconds, forget_peak, memory_mb
from measure import Row, say
from world import COLLECTIONS, Proxy, wait_until

MOST = 20  # collections
LEAST = 50  # records in one
DIMENSION = 384
CLIENTS = 4
BATCH = 250  # of those that fill
PAGE = 500  # of the plain script
LONGEST = 3600  # seconds
PIECES = wrk.pieces(DIMENSION)
INCLUDE = ["embeddings", "documents", "metadatas", "uris"]


def vector(rng):
    return f"[{','.join(rng.choices(PIECES, k=4))}]"


def document(id, version):
    return f"{id} as of {version}: {wrk.DOCUMENT}"


def body(rng, records):
    """Of a write. records: (id, version), ..."""
    return (
        f'{{"ids":{json.dumps([id for id, _ in records])},'
        f'"embeddings":[{",".join(vector(rng) for _ in records)}],'
        f'"documents":{json.dumps([document(*r) for r in records])},'
        f'"metadatas":{json.dumps([{"version": version} for _, version in records])}}}'
    )


class Client:
    """One connection, one request at a time; anything but 2xx raises."""

    def __init__(self, port, seed):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.rng = random.Random(seed)
        self.known = {}  # (path, id): version; what was acknowledged
        self.times = []  # (when it ended, seconds)

    def post(self, path, text):
        start = time.monotonic()
        self.http.request("POST", path, text, {"Content-Type": "application/json"})
        answer = self.http.getresponse()
        content = answer.read()
        end = time.monotonic()
        self.times.append((end, end - start))
        assert 200 <= answer.status < 300, f"{path}: {answer.status} {content[:200]}"
        return content

    def write(self, kind, path, records):
        self.post(f"{path}/{kind}", body(self.rng, records))
        self.known.update(((path, id), version) for id, version in records)

    def check(self, key):
        path, id = key
        content = self.post(f"{path}/get", json.dumps({"ids": [id], "include": ["documents"]}))
        expected = [document(id, self.known[key])]
        assert json.loads(content)["documents"] == expected, f"{key}: {content[:200]}"


class Fillers(Beside):
    def __init__(self, port, paths, each):
        super().__init__(2)
        self.clients = [Client(port, seed) for seed in range(2)]
        self.paths, self.each = paths, each

    def work(self, number):
        for path in self.paths[number::2]:
            ids = [(f"r{n}", 0) for n in range(self.each)]
            for first in range(0, len(ids), BATCH):
                self.clients[number].write("add", path, ids[first : first + BATCH])

    def wait(self):
        for thread in self.threads:
            thread.join()


def fill(port, paths, records):
    """By two clients, each into every second collection. Returns what there is."""
    each = records // len(paths)
    with Fillers(port, paths, each) as fillers:
        fillers.wait()
    known = {key: version for c in fillers.clients for key, version in c.known.items()}
    assert len(known) == len(paths) * each, "not everything could be written"
    return known


class Writers(Beside):
    """Single adds and upserts without a pause, half of the upserts of what was there before the
    outage; after each write a read, of that record or of another."""

    def __init__(self, port, paths, known, number):
        super().__init__(number)
        self.paths = paths
        self.clients = [Client(port, 100 + k) for k in range(number)]
        for k, key in enumerate(known):
            if number:
                self.clients[k % number].known[key] = known[key]

    def work(self, number):
        client = self.clients[number]
        rng, old, new, made = client.rng, list(client.known), [], 0
        while not self.over.is_set():
            kind = rng.random()
            if kind < 0.5 or not new:
                made += 1
                key = (rng.choice(self.paths), f"w{number}-{made}")
                client.write("add", key[0], [(key[1], 0)])
                new.append(key)
            else:
                key = rng.choice(old if kind < 0.75 else new)
                client.write("upsert", key[0], [(key[1], client.known[key] + 1)])
            client.check(rng.choice((key, rng.choice(old), rng.choice(new))))

    stop = Beside.__exit__  # before the block ends; once more does no harm

    def known(self):
        return {key: version for c in self.clients for key, version in c.known.items()}

    def times(self, begin, end):
        """(seconds, when it ended) of the requests that ended meanwhile, sorted."""
        return sorted((s, at) for c in self.clients for at, s in c.times if begin <= at < end)


def lose(world):
    world.replica.kill()
    world.wait_down(world.replica)
    world.replica.wipe()
    world.replica.start()


def made_anew(world):
    return world.metric("chromatid_resync_collections_total")


def is_whole(world, goal):
    status = world.proxy.status()
    return (
        made_anew(world) >= goal
        and status["quarantine"] == []
        and all(r["step"] == "comparing" for r in status["resync"])
        and all(i["healthy"] for i in status["instances"])
    )


def watched(condition, world):
    """Says how far it is, now and then."""
    next_word = time.monotonic() + 10

    def look():
        nonlocal next_word
        if time.monotonic() >= next_word:
            next_word += 10
            status = world.proxy.status()
            records = world.metric("chromatid_resync_records_total")
            say(f"    {len(status['quarantine'])} collections are missing, {records:.0f} records copied")
        return condition()

    return look


def refilled(chromatid, paths, known, number, before):
    """(seconds, the writers, when the outage began, and ended)"""
    world = chromatid.world
    goal = made_anew(world) + len(paths)
    with Writers(chromatid.port, paths, known, number) as writers:
        time.sleep(before if number else 0)
        begin = time.monotonic()
        lose(world)
        servers = {p.name: p.process.pid for p in (world.proxy, *world.instances)}
        used = {name: cpu_seconds(pid) for name, pid in servers.items()}
        start = time.monotonic()
        wait_until(watched(lambda: is_whole(world, goal), world), LONGEST, "it is filled again")
        end = time.monotonic()
        writers.stop()
    wait_until(lambda: settled(world), 60, "nothing is owed")
    cpu = {name: cpu_seconds(pid) - used[name] for name, pid in servers.items()}
    seconds = time.monotonic() - start
    wait_until(lambda: world.proxy.status()["resync"] == [], LONGEST, "it is compared, and read")
    say(f"    compared, and read, {time.monotonic() - start - seconds:.1f} s later")
    say(f"    {seconds:.1f} s; processor: {', '.join(f'{n} {s:.1f} s' for n, s in cpu.items())}")
    return seconds, writers, begin, end


def check(world, known):
    """Both hold the same in the same order, and everything that was acknowledged."""
    primary, replica = (
        {c["name"]: c for c in chroma.http.get(COLLECTIONS).raise_for_status().json()}
        for chroma in world.instances
    )
    assert set(primary) == set(replica), "not the same collections"
    number = 0
    for name, mine in primary.items():
        both = [
            read_records(chroma, f"{COLLECTIONS}/{c['id']}")
            for chroma, c in ((world.primary, mine), (world.replica, replica[name]))
        ]
        other = {**replica[name], "id": mine["id"]}
        different = differences(mine, other) + differences(*both)
        assert not different, f"{name} differs:\n" + "\n".join(different[:20])
        assert list(both[0]) == list(both[1]), f"{name}: not in the same order"
        path = f"{COLLECTIONS}/{mine['id']}"
        for id, record in both[0].items():
            assert record["documents"] == document(id, known[path, id]), f"{name}: {id}"
        number += len(both[0])
    assert number == len(known), f"{number} records, not {len(known)}"


def check_at_rest(world, known):
    """Verification follows, and may have a collection made anew for its search index: then what was
    read meanwhile means nothing."""
    while True:
        goal = made_anew(world)
        wait_until(lambda: is_whole(world, goal) and settled(world), 60, "nothing is being made anew")
        goal = made_anew(world)
        try:
            check(world, known)
            return
        except (AssertionError, httpx.HTTPStatusError):
            if made_anew(world) == goal and is_whole(world, goal):
                raise


def one_refill(bench, chromatid, paths, known, number):
    """Adds what the clients saw. Returns what there is now, and the row, which wants a ratio."""
    pid = chromatid.pid
    forget_peak(pid)
    seconds, writers, begin, end = refilled(chromatid, paths, known, number, bench.seconds)
    peak = memory_mb(pid, "VmHWM")
    known = {**known, **writers.known()}
    check_at_rest(chromatid.world, known)
    what = f"{len(known)} records, {len(paths)} collections"
    if bench.proxies > 1:
        what += f", {bench.proxies} proxies"
    where = {"scenario": "resync", "clients": number}
    if number:
        before, during = writers.times(begin - bench.seconds, begin), writers.times(begin, end)
        for took, at in during[-3:]:
            say(f"    {took * 1000:.0f} ms, {at - begin:.1f} s after the replica was killed")
        rates = len(before) / bench.seconds, len(during) / (end - begin)
        bench.add(
            Row(
                **where,
                what=f"longest {during[-1][0] * 1000:.0f} ms, none failed",
                who="clients meanwhile",
                rate=rates[1],
                ratio=rates[1] / rates[0],
                p50=during[len(during) // 2][0] * 1000,
                p99=during[len(during) * 99 // 100][0] * 1000,
            )
        )
    refill = Row(
        **where, what=f"{what}, {seconds:.0f} s", who="refilled", rate=len(known) / seconds, peak_mb=peak
    )
    return known, refill


def copied_by_script(source, target):
    """Records a second."""
    copied, start = 0, time.monotonic()
    for theirs in source.list_collections():
        ours = target.create_collection(theirs.name, metadata=theirs.metadata, embedding_function=None)
        offset = 0
        while (page := theirs.get(limit=PAGE, offset=offset, include=INCLUDE))["ids"]:
            ours.add(ids=page["ids"], **{field: page[field] for field in INCLUDE if any_of(page[field])})
            offset += len(page["ids"])
        copied += offset
    return copied, time.monotonic() - start


def any_of(values):
    return any(value is not None for value in values)


def anchor(bench, world, collections, expected):
    """The script's rate; the proxy and the replica are gone meanwhile."""
    world.proxy.terminate()
    world.replica.kill()
    with Bare(bench.new_directory()) as bare, bare.awake():
        copied, seconds = copied_by_script(world.primary.client(), bare.chroma.client())
        bare.settle()
    assert copied == expected, f"the script copied {copied} of {expected} records"
    what = f"{copied} records, {collections} collections, {seconds:.0f} s"
    rate = copied / seconds
    bench.add(Row("resync", what, None, "plain copy script", rate=rate, ratio=1))
    return rate


@contextlib.contextmanager
def helpers(bench, world):
    """The other proxies, which wait and copy."""
    others = []
    try:
        for k in range(2, bench.proxies + 1):
            others.append(Proxy(bench.new_directory(), world.proxy.settings, name=f"proxy{k}"))
            others[-1].settings = {**world.proxy.settings, "PORT": str(others[-1].port)}
            others[-1].start(wait="listening")
        live = "SELECT 1 FROM sync_workers WHERE worker_status = 'alive'"
        wait_until(lambda: len(world.sql(live)) == bench.proxies, 30, "all proxies have registered")
        yield others
    finally:
        for proxy in others:
            if proxy.running():
                proxy.terminate()
            proxy.http.close()


def run(bench):
    with bench.world() as world, Chromatid(world) as chromatid, helpers(bench, world) as others:
        paths = chromatid.create("resync", max(1, min(MOST, bench.records // LEAST)))
        say(f"    writing {bench.records} records")
        known = fill(chromatid.port, paths, bench.records)
        chromatid.settle()
        refills = []
        for number in (CLIENTS, 0):
            known, row = one_refill(bench, chromatid, paths, known, number)
            refills.append(row)
        for proxy in others:
            proxy.terminate()
        rate = anchor(bench, world, len(paths), len(known))
        for row in refills:
            row.ratio = row.rate / rate
            bench.add(row)
