"""What administrators see and change: every page, in states where the values are not zero."""

import subprocess
import threading
import uuid

import httpx
import pytest

from compare import DEFAULT_DATABASE, converged, snapshot
from load import Load
from test_operator import BOOL, DICT, INSTANCE, INT, LIST, NUMBER, PERFORMANCE, TEXT, fetch, has_shape, is_recent
from world import COLLECTIONS, Proxy, World, wait_until

OPTIONAL = (str, type(None))
NUMBER_OR_NONE = (int, type(None))
WRITE = {
    "write_id": TEXT, "method": TEXT, "path": TEXT, "collection_id": OPTIONAL, "status": TEXT, "target_instance": TEXT,
    "synced_instances": LIST, "error_message": OPTIONAL, "created_at": TEXT, "updated_at": TEXT, "retry_count": INT,
}  # fmt: skip
ENTRY = {
    "seq": INT, "operation": TEXT, "method": TEXT, "path": TEXT, "tenant": OPTIONAL, "database": OPTIONAL,
    "collection": OPTIONAL, "collection_id": OPTIONAL, "bytes": INT, "at": TEXT, "state": TEXT, "decision": TEXT,
    "http": NUMBER_OR_NONE, "decided_by": OPTIONAL, "decided_at": OPTIONAL, "after_its_client_left": BOOL,
    "instances": DICT,
}  # fmt: skip
TRANSACTION = {
    "transaction_id": TEXT, "status": TEXT, "method": TEXT, "path": TEXT, "operation_type": TEXT, "created_at": TEXT,
    "completed_at": OPTIONAL, "retry_count": INT, "is_timing_gap_failure": BOOL, "failure_reason": OPTIONAL,
    "response_status": NUMBER_OR_NONE,
}  # fmt: skip
ERROR = {"write_id": TEXT, "method": TEXT, "path": TEXT, "error": TEXT, "timestamp": TEXT, "retry_count": INT}


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    settings = {"WRITE_WAIT": "1s", "REPAIR": "report", "PROTECTED_COLLECTIONS": "global", "API_TOKEN": ""}
    with World(postgres, tmp_path_factory.mktemp("admin"), **settings) as world:
        yield world


@pytest.fixture(autouse=True)
def revive():
    """Instead of conftest's: what was taken out comes back first."""


@pytest.fixture(autouse=True)
def whole(world):
    yield
    for name in ("primary", "replica"):
        if world.proxy.running() and world.proxy.instance(name)["taken_out"]:
            drain(world, name, healthy=True)
    world.revive()


def make(world, name=None):
    name = name or "c-" + uuid.uuid4().hex[:8]
    return world.client().create_collection(name, embedding_function=None)


def upsert(world, c, n, status=200):
    answer = world.http.post(f"{COLLECTIONS}/{c.id}/upsert", json={"ids": [str(n)], "embeddings": [[n, 1]]})
    assert answer.status_code == status, answer.text
    return int(answer.headers["x-chromatid-seq"])


def entry(world, seq):
    got = fetch(world, f"/admin/wal/{seq}")
    has_shape(got, ENTRY)
    return got


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] and answer.json()["message"]
    return answer.json()["message"]


