"""The log lies in partitions: what is old goes and gives its room back, what is owed stays,
until the log comes to its limit."""

import subprocess
import threading
import time
from pathlib import Path

import numpy
import pytest

from compare import converged
from crash import arm, died, start
from load import Load
from world import COLLECTIONS, wait_until

MB = 1 << 20
SMALL = {"LOG_MAX_BYTES": "16MiB"}  # partitions of 1 MB
OLD_SCHEMA = Path(__file__).parent / "schema_2.sql"


def partitions(world):
    return world.sql(
        "SELECT name, lo, hi, coalesce(pg_total_relation_size(id), 0) AS bytes FROM chromatid.log_partition ORDER BY lo"
    )


def clock(world):
    return world.sql("SELECT seq FROM chromatid.clock")[0]["seq"]


def closed(world):
    """Those into which nothing comes any more."""
    now = clock(world)
    return [p for p in partitions(world) if p["hi"] - 1 <= now]


def log_bytes(world):
    return sum(p["bytes"] for p in partitions(world))


def database_bytes(world):
    return world.sql("SELECT pg_database_size(current_database()) AS n")[0]["n"]


def cleanup(world, **body):
    return world.http.post("/wal/cleanup", json=body)


def said(world, text):
    return any(text in e["text"] for e in world.proxy.status()["recent_events"])


class Filler:
    """Writes much that does not compress, and that costs a Chroma little: long vectors."""

    DIMENSIONS = 19_000
    BYTES = 100_000  # of such a write, about: the client sends them as base64

    def __init__(self, world, name="filler"):
        self.collection = world.client().get_or_create_collection(name, embedding_function=None)
        self.n = 0

    def write(self, megabytes):
        for _ in range(int(megabytes * MB / self.BYTES)):
            self.n += 1
            self.collection.upsert(
                ids=[f"i{self.n % 20}"],
                embeddings=[numpy.random.default_rng(self.n).random(self.DIMENSIONS, dtype=numpy.float32)],
                metadatas=[{"n": self.n}],
            )

    def until(self, condition, what, megabytes=60):
        for _ in range(megabytes):
            if condition():
                return
            self.write(1)
        wait_until(condition, 60, what)


# --- a log from before


def insert_owed_records(world, n):
    """A collection and its records, appended and never executed."""
    world.postgres.execute(
        "INSERT INTO chromatid.collection (id, database, name, life) VALUES (2, 1, 'old', 0);"
        "INSERT INTO chromatid.name (database, name, collection) VALUES (1, 'old', 2);"
        "INSERT INTO chromatid.log (seq, op, kind, collection, database, name, body, body_len, embeddings, epoch)"
        " SELECT 2, gen_random_uuid(), 10, 2, 1, 'old', convert_to(b, 'UTF8'), length(b), false, 0"
        """ FROM (VALUES ('{"name":"old"}')) AS v(b);"""
        "INSERT INTO chromatid.log (seq, op, kind, collection, database, body, body_len, embeddings, epoch)"
        " SELECT s, gen_random_uuid(), 2, 2, 1, convert_to(b, 'UTF8'), length(b), true, 0"
        f" FROM generate_series(3, {n + 2}) AS s, LATERAL (SELECT format("
        """'{"ids":["i%s"],"embeddings":[[%s,1]],"documents":["d%s"],"metadatas":[null],"uris":[null]}',"""
        " s, s, s)) AS v(b);"
        f"UPDATE chromatid.clock SET seq = {n + 2}",
        world.database,
    )


def test_a_log_of_an_older_version_becomes_the_first_partition(make_world):
    world = make_world(start=False)
    world.postgres.execute(OLD_SCHEMA.read_text(), world.database)
    insert_owed_records(world, 500)
    world.start()
    first, second, *_ = partitions(world)
    assert (first["name"], first["lo"], first["hi"]) == ("log_0", 0, 100502)
    assert world.sql("SELECT count(*) AS n FROM chromatid.log_0")[0]["n"] == 501
    c = world.client().get_collection("old", embedding_function=None)
    wait_until(lambda: c.count() == 500, 30, "all is executed")
    c.upsert(ids=["new"], embeddings=[[1, 2]])
    assert clock(world) == second["lo"], "what is new goes into the next"
    content = converged(world)
    assert len(next(iter(content[("default_tenant", "default_database")].values()))["records"]) == 501
    world.proxy.restart()
    c.delete(ids=["new"])
    converged(world)


