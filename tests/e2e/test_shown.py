"""Whoever is asked shows what the proxy that leads knows, and nothing that is not so any more."""

import contextlib
import json
import re
import signal
import socket
import subprocess

import pytest

from compare import converged
from crash import Lock
from test_metrics import promtool
from test_rebuild import fill, lose, noticed
from test_schema import holds
from world import BINARY, wait_until

BOUND = 10  # seconds
LONGEST = 256 * 1024
OF_INSTANCE = ["pending_writes", "pending_bytes", "caught_up", "detached", "replaying", "last_error"]
OF_LOG = """pending_writes is_replaying oldest_pending total_replayed failed_replays quarantined last_seq
    undecided decided""".split()
OF_ALL = ["collections", "resync", "strangers", "verification", "quarantine", "export", "removed_instances"]
LED_METRICS = """instance_detached wal_undecided_entries wal_pending_entries wal_pending_bytes strangers
    wal_oldest_pending_timestamp_seconds quarantined_entries collections""".split()


@pytest.fixture
def pair(make_world):
    """A world of two proxies; the first one leads."""
    return make_world(proxies=2, WRITE_WAIT="10s", REPAIR="report", VERIFY_INTERVAL="0")


def led(proxy):
    """What only a leader knows, as this proxy shows it."""
    status = proxy.status()
    return {
        **{f"{i['name']}.{key}": i[key] for i in status["instances"] for key in OF_INSTANCE},
        **{key: status["wal"][key] for key in OF_LOG},
        **{key: status[key] for key in OF_ALL},
        "unified": (status["unified_wal"]["pending_writes"], status["unified_wal"]["is_syncing"]),
        "lag": [i["lag_seconds"] is None for i in status["instances"]],
    }


def is_blank(proxy):
    """Nothing is known, and it is said of everything."""
    known = {key: value for key, value in led(proxy).items() if value is not None}
    nothing = dict.fromkeys(("live", "creating", "complete", "partial"))
    page, collections = proxy.http.get("/wal/status").json(), proxy.http.get("/status/collections").json()
    return (
        known == {"collections": nothing, "unified": (None, None), "lag": [True, True]}
        and page["pending_writes"] is page["successful_syncs"] is page["figures_from"] is None
        and (collections["total"], collections["collections"], collections["listed"]) == (None, None, 0)
        and proxy.status()["figures_from"] is None
        and proxy.http.get("/health").json()["pending_writes"] is None
        and proxy.http.get("/admin/wal_count").json()["pending_writes"] is None
        and proxy.http.get("/health").json()["status"] == "degraded"
    )


def agree(world, wanted=lambda status: True, timeout=15):
    """All proxies show the same, and it is as wanted."""
    leader = world.leader()
    others = [p for p in world.proxies if p is not leader]

    def same():
        known = led(leader)
        return wanted(leader.status()) and all(led(p) == known for p in others)

    try:
        wait_until(same, timeout, "all show the same")
    except TimeoutError:
        print(led(leader), *map(led, others), sep="\n")
        raise
    for proxy in others:
        told = proxy.status()["figures_from"]
        assert told["proxy"] == leader.status()["proxies"][0]["name"]
        assert 0 < told["age_seconds"] < BOUND and told["whole"]
    assert leader.status()["figures_from"]["age_seconds"] == 0
    return others


def chromatid(proxy, *words):
    return subprocess.run([BINARY, *words, "--url", proxy.url], capture_output=True, text=True)


def samples(proxy):
    page = proxy.http.get("/metrics").text
    found = re.findall(r"^chromatid_([a-z_]+)(\{.*\})? (\S+)$", page, re.M)
    return {(name, labels): float(value) for name, labels, value in found}


def owes(status, n):
    return [i["pending_writes"] for i in status["instances"]] == [0, n]


@contextlib.contextmanager
def outage(world, n):
    """The replica is down, and is owed so many writes."""
    c = world.client().get_or_create_collection("owed", embedding_function=None)
    converged(world)
    world.replica.kill()
    for k in range(n):
        c.upsert(ids=[str(k)], embeddings=[[k, 1]])
    world.wait_down(world.replica)
    yield
    world.replica.start()
    converged(world)


