"""An operator's request works through any proxy: what only the leader can do is passed on to it, through
PostgreSQL (wal/errand.c, http/errand.c)."""

import json
import re
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from crash import Lock
from test_cli import run
from test_export import OK
from world import BINARY, COLLECTIONS, ROOT, World, wait_until

ROWS = "SELECT * FROM chromatid.errand ORDER BY place"
JSON = {"content-type": "application/json"}
UNKNOWN = str(uuid.uuid4())

# method, path, body: each route that is passed on, with what is good and what is not
ASKED = [
    ("GET", "/collection/mappings", None),
    ("GET", "/admin/collection_mappings", None),
    ("HEAD", "/collection/mappings", None),
    ("POST", "/admin/wal/999999/retry", {}),
    ("POST", "/admin/wal/999999/skip", {"reason": "a \"test\" with ümlauts"}),
    ("POST", "/admin/wal/999999/skip", {}),
    ("POST", "/admin/adopt", {"dry": True}),
    ("POST", "/admin/adopt", {"dry": 1}),
    ("POST", "/admin/adopt", "no json"),
    ("POST", "/admin/adopt", {"instance": "nobody"}),
    ("POST", "/admin/verify", {"collection": "nothing"}),
    ("POST", "/admin/verify", [1]),
    ("POST", "/admin/verify", {"collection": "docs"}),
    ("GET", "/admin/verify", None),
    ("POST", "/admin/resync", {}),
    ("POST", "/admin/resync", {"collection": "docs"}),
    ("POST", "/admin/resync", {"instance": "nobody"}),
    ("GET", "/admin/resync", None),
    ("POST", "/admin/sync_collections", {}),
    ("POST", "/admin/sync_collections", {"target_instance": "nobody"}),
    ("POST", "/wal/cleanup", {"max_age_hours": 24}),
    ("POST", "/wal/cleanup", {"max_age_hours": "many"}),
    ("GET", "/transaction/safety/status", None),
    ("GET", "/admin/transaction_safety_status", None),
    ("POST", "/transaction/safety/recovery/trigger", {}),
    ("POST", "/transaction/safety/cleanup", {"days_old": 7}),
    ("POST", "/transaction/safety/cleanup", {"days_old": -1}),
    ("DELETE", "/collection/mappings/nothing?tenant=a%20b&force=true", None),
    ("DELETE", "/collection/mappings/docs", None),
    ("POST", "/admin/create_mapping", {}),
    ("POST", "/admin/create_mapping", {"collection_name": "nothing", "primary_id": UNKNOWN}),
    ("POST", "/admin/complete_mappings", {}),
]


def ask(proxy, method, path, body=None, **options):
    content = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return proxy.http.request(method, path, content=content, headers=JSON, **options)


def said(proxy, text):
    """What an operator has done there: lines of its log."""
    events = [json.loads(line) for line in proxy.log().splitlines() if '"event":"operator"' in line]
    return [e["msg"] for e in events if text in e["msg"]]


def leader_of(world):
    return wait_until(lambda: next((p for p in world.proxies if p.running() and p.leads()), None), 30, "one leads")


def follower_of(world):
    leader = leader_of(world)
    follower = next(p for p in world.proxies if p is not leader)
    wait_until(lambda: follower.ready() == 200, 30, "the other follows")
    return follower


def nothing_left(world):
    wait_until(lambda: world.sql(ROWS) == [], 10, "nothing is left of it")


@pytest.fixture(scope="module")
def three(postgres, tmp_path_factory):
    options = {"proxies": 3, "VERIFY_INTERVAL": "0"}
    with World(postgres, tmp_path_factory.mktemp("three"), **options) as world:
        world.client().create_collection("docs", embedding_function=None).add(ids=["a"], embeddings=[[1, 2]])
        yield world


@pytest.fixture
def pair(make_world):
    world = make_world(proxies=2)
    world.client().create_collection("docs", embedding_function=None)
    return world


# --- the same answer, whoever is asked


def comparable(answer):
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("job", None)
        body = re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+Z", "then", json.dumps(body))
    kept = {k: v for k, v in answer.headers.items() if k in ("content-type", "retry-after", "x-chromatid-outcome", "content-length")}
    if "content-length" in kept and answer.content:
        kept.pop("content-length")  # numbers of jobs grow
    return answer.status_code, kept, body