def drain(world, name, status=200, http=None, **body):
    answer = (http or world.http).post(f"/admin/instances/{name}/health", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


# --- nothing is wrong ----------------------------------------------------------------


def test_the_pages_of_a_healthy_pair(world):
    c = make(world)
    seq = upsert(world, c, 1)
    converged(world)
    assert fetch(world, "/admin/wal_count") == {"pending_writes": 0, "wal_system_ready": True}
    errors = fetch(world, "/admin/wal_errors")
    assert errors == {"recent_errors": [], "errors": [], "error_count": 0, "total_errors": 0, "critical_errors": 0}
    body = fetch(world, "/admin/instances")
    assert (body["healthy_count"], body["total_count"]) == (2, 2)
    for instance, of_status in zip(body["instances"], world.proxy.status()["instances"], strict=True):
        has_shape(instance, INSTANCE)
        assert set(instance) == set(of_status)
    got = entry(world, seq)
    assert (got["operation"], got["method"], got["http"]) == ("upsert", "POST", 200)
    assert got["path"] == f"{COLLECTIONS}/{c.id}/upsert" and got["collection_id"] == str(c.id)
    assert (got["state"], got["decision"], got["after_its_client_left"]) == ("synced", "accepted", False)
    assert got["decided_by"] in ("primary", "replica") and is_recent(got["at"]) and is_recent(got["decided_at"])
    done = {"state": "done", "attempts": 0, "error": None}
    assert got["instances"] == {"primary": done, "replica": done}


def test_scalability(world):
    body = fetch(world, "/admin/scalability_status")
    load = dict.fromkeys(
        ["concurrent_requests", "total_requests_processed", "timeout_requests", "queue_full_rejections"], INT
    )
    pool = {"available": BOOL, "enabled": BOOL, "min_connections": INT, "max_connections": INT}
    locks = {"available": BOOL, "enabled": BOOL, "lock_types": LIST}
    features = {"connection_pooling": pool, "granular_locking": locks}
    has_shape(
        body,
        {"timestamp": TEXT, "scalability_features": features, "performance_stats": PERFORMANCE,
         "performance_impact": DICT, "current_load": load},
    )  # fmt: skip
    assert body["scalability_features"]["connection_pooling"]["max_connections"] == 20
    assert body["current_load"]["concurrent_requests"] == 1
    assert body["current_load"]["total_requests_processed"] > 1


def test_config(world):
    settings = {s["name"]: s for s in fetch(world, "/admin/config")["settings"]}
    assert (settings["WRITE_WAIT"]["value"], settings["WRITE_WAIT"]["source"]) == ("1s", "environment")
    assert (settings["READ_REPLICA_RATIO"]["value"], settings["READ_REPLICA_RATIO"]["source"]) == ("0.8", "default")
    assert settings["PRIMARY_URL"]["value"] == world.primary.url
    assert settings["API_TOKEN"] == {**settings["API_TOKEN"], "value": None, "secret": True}
    shown = subprocess.run(
        [world.proxy.process.args[-1], "--print-config"], env=world.proxy.settings, capture_output=True, text=True
    ).stdout.splitlines()
    assert [line.split("=")[0] for line in shown] == list(settings)


# --- an instance is down -------------------------------------------------------------


def test_what_a_dead_instance_is_owed_can_be_looked_up(world):
    c = make(world)
    first = upsert(world, c, 0)
    converged(world)
    world.replica.kill()
    seqs = [upsert(world, c, n) for n in range(1, 4)]
    refused = world.http.post(f"{COLLECTIONS}/{c.id}/add", json={"ids": ["a"], "embeddings": [[1, 2, 3]]})
    assert refused.status_code == 400
    refused = int(refused.headers["x-chromatid-seq"])
    gone = make(world)
    world.client().delete_collection(gone.name)
    world.wait_down(world.replica)
    assert fetch(world, "/admin/wal_count")["pending_writes"] == world.proxy.instance("replica")["pending_writes"] == 6
    assert fetch(world, "/admin/wal_errors")["errors"] == []  # what is only owed is no error
    got = entry(world, seqs[0])
    assert (got["state"], got["decision"], got["decided_by"]) == ("executed", "accepted", "primary")
    waits = got["instances"]["replica"]
    assert got["instances"]["primary"]["state"] == "done"
    assert waits["state"] == ("waiting to be tried again" if waits["attempts"] else "pending")
    got = entry(world, refused)
    assert (got["state"], got["decision"], got["http"]) == ("failed", "refused", 400)
    assert got["instances"]["primary"]["state"] == "refused"

    listed = fetch(world, "/admin/wal", params={"collection": c.name})
    assert [e["seq"] for e in listed["entries"]][:4] == [refused, *reversed(seqs)]
    assert listed["count"] == len(listed["entries"]) and listed["next"] is None
    for e in listed["entries"]:
        has_shape(e, ENTRY)
        assert e == entry(world, e["seq"])
    by_state = {
        state: [e["seq"] for e in fetch(world, "/admin/wal", params={"state": state, "limit": "500"})["entries"]]
        for state in ("pending", "executed", "synced", "failed", "quarantined")
    }
    assert by_state["pending"] == by_state["quarantined"] == []
    assert set(seqs) <= set(by_state["executed"]) and first in by_state["synced"] and by_state["failed"] == [refused]
    pages, after = [], None
    while after != 0:
        page = fetch(world, "/admin/wal", params={"limit": "2", **({"after": str(after)} if after else {})})
        pages += [e["seq"] for e in page["entries"]]
        after = page["next"] or 0
    assert pages == sorted(pages, reverse=True)
    assert pages == [r["seq"] for r in world.sql("SELECT seq FROM chromatid.log ORDER BY seq DESC")]
    assert [e["seq"] for e in fetch(world, "/admin/wal", params={"collection": str(c.id)})["entries"]][0] == refused
    assert fetch(world, "/admin/wal", params={"collection": "x%20y"})["entries"] == []

    debug = fetch(world, "/admin/wal_debug")
    has_shape(debug, {"summary": dict.fromkeys(["total_recent_writes", "total_delete_operations", "pending_writes"], INT)})
    for write in debug["recent_writes"] + debug["delete_operations"]:
        has_shape(write, WRITE)
    assert debug["summary"]["pending_writes"] == 6
    assert debug["summary"]["total_recent_writes"] == len(debug["recent_writes"]) <= 20
    assert [w["method"] for w in debug["delete_operations"]][0] == "DELETE"
    assert debug["delete_operations"][0]["path"] == f"{COLLECTIONS}/{gone.name}"
    mine = next(w for w in debug["recent_writes"] if w["write_id"] == str(seqs[0]))
    assert (mine["status"], mine["synced_instances"], mine["error_message"]) == ("executed", ["primary"], None)

    # the same for scripts that speak SQL
    rows = {r["write_id"]: r for r in world.sql("SELECT * FROM unified_wal_writes")}
    assert rows[str(seqs[0])]["status"] == "executed" and rows[str(seqs[0])]["synced_instances"] == ["primary"]
    assert rows[str(first)]["status"] == "synced" and rows[str(refused)]["status"] == "failed"
    assert "400" in rows[str(refused)]["error_message"]
    world.postgres.execute("DELETE FROM unified_wal_writes", world.database)
    assert {r["write_id"] for r in world.sql("SELECT * FROM unified_wal_writes")} == set(rows)
    [mapping] = world.sql(f"SELECT * FROM collection_id_mapping WHERE collection_name = '{c.name}'")
    assert mapping["primary_collection_id"] == str(c.id) and mapping["replica_collection_id"]

    world.replica.start()
    converged(world)
    assert fetch(world, "/admin/wal_count")["pending_writes"] == 0
    assert entry(world, seqs[0])["state"] == "synced" and entry(world, refused)["state"] == "failed"
    assert world.sql(f"SELECT status FROM unified_wal_writes WHERE write_id = '{seqs[0]}'") == [{"status": "synced"}]


def test_transactions_of_an_outage(world):
    c = make(world)
    good = upsert(world, c, 0)
    bad = world.http.post(f"{COLLECTIONS}/{c.id}/add", json={"ids": ["a"], "embeddings": [[1, 2, 3, 4]]})
    assert bad.status_code >= 400
    bad = int(bad.headers["x-chromatid-seq"])
    converged(world)
    for chroma in world.instances:
        chroma.kill()
    late = upsert(world, c, 1, status=503)
    assert fetch(world, "/admin/wal_count") == {"pending_writes": 1, "wal_system_ready": True}
    got = entry(world, late)
    assert (got["state"], got["decision"], got["decided_at"]) == ("pending", "open", None)
    status = fetch(world, "/admin/transaction_safety_status")
    assert status["transaction_safety_service"] == {"available": True, "running": True, "table_exists": True}
    assert status["pending_recovery"] == status["pending_recovery_operations"] == 1
    assert status["pending_recovery_transactions"] == 1 and status["timing_gap_failures_24h"] == 0
    found = {s["status"]: s for s in status["recent_transactions"]["by_status"]}
    assert found["ATTEMPTING"]["count"] == 1 and is_recent(found["ATTEMPTING"]["latest"])
    assert found["COMPLETED"]["count"] > 0 and found["FAILED"]["count"] > 0
    assert status["recent_transactions"]["total_last_2_hours"] == sum(s["count"] for s in found.values())
    assert fetch(world, "/transaction/safety/status").keys() == status.keys()
    expected = {good: ("COMPLETED", 200), bad: ("FAILED", 400), late: ("ATTEMPTING", None)}

    def check():
        for seq, (state, http) in expected.items():
            t = fetch(world, f"/transaction/safety/transaction/{seq}")
            has_shape(t, TRANSACTION)
            assert (t["transaction_id"], t["status"], t["response_status"]) == (str(seq), state, http)
            assert not t["is_timing_gap_failure"] and bool(t["failure_reason"]) == (state == "FAILED")
            assert (t["completed_at"] is None) == (state == "ATTEMPTING")

    check()
    for chroma in world.instances:
        chroma.start()
    answer = world.http.post("/transaction/safety/recovery/trigger", json={})
    assert answer.status_code == 200 and answer.json()["success"]
    converged(world)
    expected[late] = ("RECOVERED", 200)
    check()
    status = fetch(world, "/admin/transaction_safety_status")
    assert status["pending_recovery"] == 0
    assert {s["status"] for s in status["recent_transactions"]["by_status"]} == {"COMPLETED", "FAILED", "RECOVERED"}
    assert entry(world, late)["after_its_client_left"]
    [op] = world.sql(f"SELECT op FROM chromatid.log WHERE seq = {late}")
    assert fetch(world, f"/transaction/safety/transaction/{op['op']}")["transaction_id"] == str(late)
    answer = world.http.post("/transaction/safety/cleanup", json={"days_old": 7})
    assert answer.status_code == 200 and answer.json()["deleted_entries"] == 0


# --- by hand -------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_an_instance_taken_out_is_left_alone(world, victim):
    """The drain of the operator: the same journeys as with a death, and no request hurt."""
    chroma = getattr(world, victim)
    with Load(world.proxy.url, threads=4) as load:
        load.wait_steps(30)
        answer = drain(world, victim, healthy=False, duration_seconds=60)
        message = answer.pop("message")
        assert victim in message and answer == {
            "success": True, "instance": victim, "health_set_to": False, "original_health": True,
            "will_restore_in_seconds": 60,
        }  # fmt: skip
        load.wait_steps(20)
        served = world.proxy.instance(victim)["request_count"]
        load.wait_steps(80)
        instance = world.proxy.instance(victim)
        assert instance["request_count"] == served and instance["pending_writes"] > 0
        assert (instance["healthy"], instance["state"], instance["taken_out"]) == (False, "taken_out", True)
        assert instance["taken_out_until"] and "taken out by" in instance["reason"]
        assert fetch(world, "/health")["healthy_instances"] == "1/2"
        made = world.client().create_collection(f"while-{victim}-out", embedding_function=None)
        assert made.name not in snapshot(chroma)[DEFAULT_DATABASE]
        answer = drain(world, victim, healthy=True)
        assert answer["health_set_to"] is True and answer["original_health"] is False
        assert "permanent" not in answer and "will_restore_in_seconds" not in answer
        wait_until(world.all_healthy, 30, "it is back")
        load.wait_steps(40)
    assert load.failures == [], load.failures[:3]
    load.check(converged(world))
    assert chroma.running()
    events = [e["text"] for e in world.proxy.status()["recent_events"] if e["event"] == "operator"]
    assert any(victim in e and "taken out" in e and "127.0.0.1" in e for e in events)
    assert any(victim in e and "put back" in e for e in events)


def test_it_stays_out_whatever_happens(world, tmp_path):
    answer = drain(world, "replica", healthy=False)
    assert answer["permanent"] is True and "will_restore_in_seconds" not in answer
    world.replica.kill()
    world.replica.start()
    probes = lambda: world.metric("chromatid_probes_total")
    before = probes()
    wait_until(lambda: probes() > before + 6, 20, "probes have gone by")
    assert not world.proxy.instance("replica")["healthy"]
    # a second proxy sees it, too, and may end it
    settings = {k: v for k, v in world.proxy.settings.items() if k != "PORT"}
    second = Proxy(tmp_path, settings, "second")
    second.start(wait="listening")
    try:
        wait_until(lambda: second.instance("replica")["taken_out"], 10, "the second proxy knows")
        world.proxy.terminate()
        wait_until(second.leads, 20, "the second leads")
        c = second.client().create_collection("led-by-second", embedding_function=None)
        assert second.instance("replica")["pending_writes"] > 0 and second.instance("replica")["taken_out"]
        world.proxy.start(wait="listening")
        wait_until(lambda: world.proxy.instance("replica")["taken_out"], 10, "it holds over a restart")
        drain(world, "replica", healthy=True)
        wait_until(lambda: second.instance("replica")["healthy"], 10, "what one proxy is told the other does")
        assert c.count() == 0
        second.terminate()
    finally:
        second.kill()
    wait_until(world.proxy.leads, 20, "the first leads again")
    converged(world)


def test_it_comes_back_in_time(world):
    drain(world, "primary", healthy=False, duration_seconds=0.4)
    assert not world.proxy.instance("primary")["healthy"]
    wait_until(lambda: world.proxy.instance("primary")["healthy"], 20, "it is back by itself")
    # both out: reads fail, writes wait, nothing is lost
    c = make(world)
    for name in ("primary", "replica"):
        answer = drain(world, name, healthy=False)
    assert "no other instance is up" in answer["message"]
    assert fetch(world, "/health")["status"] == "unavailable"
    assert world.http.post(f"{COLLECTIONS}/{c.id}/get", json={}).status_code == 503
    upsert(world, c, 1, status=503)
    for name in ("primary", "replica"):
        drain(world, name, healthy=True)
    wait_until(world.all_healthy, 20, "both are back")
    assert converged(world)[DEFAULT_DATABASE][c.name]["order"] == ["1"]


# --- quarantine ----------------------------------------------------------------------


def test_a_lane_in_quarantine_is_an_error(world):
    c = make(world)
    converged(world)
    world.replica.http.delete(f"{COLLECTIONS}/{c.name}").raise_for_status()
    seq = upsert(world, c, 1)
    wait_until(lambda: world.proxy.status()["quarantine"], 20, "the lane is in quarantine")
    errors = fetch(world, "/admin/wal_errors")
    has_shape(errors, {"error_count": INT, "total_errors": INT, "critical_errors": INT})
    assert (errors["error_count"], errors["total_errors"], errors["critical_errors"]) == (1, 1, 1)
    [error] = errors["errors"]
    assert errors["recent_errors"] == [error]
    has_shape(error, ERROR)
    assert (error["write_id"], error["instance"], error["collection"]) == (str(seq), "replica", c.name)
    assert error["path"] == f"{COLLECTIONS}/{c.id}/upsert" and error["retry_count"] >= 1
    got = entry(world, seq)
    assert got["state"] == "quarantined" and got["instances"]["replica"]["state"] == "quarantined"
    assert got["instances"]["replica"]["error"] == error["error"] and got["instances"]["primary"]["state"] == "done"
    assert [e["seq"] for e in fetch(world, "/admin/wal", params={"state": "quarantined"})["entries"]] == [seq]
    assert fetch(world, "/admin/wal_count")["pending_writes"] == 1
    answer = world.http.post("/admin/complete_mappings", json={})
    assert answer.status_code == 202
    assert answer.json() == {
        "job": "complete_mappings", "watch": "/status", "partial": 1, "begun": 1, "waiting_for_the_log": 0,
        "without_a_source": 0,
    }  # fmt: skip
    wait_until(lambda: world.proxy.status()["quarantine"] == [], 30, "it is made anew")
    converged(world)
    assert fetch(world, "/admin/wal_errors")["errors"] == []
    assert world.http.post("/admin/complete_mappings", json={}).json()["partial"] == 0


# --- mappings ------------------------------------------------------------------------


def mapping(world, name):
    return next((m for m in fetch(world, "/collection/mappings")["mappings"] if m["collection_name"] == name), None)


def test_a_mapping_goes_only_if_nothing_is_behind_it(world):
    c = make(world)
    converged(world)
    path = f"/collection/mappings/{c.name}"
    assert "primary" in error_of(world.http.delete(path), 409)
    error_of(world.http.delete("/collection/mappings/never-was"), 404)
    error_of(world.http.delete(path, params={"tenant": "nobody"}), 404)
    world.primary.http.delete(f"{COLLECTIONS}/{c.name}").raise_for_status()
    assert "replica" in error_of(world.http.delete(path), 409)
    world.replica.http.delete(f"{COLLECTIONS}/{c.name}").raise_for_status()
    drain(world, "replica", healthy=False)
    assert "cannot be asked" in error_of(world.http.delete(path), 409)
    drain(world, "replica", healthy=True)
    wait_until(world.all_healthy, 20, "it is back")
    assert mapping(world, c.name)
    answer = world.http.delete(path)
    assert answer.status_code == 200 and answer.json()["success"] is True and answer.json()["message"]
    assert mapping(world, c.name) is None
    error_of(world.http.delete(path), 404)
    again = make(world, c.name)  # the name is free
    upsert(world, again, 1)
    converged(world)
    # forced, the collection goes, too
    assert world.http.delete(path, params={"force": "true"}).status_code == 200
    assert c.name not in converged(world)[DEFAULT_DATABASE] and mapping(world, c.name) is None
    make(world, "global")
    assert "protected" in error_of(world.http.delete("/collection/mappings/global", params={"force": "true"}), 403)
    assert mapping(world, "global")


def test_the_same_by_sql(world):
    c, kept = make(world), make(world)
    if mapping(world, "global") is None:
        make(world, "global")
    converged(world)
    for chroma in world.instances:
        chroma.http.delete(f"{COLLECTIONS}/{c.name}").raise_for_status()
    names = f"('{c.name}', '{kept.name}', 'global')"
    world.postgres.execute(f"DELETE FROM collection_id_mapping WHERE collection_name IN {names}", world.database)
    wait_until(lambda: world.sql("SELECT * FROM chromatid.wish") == [], 20, "the wishes are over")
    wait_until(lambda: mapping(world, c.name) is None, 10, "the mapping is gone")
    assert mapping(world, kept.name) and mapping(world, "global")
    texts = [e["text"] for e in world.proxy.status()["recent_events"] if e["event"] == "operator"]
    assert any("still has" in t for t in texts) and any("protected" in t for t in texts)
    assert {kept.name, "global"} <= set(converged(world)[DEFAULT_DATABASE])


def test_a_mapping_is_made_of_what_is_there(world):
    name = "c-" + uuid.uuid4().hex[:8]
    ids = []
    for chroma in world.instances:  # equal on both, and unknown to the proxy
        made = chroma.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()
        body = {"ids": ["a"], "embeddings": [[1, 2]], "documents": ["x"]}
        chroma.http.post(f"{COLLECTIONS}/{made['id']}/add", json=body).raise_for_status()
        ids.append(made["id"])
    create = lambda status, **body: _create(world, status, **body)
    other = str(uuid.uuid4())
    create(400, primary_id=ids[0])
    create(400, collection_name=name)
    create(400, collection_name=name, primary_id="no-id")
    create(400, collection_name=name, primary_id=3)
    create(404, collection_name="never-was", primary_id=ids[0])
    create(409, collection_name=name, primary_id=ids[0], replica_id=other)
    create(409, collection_name=name, primary_id=ids[1])
    assert mapping(world, name) is None
    body = create(200, collection_name=name, primary_id=ids[0], replica_id=ids[1])
    assert body["success"] is True and body["message"]
    assert (body["primary_id"], body["replica_id"]) == tuple(ids)
    content = converged(world)[DEFAULT_DATABASE]
    assert content[name]["order"] == ["a"]
    found = mapping(world, name)
    assert (found["public_id"], found["primary_uuid"], found["replica_uuid"]) == (ids[0], *ids)
    # known now: the same again is well, a missing id leaves the known one, another is refused
    assert create(200, collection_name=name, primary_id=ids[0])["replica_id"] == ids[1]
    assert create(200, collection_name=name)["primary_id"] == ids[0]
    create(409, collection_name=name, primary_id=ids[0], replica_id=other)
    drain(world, "primary", healthy=False)
    assert mapping(world, name) == found


def _create(world, status, **body):
    answer = world.http.post("/admin/create_mapping", json=body)
    if status == 200:
        assert answer.status_code == 200, answer.text
        return answer.json()
    return error_of(answer, status)


# --- PostgreSQL is gone, and nonsense ------------------------------------------------

PG_PAGES = ["/admin/wal", "/admin/wal/3", "/admin/wal_errors", "/admin/wal_debug", "/admin/transaction_safety_status",
            "/transaction/safety/transaction/3"]  # fmt: skip
MEMORY_PAGES = ["/admin/instances", "/admin/wal_count", "/admin/scalability_status", "/admin/config"]


def test_without_postgresql(world):
    world.postgres.stop()
    try:
        wait_until(lambda: not world.proxy.status()["postgres"]["connected"], 20, "it is noticed")
        for path in PG_PAGES:
            answer = world.http.get(path)
            assert error_of(answer, 503) and answer.headers["retry-after"], path
        for path in MEMORY_PAGES:
            fetch(world, path)
        drain(world, "replica", 503, healthy=False)
        assert not world.proxy.instance("replica")["taken_out"]
    finally:
        world.postgres.start()
    wait_until(world.proxy.leads, 20, "PostgreSQL is back")
    wait_until(lambda: world.http.get("/admin/wal_errors").status_code == 200, 20, "so are the pages")


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("POST", "/admin/instances/nobody/health", {"healthy": False}, 404),
        ("POST", "/admin/instances/primary/health", {}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": "no"}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": 0}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": False, "duration_seconds": 0}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": False, "duration_seconds": -1}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": False, "duration_seconds": "60"}, 400),
        ("POST", "/admin/instances/primary/health", {"healthy": False, "duration_seconds": 1e99}, 400),
        ("POST", "/admin/instances/primary/health", [], 400),
        ("GET", "/admin/wal/99999999", None, 404),
        ("GET", "/admin/wal/0", None, 404),
        ("GET", "/admin/wal/-1", None, 400),
        ("GET", "/admin/wal/x", None, 400),
        ("GET", "/admin/wal/99999999999999999999999", None, 400),
        ("GET", "/admin/wal?limit=0", None, 400),
        ("GET", "/admin/wal?limit=501", None, 400),
        ("GET", "/admin/wal?limit=many", None, 400),
        ("GET", "/admin/wal?after=-3", None, 400),
        ("GET", "/admin/wal?state=odd", None, 400),
        ("GET", "/transaction/safety/transaction/99999999", None, 404),
        ("GET", "/transaction/safety/transaction/nothing", None, 404),
        ("GET", "/transaction/safety/transaction/%27%3B%20DROP%20TABLE%20x", None, 404),
        ("GET", "/transaction/safety/transaction/------------------------------------", None, 404),
        ("POST", "/transaction/safety/cleanup", {"days_old": -1}, 400),
        ("POST", "/transaction/safety/cleanup", {"days_old": "x"}, 400),
        ("POST", "/admin/create_mapping", {"collection_name": 3}, 400),
        ("POST", "/admin/create_mapping", {"collection_name": "x" * 2000}, 400),
        ("DELETE", "/collection/mappings/%00", None, 400),
        ("DELETE", "/collection/mappings/%27%20OR%201=1", None, 404),
    ],
)
def test_nonsense_changes_nothing(world, method, path, body, status):
    logged = world.sql("SELECT count(*) AS n FROM chromatid.log")
    answer = world.http.request(method, path, json=body)
    assert answer.json().get("message"), answer.text
    assert answer.status_code == status, answer.text
    if path.startswith("/admin/instances/nobody"):
        assert answer.json()["available_instances"] == ["primary", "replica"]
    assert world.all_healthy()
    assert world.sql("SELECT count(*) AS n FROM chromatid.log") == logged