def test_pending_writes_on_every_page(pair):
    with outage(pair, 7):
        [follower] = agree(pair, lambda status: owes(status, 7))
        leader = pair.leader()
        assert not follower.status()["leader"]
        get = lambda path: follower.http.get(path).raise_for_status().json()
        assert get("/health")["pending_writes"] == 7 and get("/health")["status"] == "degraded"
        assert get("/wal/status")["pending"] == get("/wal/status")["wal_system"]["pending_writes"] == 7
        assert get("/wal/status")["figures_from"]["age_seconds"] < BOUND
        assert get("/admin/wal_count") == {"pending_writes": 7, "wal_system_ready": True}
        assert get("/admin/wal_debug")["summary"]["pending_writes"] == 7
        transactions = get("/admin/transaction_safety_status")
        assert transactions["pending_recovery"] == 0 and transactions["transaction_safety_service"]["running"]
        assert [i["pending_writes"] for i in get("/admin/instances")["instances"]] == [0, 7]
        timeline = lambda: get("/status/timeline")["instances"][1]["pending_writes"]
        wait_until(lambda: timeline()[-1:] == [7], 20, "a sample of it")
        lag = [proxy.instance("replica")["lag_seconds"] for proxy in (leader, follower)]
        assert min(lag) > 0 and abs(lag[0] - lag[1]) < 2

        def collections(proxy):
            page = proxy.http.get("/status/collections").json()
            age = page.pop("age_seconds")
            assert age is None or age < BOUND
            return page

        wait_until(lambda: collections(follower) == collections(leader), 15, "the collections, too")
        [row] = collections(follower)["collections"]
        assert (row["collection"], row["instances"][1]["pending_writes"]) == ("owed", 7)
        assert collections(follower)["total"] == 1
        cut = follower.http.get("/status/collections?limit=0").json()
        assert (cut["total"], cut["listed"], cut["collections"]) == (1, 0, [])
        pair.http = follower.http
        holds(pair)
        pair.http = pair.proxy.http
        done = chromatid(follower, "status")
        assert done.returncode == 1 and ", 7 writes pending" in done.stdout
        assert re.search(r"^replica +down +7 ", done.stdout, re.M), done.stdout
    [follower] = agree(pair, lambda status: owes(status, 0))
    assert follower.http.get("/health").json()["status"] == "healthy"


def test_an_ordinary_sum_counts_nothing_twice(pair):
    with outage(pair, 3):
        [follower] = agree(pair, lambda status: owes(status, 3))
        pages = [samples(p) for p in pair.proxies]
        pending = [v for page in pages for (name, _), v in page.items() if name == "wal_pending_entries"]
        assert sum(pending) == 3
        names = {name for name, _ in samples(pair.leader())}
        assert names >= set(LED_METRICS)
        assert not {name for name, _ in samples(follower)} & set(LED_METRICS)
        assert promtool("check", "metrics", given=follower.http.get("/metrics").text) == ""
        age = [samples(p)["figures_age_seconds", ""] for p in (pair.leader(), follower)]
        assert age[0] == 0 < age[1] < BOUND


def test_quarantine(pair):
    c = pair.client().create_collection("docs", embedding_function=None)
    fill(c, 0, 10)
    converged(pair)
    [follower] = agree(pair)
    assert chromatid(follower, "healthcheck").returncode == 0
    lose(pair.replica, "docs")
    noticed(pair, c)
    agree(pair, lambda status: status["wal"]["quarantined"] == 1)
    [entry] = follower.status()["quarantine"]
    assert (entry["instance"], entry["collection"], entry["cause"]) == ("replica", "docs", "lost")
    assert follower.status()["status"] == follower.http.get("/health").json()["status"] == "degraded"
    assert follower.ready() == 200
    done = chromatid(follower, "healthcheck")
    assert done.returncode == 1 and "1 collections are not kept up to date" in done.stdout
    assert "docs" in chromatid(follower, "status").stdout
    pair.client().delete_collection("docs")
    agree(pair, lambda status: status["quarantine"] == [])
    assert chromatid(follower, "healthcheck").returncode == 0


def test_what_is_taken_out_and_what_it_is_owed(pair):
    c = pair.client().create_collection("docs", embedding_function=None)
    converged(pair)
    [follower] = agree(pair)
    taken = follower.http.post("/admin/instances/replica/health", json={"healthy": False})
    assert taken.status_code == 200
    wait_until(lambda: pair.proxy.instance("replica")["taken_out"], 10, "the leader has seen it")
    fill(c, 0, 5)
    agree(pair, lambda status: owes(status, 1))
    assert follower.instance("replica")["state"] == "taken_out"
    follower.http.post("/admin/instances/replica/health", json={"healthy": True}).raise_for_status()
    agree(pair, lambda status: owes(status, 0))


