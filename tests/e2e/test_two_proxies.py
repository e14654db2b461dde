"""Two proxies at once: both serve the same collections, through PostgreSQL alone."""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from beside import Beside
from compare import converged
from crash import Lock
from world import Proxy, wait_until


def make(client, name="docs"):
    return client.get_or_create_collection(name, embedding_function=None)


def vector(k):
    return [float(k % 7), float(k % 11), 1.0]


def test_what_one_has_taken_the_other_shows_at_once(world, pair):
    first, second = (p.client() for p in pair)
    for k in range(20):
        writer, reader = (first, second) if k % 2 else (second, first)
        name = f"docs{k}"
        make(writer, name).add(ids=["a"], embeddings=[[1, 2, 3]], documents=["x"])
        there = reader.get_collection(name, embedding_function=None)
        assert there.get()["documents"] == ["x"]
        there.update(ids=["a"], embeddings=[[3, 2, 1]], documents=["y"])
        assert writer.get_collection(name, embedding_function=None).get()["documents"] == ["y"]
        assert name in {c.name for c in reader.list_collections()}
        writer.delete_collection(name)
        with pytest.raises(Exception, match="does not exist"):
            reader.get_collection(name, embedding_function=None)
        with pytest.raises(Exception, match="does not exist"):
            there.get()
        assert name not in {c.name for c in reader.list_collections()}
    converged(world)


class Alternating(Beside):
    """Each client writes an item and reads it back, at any of the proxies, and again. It goes to
    another one when a connection is refused, and does nothing else about anything."""

    def __init__(self, proxies, collection, clients=8):
        super().__init__(clients)
        self.urls = [proxy.url for proxy in proxies]
        self.path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection.id}"
        self.written = set()
        self.gaps = []

    def work(self, number):
        chance = random.Random(number)
        clients = [httpx.Client(base_url=url, timeout=60) for url in self.urls]
        k = 0
        while not self.over.is_set():
            id = f"{number}.{k}"
            begun = time.monotonic()
            self.ask(clients, chance, "add", {"ids": [id], "embeddings": [vector(k)], "documents": [id]}, 201)
            self.gaps.append(time.monotonic() - begun)
            self.written.add(id)
            found = self.ask(clients, chance, "get", {"ids": [id], "include": ["documents"]}, 200)
            assert found["documents"] == [id], f"{id} was written, and then {found} was read"
            k += 1
        for client in clients:
            client.close()

    def ask(self, clients, chance, what, body, wanted):
        while True:
            try:
                answer = chance.choice(clients).post(f"{self.path}/{what}", json=body)
            except httpx.ConnectError:
                continue
            assert answer.status_code == wanted, f"{what}: {answer.status_code} {answer.text}"
            return answer.json()


def all_there(world, pair, collection, work):
    world.proxies = list(pair)
    converged(world)
    held = set(collection.get(include=[])["ids"])
    assert held == work.written


def test_a_client_that_alternates_reads_what_it_has_written(world, pair):
    docs = make(pair[0].client())
    with Alternating(pair, docs) as work:
        wait_until(lambda: len(work.written) > 400, 60, "much is written")
    all_there(world, pair, docs, work)


def test_a_rolling_restart_fails_no_request(world, pair):
    docs = make(pair[0].client())
    with Alternating(pair, docs) as work:
        for proxy in (*pair, *pair):
            before = len(work.written)
            proxy.restart(wait="ready")
            wait_until(lambda: len(work.written) > before + 100, 60, "clients go on")
    print(f"the longest write took {max(work.gaps):.3f} s")
    all_there(world, pair, docs, work)


def test_a_leader_that_is_killed_loses_nothing(world, pair):
    """A connection that breaks under a write says nothing; everything else is held until another leads."""
    first, second = pair
    docs = make(first.client())
    with Alternating([second], docs) as work:
        wait_until(lambda: len(work.written) > 50, 60, "clients are at work")
        before = len(work.written)
        first.kill()
        wait_until(lambda: len(work.written) > before + 50, 60, "the other leads")
        first.start(wait="ready")
    print(f"the longest write took {max(work.gaps):.3f} s")
    all_there(world, (second, first), second.client().get_collection("docs", embedding_function=None), work)