def quiet(world):
    leader = leader_of(world)
    wait_until(lambda: not leader.http.get("/admin/verify").json()["running"], 30, "no comparison is under way")


@pytest.mark.parametrize("method, path, body", ASKED)
def test_the_same_answer_as_from_the_leader(three, method, path, body):
    leader = leader_of(three)
    quiet(three)
    own = ask(leader, method, path, body)
    assert "x-chromatid-leader" not in own.headers
    for proxy in three.proxies:
        if proxy is leader:
            continue
        quiet(three)
        passed = ask(proxy, method, path, body)
        assert comparable(passed) == comparable(own)
        assert passed.headers["x-chromatid-leader"] != ""
        assert passed.headers["x-request-id"] and ("chroma-trace-id" in passed.headers) == (own.status_code >= 400)
    nothing_left(three)


@pytest.mark.parametrize("headers", [
    {"content-type": b"\xff\xfe/json"}, {"content-type": "text/plain"}, {"content-type": "application/json; charset=x"},
    {"idempotency-key": "a key"}, {"idempotency-key": b"\xc3\xa4"}, {"idempotency-key": "once"}, {"Content-Type": ""}, {"x-other": "'\"; --"},
])
def test_headers_that_matter_are_passed_on(three, headers):
    leader, follower = leader_of(three), follower_of(three)
    for method, path in (("POST", "/admin/wal/999999/skip"), ("POST", "/admin/create_mapping")):
        asked = {"content": b'{"reason": "x"}', "headers": {"content-type": "application/json", **headers}}
        own, passed = (proxy.http.request(method, path, **asked) for proxy in (leader, follower))
        assert comparable(passed) == comparable(own)
    asked = {"headers": {"content-type": "application/json", **headers}}
    own, passed = (proxy.http.request("DELETE", "/collection/mappings/nothing", **asked) for proxy in (leader, follower))
    assert comparable(passed) == comparable(own)


def test_each_route_that_is_passed_on_is_asked_here():
    kinds = set(re.findall(r"\[(ROUTE_\w+)\] = \{[^}]*PASSED_ON\}", (ROOT / "http/dispatch.c").read_text()))
    rows = re.findall(r'\{"(\w+)", "([^"]+)", (ROUTE_\w+),', (ROOT / "http/route.c").read_text())
    assert len(kinds) >= 14
    for method, path, kind in rows:
        if kind in kinds:
            pattern = re.sub(r"\{\w\}", "[^/?]+", path) + r"(\?.*)?"
            assert [a for a in ASKED if a[0] == method and re.fullmatch(pattern, a[1])], f"{method} {path}"


def test_a_collection_is_imported_through_any(three):
    path = "/admin/import/tenants/default_tenant/databases/default_database/collections"
    for k, proxy in enumerate(three.proxies):
        id = str(uuid.uuid4())
        made = ask(proxy, "POST", f"{path}/{id}", {"name": f"imported{k}"})
        assert made.status_code == 200 and made.json()["id"] == id
        for other in three.proxies:
            assert other.http.get(f"{COLLECTIONS}/imported{k}").json()["id"] == id
            again = ask(other, "POST", f"{path}/{id}", {"name": "another"})
            assert again.status_code == 409, again.text
            named = ask(other, "POST", f"{path}/{uuid.uuid4()}", {"name": f"imported{k}"})
            assert named.status_code == 409, named.text


def test_an_export_is_refused_and_why(three):
    follower = follower_of(three)
    for method, path in [("POST", "/admin/export"), ("GET", "/admin/export/x"), ("DELETE", "/admin/export/x"),
                         ("POST", "/admin/export/x/items"), ("POST", "/admin/export/x/collection")]:
        refused = ask(follower, method, path, {})
        assert refused.status_code == 503 and refused.headers["x-chromatid-outcome"] == "none"
        assert "another proxy leads, and an export is only to be had from that one" in refused.json()["message"]
    assert three.sql(ROWS) == []


def test_many_at_once_are_done_once_each_in_the_name_of_who_asked(three):
    leader = leader_of(three)
    followers = [p for p in three.proxies if p is not leader]
    before = len(said(leader, "completion of"))
    with ThreadPoolExecutor(48) as threads:
        asked = [threads.submit(ask, followers[k % 2], "POST", "/admin/complete_mappings", {}) for k in range(96)]
        assert {a.result().status_code for a in asked} == {202}
    done = said(leader, "completion of")[before:]
    assert len(done) == 96 and all(what.endswith(", by 127.0.0.1 (no token)") for what in done)
    assert not [p for p in followers if said(p, "completion of")]
    nothing_left(three)