def test_a_collection_that_is_made_anew(make_world):
    world = make_world(proxies=2, relays=True, WRITE_WAIT="10s", VERIFY_INTERVAL="0")
    c = world.client().create_collection("docs", embedding_function=None)
    for first in range(0, 2000, 500):
        fill(c, first, 500)
    converged(world)
    [follower] = agree(world)
    relay = world.relay_of(world.replica)
    relay.fault("delay", seconds=0.5, match=lambda method, path: path.endswith("/add"))
    lose(world.replica, "docs")
    noticed(world, c)
    copying = lambda: [r for r in follower.status()["resync"] or [] if 200 < r["items"] < r["total"]]
    [shown] = wait_until(copying, 30, "it is seen in the middle of it")
    assert (shown["instance"], shown["collection"], shown["donor"]) == ("replica", "docs", "primary")
    assert 0 < shown["progress"] < 1
    assert "Made anew (1)" in chromatid(follower, "status").stdout
    relay.clear()
    agree(world, lambda status: status["resync"] == status["quarantine"] == [], timeout=90)
    assert follower.status()["wal"]["quarantined"] == 0


def test_a_new_leader_shows_its_own_at_once_and_the_others_follow(pair):
    first, second = pair.proxies
    with outage(pair, 4):
        agree(pair, lambda status: owes(status, 4))
        before = second.status()["wal"]["total_replayed"]
        assert before > 0  # of the first, whose own these are
        first.terminate()
        wait_until(second.leads, 10, "the second leads")
        status = second.status()
        assert owes(status, 4) and status["wal"]["total_replayed"] == 0
        assert status["figures_from"]["age_seconds"] == 0
        first.start(wait="ready")
        agree(pair, lambda status: owes(status, 4))
        assert first.status()["wal"]["total_replayed"] == 0
    agree(pair, lambda status: owes(status, 0))
    wait_until(lambda: first.status()["wal"]["total_replayed"] >= 4, 10, "as the second has executed them")


# --- a leader that tells nothing ---------------------------------------------------------


class Phantom:
    """A proxy of a test's own, which has the lease and lives in PostgreSQL alone."""

    def __init__(self, world):
        self.world = world
        self.sql(
            "UPDATE chromatid.lease SET epoch = epoch + 1, tails = epoch + 1, holder = gen_random_uuid(),"
            " holder_name = 'phantom', until = now() + interval '1 hour'"
        )
        [row] = world.sql("SELECT epoch FROM chromatid.lease")
        self.epoch, self.version = row["epoch"], 0

    def sql(self, command):
        self.world.postgres.execute(command, self.world.database)

    def tells(self, text, part=0, epoch=0, age=0, spaces=0):
        self.version += 1
        self.sql(
            f"INSERT INTO chromatid.shown VALUES ({part}, {self.epoch + epoch}, {self.version},"
            f" now() - interval '{age} seconds', $told${text}$told$ || repeat(' ', {spaces})) ON CONFLICT (part) DO UPDATE SET"
            " epoch = excluded.epoch, version = excluded.version, at = excluded.at, document = excluded.document"
        )

    def ends(self):
        self.sql("UPDATE chromatid.lease SET until = now() - interval '1 second'")


@pytest.fixture
def phantom(pair):
    """It has taken the lease; both proxies follow it."""
    agree(pair)
    phantom = Phantom(pair)
    follows = lambda p: p.ready() == 200 and not p.status()["leader"]
    wait_until(lambda: all(map(follows, pair.proxies)), 20, "both follow it")
    yield phantom
    phantom.ends()
    wait_until(lambda: any(p.leads() for p in pair.proxies), 20, "one of ours leads")
    agree(pair)


def document(**others):
    instance = {"pending_writes": 5, "pending_bytes": 50, "oldest_ms": 0, "detached": False, "replaying": False,
                "last_error": None}  # fmt: skip
    wal = {"pending_writes": 5, "is_replaying": False, "oldest_pending": None, "total_replayed": 1,
           "failed_replays": 0, "quarantined": 0, "last_seq": 9, "undecided": 2, "decided": 3}  # fmt: skip
    counts = {"live": 4, "creating": 0, "complete": 4, "partial": 0}
    return {"shape": 1, "proxy": "phantom", "whole": True, "instances": {"primary": instance, "replica": instance},
            "wal": wal, "collections": counts, "resync": [], "strangers": {}, "verification": {}, "quarantine": [],
            "export": None, "removed_instances": [], **others}  # fmt: skip


def shows(status):
    return status["wal"]["pending_writes"]


def asked_in_its_sleep(proxy):
    """Its status, asked for before it is woken up."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as asks:
        asks.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        proxy.signal(signal.SIGCONT)
        return json.loads(asks.makefile("rb").read().partition(b"\r\n\r\n")[2])


def test_a_leader_of_an_older_version_tells_nothing(pair, phantom):
    """What the one before has told is nobody's word any more, however young it is."""
    [row] = pair.sql("SELECT epoch, extract(epoch FROM now() - at) AS age FROM chromatid.shown WHERE part = 0")
    assert row["epoch"] < phantom.epoch and row["age"] < BOUND
    for proxy in pair.proxies:
        wait_until(lambda: is_blank(proxy), 3, "it knows nothing")
    phantom.tells(json.dumps(document()), epoch=-1)
    done = chromatid(pair.proxy, "healthcheck")
    assert done.returncode == 1 and "not known" in done.stdout
    assert all(map(is_blank, pair.proxies))