def test_a_leader_that_freezes_and_wakes_up_harms_nothing(world, pair):
    first, second = pair
    docs = make(first.client())
    with Alternating([second], docs) as work:
        wait_until(lambda: len(work.written) > 50, 60, "clients are at work")
        before = len(work.written)
        first.signal(signal.SIGSTOP)
        wait_until(lambda: len(work.written) > before + 50, 60, "the other leads")
        first.signal(signal.SIGCONT)
        after = len(work.written)
        wait_until(lambda: len(work.written) > after + 50, 60, "it goes on")
        wait_until(lambda: first.ready() == 200, 30, "the one that woke up follows")
    all_there(world, (second, first), second.client().get_collection("docs", embedding_function=None), work)


def test_writes_in_flight_at_a_leader_that_ends_are_answered(world, pair):
    """Clients of the one that is told to end hear how their writes ended: the other executes them."""
    first, second = pair
    docs = make(first.client())
    with Alternating([first, second], docs, clients=16) as work:
        wait_until(lambda: len(work.written) > 100, 60, "clients are at work")
        first.terminate()
        before = len(work.written)
        wait_until(lambda: len(work.written) > before + 100, 60, "the other leads")
    first.start(wait="ready")
    all_there(world, (second, first), second.client().get_collection("docs", embedding_function=None), work)


def test_databases_tenants_and_a_reset_are_seen_at_once(world, pair):
    first, second = (p.http for p in pair)
    for a, b in ((first, second), (second, first)):
        assert a.post("/api/v2/tenants", json={"name": "acme"}).status_code == 200
        assert b.get("/api/v2/tenants/acme").status_code == 200
        assert b.post("/api/v2/tenants/acme/databases", json={"name": "east"}).status_code == 200
        assert a.post("/api/v2/tenants/acme/databases", json={"name": "east"}).status_code == 409
        assert [d["name"] for d in a.get("/api/v2/tenants/acme/databases").json()] == ["east"]
        made = b.post("/api/v2/tenants/acme/databases/east/collections", json={"name": "docs"})
        assert made.status_code == 200
        assert a.get("/api/v2/tenants/acme/databases/east/collections_count").json() == 1
        assert a.delete("/api/v2/tenants/acme/databases/east").status_code == 200
        assert b.get("/api/v2/tenants/acme/databases/east").status_code == 404
        id = made.json()["id"]
        path = f"/api/v2/tenants/acme/databases/east/collections/{id}"
        assert b.post(f"{path}/get", json={}).status_code == 404
        assert a.post("/api/v2/reset").status_code == 200
        assert b.get("/api/v2/tenants/acme").status_code == 404
    converged(world)


def test_a_rename_is_seen_at_once(world, pair):
    first, second = (p.client() for p in pair)
    for k, (a, b) in enumerate(((first, second), (second, first))):
        make(a, f"old{k}").modify(name=f"new{k}")
        assert b.get_collection(f"new{k}", embedding_function=None).name == f"new{k}"
        with pytest.raises(Exception, match="does not exist"):
            b.get_collection(f"old{k}", embedding_function=None)
        make(b, f"old{k}").add(ids=["x"], embeddings=[[1, 2]])
        assert a.get_collection(f"old{k}", embedding_function=None).count() == 1
    converged(world)


def test_a_key_is_one_write_whoever_is_asked(world, pair):
    docs = make(pair[0].client())
    path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{docs.id}/add"
    body = {"ids": ["a"], "embeddings": [[1, 2, 3]]}
    answers = [p.http.post(path, json=body, headers={"idempotency-key": "k"}) for p in (*pair, *pair)]
    assert {a.status_code for a in answers} == {201}
    assert len({a.headers["x-chromatid-seq"] for a in answers}) == 1