@pytest.mark.parametrize("path", ["/admin/instances/primary/health", "/admin/create_mapping"])
def test_broken_json_changes_nothing(world, path):
    answer = world.http.post(path, content='{"healthy": false', headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["message"]
    assert world.all_healthy()


def test_many_ask_at_once(world):
    """The pages wait in their own line: nothing else does."""
    codes = []
    ask = lambda: codes.append(httpx.get(world.proxy.url + "/admin/wal_debug", timeout=30).status_code)
    threads = [threading.Thread(target=ask) for _ in range(24)]
    for t in threads:
        t.start()
    c = make(world)
    upsert(world, c, 1)
    for t in threads:
        t.join()
    assert set(codes) <= {200, 429} and 200 in codes


def test_tables_of_the_older_system_are_left_alone(postgres, tmp_path):
    """The same database, after a move: neither do they stop the start, nor does it touch them."""
    database = f"moved_{uuid.uuid4().hex[:8]}"
    settings = {"DATABASE_URL": postgres.create_database(database) or postgres.url_of(database)}
    proxy = Proxy(tmp_path, {**settings, "INSTANCES": "a=127.0.0.1:1,b=127.0.0.1:2"})
    try:
        for name in ("collection_id_mapping", "unified_wal_writes"):
            postgres.execute(f"CREATE TABLE {name} (x int)", database)
            postgres.execute(f"INSERT INTO {name} VALUES (7)", database)
        proxy.start(wait="listening")
        wait_until(lambda: proxy.log_contains("leading, epoch 1"), 20, "it leads")
        for name in ("collection_id_mapping", "unified_wal_writes"):
            assert postgres.query(f"SELECT x FROM {name}", database) == [{"x": 7}]
        page = lambda: proxy.http.get("/admin/wal").json() == {"count": 0, "next": None, "entries": []}
        wait_until(page, 10, "the pages answer")
        a_page_that_waits(postgres, proxy, database)
    finally:
        proxy.kill()
        postgres.drop_database(database)


def a_page_that_waits(postgres, proxy, database):
    """For a lock, without end: nobody else notices, and the proxy may end meanwhile."""
    command = ["psql", "-XAtq", "-d", postgres.url_of(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        reader.stdin.write("BEGIN; LOCK TABLE chromatid.quarantine; SELECT 1;\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "1\n"
        with httpx.Client(base_url=proxy.url, timeout=1) as leaving, pytest.raises(httpx.TimeoutException):
            leaving.get("/admin/wal_errors")
        assert postgres.query("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == [{"n": 1}]
        assert proxy.http.get("/admin/wal_count").json()["wal_system_ready"]
        proxy.terminate()
        reader.stdin.write("ROLLBACK;\n")
        reader.stdin.close()