def test_documents_of_other_versions(pair, phantom):
    """Cut, odd, hostile: null, and nothing worse. More of them: unit -R shown_parse."""
    proxy = pair.proxies[1]
    good = json.dumps(document())

    def told(text, **options):
        """Shown once it was looked at."""
        phantom.tells(text, **options)
        phantom.tells("[]", part=1)
        wait_until(lambda: shows(proxy.status()) is None, 5, "it knows nothing")

    def tells_well():
        phantom.tells(good)
        wait_until(lambda: shows(proxy.status()) == 5, 5, "it is understood")

    tells_well()
    status = proxy.status()
    assert status["wal"]["undecided"] == 2 and status["collections"]["live"] == 4
    assert status["figures_from"]["proxy"] == "phantom"
    for text in ("", good[: len(good) // 2], "[" * 5000, json.dumps(document(shape=2))):
        told(text)
        assert is_blank(proxy), text[:100]
        tells_well()
    told(good, spaces=LONGEST)
    tells_well()
    told(json.dumps(document(wal={"pending_writes": "5"})))
    assert proxy.status()["wal"]["undecided"] is None and proxy.status()["collections"]["live"] == 4
    tells_well()
    phantom.tells(json.dumps(document(instances={"primary": 3, "\u0001": {}}, quarantine=[1], proxy=7)))
    wait_until(lambda: proxy.instance("replica")["pending_writes"] is None, 5, "an instance is not told of")
    assert shows(proxy.status()) == 5 and proxy.status()["quarantine"] is None
    assert [i["lag_seconds"] for i in proxy.status()["instances"]] == [None, None]
    assert proxy.status()["figures_from"]["proxy"] is None
    tells_well()
    phantom.tells(good, age=BOUND + 1)
    wait_until(lambda: is_blank(proxy), 5, "it is too old")
    tells_well()
    wait_until(lambda: is_blank(proxy), BOUND + 5, "it has become too old")


def test_a_leader_that_freezes(pair):
    """Shown with its age for a while, then nobody's; and then what the next leader knows."""
    first, second = pair.proxies
    with outage(pair, 2):
        agree(pair, lambda status: owes(status, 2))
        first.signal(signal.SIGSTOP)
        pair.postgres.execute("UPDATE chromatid.lease SET until = now() + interval '1 hour'", pair.database)
        age = lambda: second.status()["figures_from"]["age_seconds"]
        wait_until(lambda: age() > BOUND / 2, BOUND, "it grows old")
        assert owes(second.status(), 2)
        wait_until(lambda: is_blank(second), BOUND, "it is not known any more")
        assert second.ready() == 200
        pair.postgres.execute("UPDATE chromatid.lease SET until = now()", pair.database)
        wait_until(second.leads, 10, "the second leads")
        assert owes(second.status(), 2)
        second.client().get_collection("owed", embedding_function=None).upsert(ids=["x"], embeddings=[[1, 1]])
        wait_until(lambda: owes(second.status(), 3), 10, "there is more")
        with Lock(pair, "SELECT 1 FROM chromatid.lease FOR UPDATE"):
            woken = asked_in_its_sleep(first)  # most often it has not heard yet that it does not lead
        assert woken["figures_from"] is None and shows(woken) is None, woken["figures_from"]
        wait_until(lambda: not first.status()["leader"] and first.ready() == 200, 20, "the first follows")
        agree(pair, lambda status: owes(status, 3))
        pair.proxy, pair.http = second, second.http


def test_a_table_that_was_emptied_is_written_again(pair):
    """As after a crash of PostgreSQL: it is not logged there."""
    [follower] = agree(pair)
    pair.postgres.execute("TRUNCATE chromatid.shown", pair.database)
    wait_until(lambda: len(pair.sql("SELECT 1 FROM chromatid.shown")) == 2, 15, "it is there again")
    agree(pair)


def test_a_table_that_somebody_holds(pair):
    """The leader leads on; what it cannot tell is not known, and is again as soon as it can."""
    [follower] = agree(pair)
    docs = pair.client().create_collection("docs", embedding_function=None)
    with Lock(pair, "SELECT 1 FROM chromatid.shown FOR UPDATE"):
        wait_until(lambda: is_blank(follower), BOUND + 5, "nothing was told for long")
        fill(docs, 0, 5)
        leader = pair.leader().status()
        assert leader["leader"] and leader["figures_from"]["age_seconds"] == 0
    agree(pair, lambda status: status["collections"]["live"] == 1)
    assert not pair.leader().log_contains("no longer leading")