# --- what is old


def test_what_is_old_goes_and_gives_its_room_back(make_world):
    world = make_world(LOG_MAX_BYTES="160MiB", WAL_RETENTION="1s")
    filler = Filler(world)
    before = database_bytes(world)
    filler.until(lambda: len(closed(world)) > 0, "a partition is closed", 20)
    assert database_bytes(world) > before + 5 * MB
    wait_until(lambda: len(closed(world)) == 0, 30, "it has gone")
    # the rest is in the one that is open
    assert cleanup(world, max_age_hours=0).json()["status"] == "success"
    wait_until(lambda: log_bytes(world) < MB, 20, "the log is nearly empty")
    assert database_bytes(world) < before + 4 * MB
    below = partitions(world)[0]["lo"]
    wait_until(
        lambda: world.sql(f"SELECT count(*) AS n FROM chromatid.outcome WHERE seq < {below}")[0]["n"] == 0,
        20,
        "the outcomes have gone, too",
    )
    converged(world)
    world.proxy.restart()
    filler.write(0.1)
    converged(world)


def test_what_is_owed_stays_however_old_it_is(make_world):
    world = make_world(WAL_RETENTION="1s", LOG_MAX_BYTES="96MiB")
    filler = Filler(world)
    converged(world)
    world.replica.kill()
    world.wait_down(world.replica)
    first = clock(world)
    filler.until(lambda: len(closed(world)) >= 2, "some are closed", 40)
    assert cleanup(world, max_age_hours=0).json()["deleted_entries"] <= first
    kept = world.sql(f"SELECT count(*) AS n FROM chromatid.log WHERE seq > {first}")[0]["n"]
    assert kept == filler.n
    world.proxy.kill()
    world.proxy.start(wait="listening")
    world.replica.start()
    converged(world, timeout=60)
    wait_until(lambda: len(closed(world)) == 0, 30, "nobody needs them any more")


def test_a_cleanup_answers_as_it_should(world):
    c = world.client().create_collection("things", embedding_function=None)
    for k in range(20):
        c.add(ids=[f"{k}"], embeddings=[[k, 1]])
    converged(world)
    answer = cleanup(world)
    assert answer.status_code == 200
    assert answer.json()["deleted_entries"] == 0, "it is all younger than 24 hours"
    body = cleanup(world, max_age_hours=0).json()
    assert (body["status"], body["deleted_entries"], body["reset_entries"]) == ("success", 21, 0)
    assert body["message"]
    assert world.sql("SELECT count(*) AS n FROM chromatid.log")[0]["n"] == 0
    assert cleanup(world, max_age_hours="all").status_code == 400
    assert cleanup(world, max_age_hours=-1).status_code == 400
    assert world.http.post("/wal/cleanup", content="{}").status_code == 415
    c.add(ids=["more"], embeddings=[[1, 1]])
    assert c.count() == 21
    converged(world)


# --- the limit


def dead_replica(world, filler):
    world.replica.kill()
    world.wait_down(world.replica)
    wait_until(lambda: world.metric("chromatid_wal_log_bytes") > 0, 20, "the log was looked at")
    while log_bytes(world) < 12 * MB:
        filler.write(0.5)
    wait_until(lambda: said(world, "% of LOG_MAX_BYTES"), 20, "it is told")
    filler.until(lambda: world.proxy.instance("replica")["detached"], "the replica is given up", 40)