def test_what_only_the_leader_can_do_the_other_has_it_do(world, pair):
    """More of that is in test_errands.py."""
    second = pair[1].http
    assert second.get("/status").json()["leader"] is False
    passed_on = second.post("/admin/verify", json={})
    assert passed_on.status_code == 202 and passed_on.headers["x-chromatid-leader"]
    assert second.get("/ready").status_code == 200


def test_without_postgresql_a_follower_holds_and_then_says_so(world, tmp_path):
    settings = {**world.proxy.settings, "PORT": "0", "WRITE_WAIT": "1s"}
    second = Proxy(tmp_path / "second", settings, name="second")
    second.settings["PORT"] = str(second.port)
    second.start(wait="ready")
    docs = make(world.proxy.client())
    try:
        world.postgres.stop()
        path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{docs.id}/count"
        refused = second.http.get(path)
        assert refused.status_code == 503 and refused.headers["x-chromatid-outcome"] == "none"
        assert world.proxy.http.get(path).status_code == 200
    finally:
        world.postgres.start()
    wait_until(lambda: second.http.get(path).status_code == 200, 30, "it reads again")
    second.terminate()
    second.check_sanitizers()


def test_a_leader_that_wakes_up_shows_what_others_have_acknowledged(world, pair):
    """The requests wait in their sockets while it sleeps, and are the first thing it sees; the server
    that it would ask does not have yet what was acknowledged meanwhile."""
    first, second = pair
    docs = make(first.client())
    there = second.client().get_collection("docs", embedding_function=None)
    docs.add(ids=["before"], embeddings=[[1, 2, 3]])
    converged(world)
    assert first.status()["leader"]
    first.signal(signal.SIGSTOP)
    world.replica.pause()
    there.add(ids=["meanwhile"], embeddings=[[3, 2, 1]])
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(docs.get) for _ in range(8)]
        wait_until(lambda: waiting_in_sockets(first) == 8, 10, "the requests have arrived there")
        world.replica.resume()
        first.signal(signal.SIGCONT)
        for answer in asked:
            assert set(answer.result(60)["ids"]) == {"before", "meanwhile"}
    converged_at(world, second)


def waiting_in_sockets(proxy):
    """Those with bytes that it has not read: column rx_queue."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = f":{proxy.port:04X}"
    return sum(row[1].endswith(mine) and int(row[4].split(":")[1], 16) > 0 for row in rows if row[3] == "01")


def converged_at(world, leader):
    world.proxies = [leader]
    world.proxy = leader
    converged(world)


def test_the_order_of_places_is_the_order_of_commits(world, pair):
    """Another proxy has its place and its commit is delayed: nobody's record comes before it, whoever appends."""
    first, second = (p.client() for p in pair)
    docs = make(first)
    body = '{"ids":["slow"],"embeddings":[[1,2,3]]}'
    append = f"""UPDATE chromatid.clock SET seq = seq + 1;
        INSERT INTO chromatid.log (seq, op, kind, collection, database, body, body_len, embeddings, epoch)
        SELECT c.seq, gen_random_uuid(), 1, k.id, k.database, convert_to('{body}', 'UTF8'), {len(body)}, true, 0
          FROM chromatid.clock c, chromatid.collection k WHERE k.public_id = '{docs.id}'"""
    there = second.get_collection("docs", embedding_function=None)
    with Lock(world, append) as lock, ThreadPoolExecutor(2) as threads:
        deleted = threads.submit(docs.delete, ids=["slow"])
        added = threads.submit(there.add, ids=["other"], embeddings=[[3, 2, 1]])
        waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'chromatid-log' AND wait_event_type = 'Lock'"
        wait_until(lambda: len(world.sql(waiting)) == 2, 10, "both wait for it")
        assert not deleted.done() and not added.done()
        lock.psql.stdin.write("COMMIT;\n")
        lock.psql.stdin.flush()
        deleted.result(30), added.result(30)
    assert docs.get(include=[])["ids"] == ["other"]
    log = world.sql("SELECT kind, o.decision FROM chromatid.log l LEFT JOIN chromatid.outcome o USING (seq) ORDER BY seq")
    assert [row["kind"] for row in log][:2] == [10, 1] and all(row["decision"] == 1 for row in log)
    converged(world)