def test_a_mapping_is_deleted_with_its_collection(three):
    follower = follower_of(three)
    three.client().create_collection("doomed", embedding_function=None)
    gone = ask(follower, "DELETE", "/collection/mappings/doomed?force=true")
    assert gone.status_code == 200 and gone.json()["success"]
    for proxy in three.proxies:
        assert proxy.http.get(f"{COLLECTIONS}/doomed").status_code == 404


def test_one_trace_through_both(three):
    follower, leader = follower_of(three), leader_of(three)
    trace = uuid.uuid4().hex
    follower.http.get("/admin/verify", headers={"traceparent": f"00-{trace}-{trace[:16]}-01"})
    for proxy in (follower, leader):
        wait_until(lambda: proxy.log_contains(f'"trace_id":"{trace}"'), 5, f"{proxy.name} has a line of it")


# --- the commands


def test_the_command_verify_waits_for_its_end_at_a_follower(three):
    quiet(three)
    follower = follower_of(three)
    done = run("verify", "docs", "--watch", "--url", follower.url)
    assert done.returncode == OK, done.stdout + done.stderr
    assert "1 of 1 collections compared, 0 differ" in done.stdout


def test_the_command_resync_waits_for_its_end_at_a_follower(three):
    follower, leader = follower_of(three), leader_of(three)
    before = len(three.sql("SELECT 1 FROM chromatid.event WHERE event = 'rebuild'"))
    done = run("resync", "replica", "--collection", "docs", "--watch", "--url", follower.url)
    assert done.returncode == OK, done.stdout + done.stderr
    assert "1 collections will be made anew" in done.stdout and "0 under way, 0 in quarantine" in done.stdout
    assert leader.status()["resync"] == [] and leader.status()["quarantine"] == []
    rebuilt = "SELECT 1 FROM chromatid.event WHERE event = 'rebuild'"
    wait_until(lambda: len(three.sql(rebuilt)) > before, 10, "it was made anew")


def test_the_command_retry_at_a_follower(three):
    done = run("wal", "retry", "999999", "--url", follower_of(three).url)
    assert "HTTP 404" in done.stderr


# --- who may


def test_who_may_not_is_refused_before_anything_is_noted(make_world):
    tokens = {"ADMIN_TOKEN": "the-admin-token", "API_TOKEN": "the-api-token", "READ_TOKEN": "the-read-token"}
    world = make_world(start=False, proxies=2, **tokens)
    for chroma in world.instances:
        chroma.start()
    world.proxy.start()
    follower = world.proxies[1]
    follower.start(wait="ready")
    path = "/admin/complete_mappings"
    for token, status in ((None, 401), ("wrong", 401), ("the-read-token", 403), ("the-api-token", 403)):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        assert follower.http.post(path, json={}, headers=headers).status_code == status
    assert world.sql("SELECT is_called FROM chromatid.errand_place_seq") == [{"is_called": False}]
    hold_lead(world)
    wait_until(lambda: not world.proxy.status()["leader"], 10, "nobody leads")
    with ThreadPoolExecutor(1) as thread:
        headers = {"x-chroma-token": "the-admin-token"}
        asked = thread.submit(follower.http.post, path, json={}, headers=headers)
        [row] = wait_until(lambda: world.sql(ROWS), 10, "it is noted")
        assert row["who"] == "ADMIN_TOKEN" and row["address"] == "127.0.0.1"
        assert not [word for word in tokens.values() if word in json.dumps(row)]
        world.postgres.execute("UPDATE chromatid.lease SET until = now()", world.database)
        done = asked.result(30)
    assert done.status_code == 202
    told = [what for p in world.proxies for what in said(p, "completion of")]
    assert len(told) == 1 and told[0].endswith(", by 127.0.0.1 (ADMIN_TOKEN)")


# --- limits


def hold_lead(world):
    """Somebody leads who takes no errands, as one of an older version; until `until` is over."""
    take = f"""UPDATE chromatid.lease SET epoch = epoch + 1, tails = epoch + 1, holder = '{UNKNOWN}',
        holder_name = 'another', until = now() + interval '1 hour'"""
    world.postgres.execute(take, world.database)