def test_at_the_limit_one_that_is_dead_is_given_up(make_world):
    world = make_world(**SMALL)
    filler = Filler(world)
    dead_replica(world, filler)
    assert said(world, "70 % of LOG_MAX_BYTES"), "well before"
    assert said(world, "instance replica is detached")
    wait_until(lambda: log_bytes(world) < 16 * MB, 20, "room is won")
    assert world.metric("chromatid_wal_log_limit_bytes") == 16 * MB
    assert 0 < world.metric("chromatid_wal_log_bytes") < 20 * MB
    replica = world.proxy.instance("replica")
    assert not replica["caught_up"] and replica["pending_writes"] == 0
    assert world.proxy.status()["status"] == "degraded"
    filler.write(2)
    world.proxy.kill()
    world.proxy.start(wait="listening")
    wait_until(world.proxy.leads, 30, "it is ready again")
    assert world.proxy.instance("replica")["detached"], "it was durable"
    filler.write(1)
    assert filler.collection.count() == 20
    world.replica.start()
    wait_until(lambda: not world.proxy.instance("replica")["detached"], 30, "it is back")
    wait_until(lambda: world.proxy.status()["status"] == "healthy", 60, "it was made anew")
    delete_what_was_set_aside(world.replica)
    converged(world, timeout=60)
    assert said(world, "instance replica: the log is kept for it again")


def test_one_that_is_given_up_is_made_anew_while_clients_write(make_world):
    world = make_world(WRITE_WAIT="10s", **SMALL)
    filler = Filler(world)
    with Load(world.proxy.url, threads=4) as load:
        load.wait_steps(30)
        dead_replica(world, filler)
        load.wait_steps(30)
        world.proxy.kill()
        world.proxy.start(wait="listening")
        load.wait_steps(30)
        world.replica.start()
        wait_until(lambda: not world.proxy.instance("replica")["detached"], 30, "it is back")
        world.proxy.kill()
        world.proxy.start(wait="listening")
        load.wait_steps(30)
        wait_until(lambda: world.proxy.status()["status"] == "healthy", 90, "it was made anew")
    assert load.stale == [], load.stale[:5]
    delete_what_was_set_aside(world.replica)
    load.check(converged(world, timeout=60))


def delete_what_was_set_aside(chroma):
    """A collection that was deleted while the server was away is not deleted there; nor is a copy that
    was begun before the server was looked through once more."""
    for c in chroma.client().list_collections():
        if c.name.startswith(("ctd-lost.", "ctd-del.")):
            chroma.client().delete_collection(c.name)


def test_with_all_up_the_retention_gives_way(make_world):
    world = make_world(**SMALL)
    filler = Filler(world)
    filler.until(lambda: said(world, "before WAL_RETENTION"), "the retention gives way", 40)
    assert log_bytes(world) < 24 * MB
    assert not any(i["detached"] for i in world.proxy.status()["instances"])
    converged(world)


def test_an_instance_that_was_removed_does_not_hold_the_log(make_world):
    world = make_world(**SMALL)
    filler = Filler(world)
    converged(world)
    world.proxy.terminate()
    world.replica.kill()
    del world.proxy.settings["REPLICA_URL"]
    del world.proxy.settings["PRIMARY_URL"]
    world.proxy.settings["INSTANCES"] = f"primary={world.primary.url}"
    world.proxy.start()
    filler.write(1)
    removed = wait_until(lambda: world.proxy.status()["removed_instances"], 20, "it is told")
    assert [(r["name"], r["detached"]) for r in removed] == [("replica", False)]
    world.proxy.terminate()
    world.proxy.settings["WAL_RETENTION"] = "1s"
    world.proxy.start()

    def given_up():
        return any(r["detached"] for r in world.proxy.status()["removed_instances"])

    wait_until(given_up, 20, "it is given up")
    assert said(world, "instance replica is detached")
    cleanup(world, max_age_hours=0)
    assert world.sql("SELECT count(*) AS n FROM chromatid.log")[0]["n"] == 0