def let_lead(world):
    world.postgres.execute("UPDATE chromatid.lease SET until = now() WHERE holder_name = 'another'", world.database)


@pytest.fixture
def nobody(pair):
    """A proxy that follows somebody who takes nothing."""
    follower = follower_of(pair)
    hold_lead(pair)
    wait_until(lambda: not [p for p in pair.proxies if p.status()["leader"]], 10, "both follow")
    wait_until(lambda: follower.ready() == 200, 10, "it follows")
    return follower


def no_trace(world):
    """Nobody has done it, and nobody will."""
    assert world.sql(ROWS) == []
    let_lead(world)
    leader_of(world)
    assert not [what for p in world.proxies for what in said(p, "completion of")]


def refused(answer, outcome, text, status=503):
    assert answer.status_code == status, answer.text
    assert answer.headers["x-chromatid-outcome"] == outcome
    assert int(answer.headers["retry-after"]) > 0
    assert text in answer.json()["message"]


def test_who_leads_takes_nothing(pair, nobody):
    answer = ask(nobody, "POST", "/admin/complete_mappings", {})
    refused(answer, "none", "nothing was done, and nothing will be")
    assert 9 < answer.elapsed.total_seconds() < 15
    no_trace(pair)


def test_one_too_many(pair, nobody):
    with ThreadPoolExecutor(64) as threads:
        asked = [threads.submit(ask, nobody, "POST", "/admin/complete_mappings", {}) for _ in range(64)]
        wait_until(lambda: len(pair.sql(ROWS)) == 64, 10, "64 wait")
        refused(ask(nobody, "POST", "/admin/complete_mappings", {}), "none", "too many requests wait", status=429)
        for one in asked:
            refused(one.result(30), "none", "nothing was done, and nothing will be")
    no_trace(pair)


def test_a_client_that_leaves_takes_it_with_it(pair, nobody):
    with pytest.raises(httpx.ReadTimeout):
        ask(nobody, "POST", "/admin/complete_mappings", {}, timeout=1)
    wait_until(lambda: pair.sql(ROWS) == [], 3, "it is withdrawn")
    no_trace(pair)


def test_what_is_too_long_is_not_passed_on(three):
    follower = follower_of(three)
    long = {"reason": "x" * (1 << 20)}
    refused_one = ask(follower, "POST", "/admin/wal/999999/skip", long)
    assert refused_one.status_code == 413 and "are not passed on" in refused_one.text
    assert ask(leader_of(three), "POST", "/admin/wal/999999/skip", long).status_code == 404
    assert ask(follower, "POST", "/admin/wal/999999/skip", {"reason": "x" * (1 << 20 - 1)}).status_code == 404


def test_an_answer_that_is_too_long_is_not_passed_on(pair):
    """A list of mappings of more than 8 MB, and one of a little less, of a few collections with long names."""
    for k in range(10):
        assert pair.http.post(COLLECTIONS, json={"name": f"docs{k}"}).status_code == 200
    own, passed = mappings_of(pair, 500_000)
    assert own.status_code == 200 and len(own.content) > 8 << 20
    assert passed.status_code == 502 and passed.headers["x-chromatid-outcome"] == "unknown"
    assert f"answered 200 with {len(own.content)} bytes" in passed.json()["message"]
    own, passed = mappings_of(pair, 400_000)
    assert 7 << 20 < len(own.content) < 8 << 20
    assert passed.status_code == 200 and passed.content == own.content


def mappings_of(world, length):
    longer = f"UPDATE chromatid.collection SET name = rpad(name, {length}, 'x') WHERE name LIKE 'docs_%'"
    world.postgres.execute(longer, world.database)
    for proxy in world.proxies:
        proxy.restart(wait="ready")
    return [ask(find(world), "GET", "/collection/mappings") for find in (leader_of, follower_of)]