def test_a_number_is_never_given_twice(make_world):
    world = make_world()
    numbers = "SELECT id, name FROM chromatid.instance ORDER BY id"
    assert world.sql(numbers) == [{"id": 1, "name": "primary"}, {"id": 2, "name": "replica"}]
    world.proxy.terminate()
    world.postgres.execute("DELETE FROM chromatid.instance WHERE id = 2", world.database)
    world.proxy.start()
    assert world.sql(numbers) == [{"id": 1, "name": "primary"}, {"id": 3, "name": "replica"}]


# --- in the way


class Reader:
    """Somebody who reads the log, and does not end."""

    BEGINS = "SELECT count(*) FROM chromatid.log;"

    def __init__(self, world):
        self.process = subprocess.Popen(
            ["psql", "-XAtq", "-d", world.postgres.url_of(world.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process.stdin.write(f"BEGIN; {self.BEGINS}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def end(self):
        self.process.communicate("COMMIT;\n")


def slowest_append(world, stop):
    slowest = 0
    with_ = world.client().get_or_create_collection("beside", embedding_function=None)
    while not stop.is_set():
        begun = time.monotonic()
        with_.upsert(ids=["x"], embeddings=[[1, 2]])
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def test_who_reads_the_log_is_not_waited_for(make_world):
    world = make_world(WAL_RETENTION="1s", **SMALL)
    filler = Filler(world)
    filler.write(3)
    reader = Reader(world)
    try:
        filler.until(lambda: len(closed(world)) >= 2, "some are closed", 40)
        stop, found = threading.Event(), []
        thread = threading.Thread(target=lambda: found.append(slowest_append(world, stop)))
        thread.start()
        body = cleanup(world, max_age_hours=0).json()
        tried = time.monotonic()
        wait_until(lambda: time.monotonic() > tried + 1, 5, "it goes on for a while")
        stop.set()
        thread.join()
        assert "reads the log" in body["message"]
        assert found[0] < 1.0, f"an append took {found[0]:.2f} s"
        assert len(closed(world)) >= 2
    finally:
        reader.end()
    wait_until(lambda: len(closed(world)) == 0, 30, "they go when nobody reads")
    converged(world)


def test_without_a_partition_a_write_is_refused_and_one_is_added(world):
    c = world.client().create_collection("things", embedding_function=None)
    last = partitions(world)[-1]["hi"]
    world.postgres.execute(f"UPDATE chromatid.clock SET seq = {last} - 1", world.database)
    path = f"{COLLECTIONS}/{c.id}/upsert"
    answer = world.http.post(path, json={"ids": ["1"], "embeddings": [[1, 2]]})
    if answer.status_code != 200:  # else the job was quicker
        assert answer.status_code == 503
        assert answer.headers["x-chromatid-outcome"] == "none"

    def written():
        return world.http.post(path, json={"ids": ["2"], "embeddings": [[1, 2]]}).status_code == 200

    wait_until(written, 3, "there is a partition again")
    assert clock(world) >= last
    converged(world)


# --- the proxy dies on the way


def resume_and_check(world, load=None):
    died(world)
    start(world)
    wait_until(lambda: len(partitions(world)) >= 4, 20, "there are partitions ahead")
    c = world.client().get_or_create_collection("after", embedding_function=None)
    c.upsert(ids=["x"], embeddings=[[1, 2]])
    assert c.count() == 1
    assert len({p["lo"] for p in partitions(world)}) == len(partitions(world))
    left = world.sql(
        "SELECT count(*) AS n FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace"
        " WHERE s.nspname = 'chromatid' AND c.relkind = 'r' AND c.relname ~ '^log_[0-9]+$' AND NOT c.relispartition"
    )
    assert left[0]["n"] == 0, "nothing is left over"


@pytest.mark.parametrize("point", ["retention_adding", "retention_added"])
def test_the_proxy_dies_while_a_partition_is_added(world, point):
    Filler(world).write(0.1)
    world.proxy.terminate()
    last = partitions(world)[-1]
    world.postgres.execute(
        f"ALTER TABLE chromatid.log DETACH PARTITION chromatid.{last['name']};"
        f" DROP TABLE chromatid.{last['name']}",
        world.database,
    )
    start(world, point, wait="listening")
    resume_and_check(world)
    converged(world)


@pytest.mark.parametrize("point", ["retention_dropping", "retention_dropped"])
def test_the_proxy_dies_while_a_partition_goes(make_world, point):
    world = make_world(WAL_RETENTION="1s", WRITE_WAIT="10s", **SMALL)
    arm(world, point)
    with Load(world.proxy.url, threads=2) as load:
        threading.Thread(target=lambda: swallow(Filler(world).write, 4), daemon=True).start()
        resume_and_check(world)
        load.wait_steps(30)
    wait_until(lambda: len(closed(world)) == 0, 30, "they go in the end")
    load.check(converged(world, timeout=60))


@pytest.mark.parametrize("point", ["retention_detaching", "retention_detached"])
def test_the_proxy_dies_while_an_instance_is_given_up(make_world, point):
    world = make_world(WRITE_WAIT="10s", **SMALL)
    arm(world, point)
    world.replica.kill()
    world.wait_down(world.replica)
    swallow(Filler(world).write, 40)
    resume_and_check(world)
    Filler(world).until(lambda: world.proxy.instance("replica")["detached"], "it is given up all the same", 20)
    wait_until(lambda: log_bytes(world) < 16 * MB, 20, "room is won")


def swallow(function, *args):
    """It meets a dead proxy somewhere."""
    try:
        function(*args)
    except Exception:
        pass


# --- a lock of an operator


class Locker(Reader):
    """Somebody who locks a table, and thinks."""

    def __init__(self, world, table):
        self.BEGINS = f"LOCK TABLE chromatid.{table} IN ACCESS EXCLUSIVE MODE; SELECT 1;"
        super().__init__(world)


def lease(world):
    """The epoch, and for how long it was renewed."""
    return world.sql("SELECT epoch, extract(epoch FROM until - now()) AS rest FROM chromatid.lease")[0]


def write_on(world, stop):
    c = world.client().get_or_create_collection("beside", embedding_function=None)
    while not stop.is_set():
        try:
            c.upsert(ids=["x"], embeddings=[[1, 2]])
        except Exception:  # it has waited for the lock, too long
            pass


def renewals(world, seconds):
    """What was left of the lease, at the least, and the epochs there were."""
    until, rests, epochs = time.monotonic() + seconds, [], set()
    while time.monotonic() < until:
        now = lease(world)
        rests.append(now["rest"])
        epochs.add(now["epoch"])
        time.sleep(0.1)
    return min(rests), epochs


# Without writes, too: they would keep the upkeep from coming to where it waits.
LOCKED = [(table, writes) for table in ("outcome", "log", "resolved") for writes in (True, False)]


@pytest.mark.parametrize("table,writes", [*LOCKED, ("instance", True), ("sync_worker", True)])
def test_a_lock_of_an_operator_deposes_nobody(make_world, table, writes):
    world = make_world(WAL_RETENTION="1s", WRITE_WAIT="2s", REQUEST_TIMEOUT="5s")
    c = world.client().create_collection("read", embedding_function=None)
    c.add(ids=["x"], embeddings=[[1, 2]])
    epoch = lease(world)["epoch"]
    stop = threading.Event()
    thread = threading.Thread(target=write_on, args=(world, stop))
    if writes:
        thread.start()
    locker = Locker(world, table)
    try:
        least, epochs = renewals(world, 10)
        assert epochs == {epoch}, "nobody else has led, nor the same one again"
        assert least > 2, f"the lease was not renewed for {5 - least:.1f} s"
        assert c.get(ids=["x"])["ids"] == ["x"]
        begun = time.monotonic()
        world.proxy.terminate()
        assert time.monotonic() - begun < 10
    finally:
        locker.end()
        stop.set()
        if writes:
            thread.join()
    world.proxy.start()
    converged(world)