def test_a_strange_row_harms_nobody(three):
    """Who can write to PostgreSQL can do anything anyway, but not by a mistake of ours."""
    leader = leader_of(three)
    for method, target in (("POST", "/admin/export"), ("GET", "/api/v2/heartbeat"), ("POST", COLLECTIONS), ("X", "?"),
                           ("GET", "/metrics"), ("BREAKFAST-AND-LUNCH", "/admin/verify"), ("GET", "/nothing%zz")):
        id = uuid.uuid4()
        three.postgres.execute(
            f"""INSERT INTO chromatid.errand (id, method, target, headers, address, who) VALUES
            ('{id}', '{method}', '{target}', E'\\n: x\\nno\\nname:x\\n', repeat('y', 99), '')""", three.database)
        [row] = wait_until(lambda: three.sql(f"SELECT * FROM chromatid.errand WHERE id = '{id}' AND code > 0"), 10, "it is answered")
        assert row["code"] in (404, 405)
    assert leader.running()
    three.postgres.execute("DELETE FROM chromatid.errand", three.database)


def test_what_nobody_fetches_goes_by_its_age(three):
    three.postgres.execute(
        f"""INSERT INTO chromatid.errand (id, method, target, headers, address, who, at) VALUES
        ('{UNKNOWN}', 'POST', '/admin/complete_mappings', '', '', '', now() - interval '61 minutes')""", three.database)
    before = len(said(leader_of(three), "completion of"))
    wait_until(lambda: three.sql(ROWS) == [], 20, "it has gone")
    assert len(said(leader_of(three), "completion of")) == before


# --- what goes wrong


@pytest.mark.parametrize("point, done", [("errand_taken", 0), ("errand_done", 1)])
def test_the_leader_dies_with_it(pair, point, done):
    """Who asks is told that it may have been done or not; nobody does it again."""
    assert b"CHROMATID_FAILPOINT" in BINARY_BYTES(), f"{BINARY} has no failpoints"
    leader, follower = leader_of(pair), follower_of(pair)
    leader.terminate()
    wait_until(follower.leads, 30, "the other leads")
    leader.settings["CHROMATID_FAILPOINT"] = point
    leader.start(wait="ready")
    follower.restart(wait="ready")
    wait_until(leader.leads, 30, "the one with the failpoint leads")
    answer = ask(follower, "POST", "/admin/complete_mappings", {})
    refused(answer, "unknown", "it may have been done or not")
    assert leader.process.wait(10) == -signal.SIGKILL
    leader.check_sanitizers()
    assert len(said(leader, "completion of")) == done
    wait_until(follower.leads, 30, "the other leads")
    assert ask(follower, "GET", "/collection/mappings").status_code == 200
    assert said(follower, "completion of") == []
    leader.settings.pop("CHROMATID_FAILPOINT")
    leader.start(wait="ready")
    assert ask(leader, "POST", "/admin/complete_mappings", {}).status_code == 202
    assert len(said(leader, "completion of")) == done and len(said(follower, "completion of")) == 1


def BINARY_BYTES():
    with open(BINARY, "rb") as file:
        return file.read()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_the_leader_is_gone_before_it_takes_it(pair, how):
    """Whoever leads next does it, the one that was asked itself."""
    leader, follower = leader_of(pair), follower_of(pair)
    leader.signal(how)
    answer = ask(follower, "POST", "/admin/complete_mappings", {})
    assert answer.status_code == 202 and answer.headers["x-chromatid-leader"] != ""
    assert len(said(follower, "completion of")) == 1
    if how == signal.SIGSTOP:
        leader.signal(signal.SIGCONT)
        wait_until(lambda: leader.ready() == 200 and not leader.status()["leader"], 30, "it follows")
    assert said(leader, "completion of") == []
    nothing_left(pair)


def deleting(world, proxy):
    """The leader asks the servers first, and waits for one that is frozen."""
    world.primary.pause()
    path = "/collection/mappings/docs"
    return lambda: ask(proxy, "DELETE", path, timeout=60)


def test_the_leader_is_frozen_with_it_and_wakes_up(pair):
    """It has an answer then, which is not noted: another has led meanwhile."""
    leader, follower = leader_of(pair), follower_of(pair)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(deleting(pair, follower))
        wait_until(lambda: [row for row in pair.sql(ROWS) if row["taken"]], 10, "it is taken")
        leader.signal(signal.SIGSTOP)
        refused(asked.result(60), "unknown", "it may have been done or not")
    pair.primary.resume()
    leader.signal(signal.SIGCONT)
    wait_until(lambda: leader.log_contains("an answer came too late"), 30, "it has an answer")
    [row] = pair.sql(ROWS)
    assert row["code"] is None and row["answer"] is None
    wait_until(lambda: leader.ready() == 200, 30, "it follows")


def test_the_leader_ends_with_it_under_way(pair):
    """What is under way comes to its end first."""
    leader, follower = leader_of(pair), follower_of(pair)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(deleting(pair, follower))
        wait_until(lambda: [row for row in pair.sql(ROWS) if row["taken"]], 10, "it is taken")
        leader.signal(signal.SIGTERM)
        wait_until(lambda: leader.log_contains("finishing what is in flight"), 10, "it is about to end")
        pair.primary.resume()
        assert asked.result(60).status_code == 409
    assert leader.process.wait(60) == 0
    leader.check_sanitizers()


def test_it_is_taken_at_the_moment_it_is_withdrawn(pair, nobody):
    """Then it is not said that nothing was done."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ask, nobody, "POST", "/admin/complete_mappings", {})
        wait_until(lambda: pair.sql(ROWS), 10, "it is noted")
        with Lock(pair, "UPDATE chromatid.errand SET taken = (SELECT epoch FROM chromatid.lease)") as lock:
            blocked = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'chromatid-upkeep' AND wait_event_type = 'Lock'"
            wait_until(lambda: pair.sql(blocked), 20, "it is about to be withdrawn")
            lock.psql.stdin.write("COMMIT;\n")
            lock.psql.stdin.flush()
        wait_until(lambda: pair.sql(ROWS)[0]["taken"], 5, "it is taken")
        assert not asked.done()
        pair.postgres.execute("UPDATE chromatid.lease SET epoch = epoch + 1, tails = epoch + 1", pair.database)
        refused(asked.result(30), "unknown", "it may have been done or not")


def test_it_is_not_done_within_the_time_of_its_client(make_world):
    world = make_world(proxies=2, CHECK_INTERVAL="20s")
    world.client().create_collection("docs", embedding_function=None)
    follower = follower_of(world)
    follower.settings["REQUEST_TIMEOUT"] = "1s"
    follower.restart(wait="ready")
    answer = deleting(world, follower)()
    refused(answer, "unknown", "is still at it", status=504)
    world.primary.resume()


def test_postgresql_is_away(pair):
    leader, follower = leader_of(pair), follower_of(pair)
    try:
        pair.postgres.stop()
        answer = ask(follower, "POST", "/admin/complete_mappings", {})
        assert answer.status_code == 503 and answer.headers["x-chromatid-outcome"] == "none"
    finally:
        pair.postgres.start()
    again = lambda: ask(follower, "POST", "/admin/complete_mappings", {}).status_code == 202
    wait_until(again, 30, "it is passed on again")
    assert len(said(leader, "completion of")) + len(said(follower, "completion of")) == 1


def test_postgresql_goes_away_under_it(pair, nobody):
    """The row stays, too old to be taken when PostgreSQL is back."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ask, nobody, "POST", "/admin/complete_mappings", {})
        wait_until(lambda: pair.sql(ROWS), 10, "it is noted")
        try:
            pair.postgres.stop()
            refused(asked.result(30), "unknown", "it may have been done or not")
        finally:
            pair.postgres.start()
    [row] = pair.sql(ROWS)
    assert row["taken"] is None
    let_lead(pair)
    leader = leader_of(pair)
    follower = follower_of(pair)
    passed_on = lambda: ask(follower, "GET", "/collection/mappings").status_code == 200
    wait_until(passed_on, 10, "it takes others")
    assert [row["id"] for row in pair.sql(ROWS) if row["taken"] is None] == [row["id"]]
    assert said(leader, "completion of") == []


def test_the_one_that_was_asked_is_killed(pair, nobody):
    """What it has noted is soon too old."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ask, nobody, "POST", "/admin/complete_mappings", {})
        wait_until(lambda: pair.sql(ROWS), 10, "it is noted")
        nobody.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result(30)
    pair.postgres.execute("UPDATE chromatid.errand SET at = at - interval '10 seconds'", pair.database)
    let_lead(pair)
    other = next(p for p in pair.proxies if p is not nobody)
    wait_until(other.leads, 30, "the other leads")
    nobody.start(wait="ready")
    assert ask(nobody, "GET", "/collection/mappings").status_code == 200
    assert said(other, "completion of") == []
