"""What monitors and scripts read has the promised shape, and is true."""

import os
import re
import signal
import time
from datetime import datetime
from statistics import median

import pytest

from compare import DEFAULT_DATABASE, converged
from world import COLLECTIONS, wait_until

INT, TEXT, BOOL, NUMBER, LIST, DICT = int, str, bool, (int, float), list, dict

INSTANCE = {
    "name": TEXT, "url": TEXT, "role": TEXT, "priority": INT, "healthy": BOOL, "state": TEXT,
    "request_count": INT, "total_requests": INT, "successful_requests": INT, "success_rate": TEXT,
    "consecutive_failures": INT, "last_health_check": TEXT, "pending_writes": INT,
    "caught_up": BOOL, "lag_seconds": NUMBER,
}  # fmt: skip
WAL = {
    "pending_writes": INT, "is_replaying": BOOL, "total_replayed": INT, "failed_replays": INT,
    "quarantined": INT,
}  # fmt: skip
UNIFIED = {
    "pending_writes": INT, "is_syncing": BOOL, "sync_interval_seconds": NUMBER, "database": TEXT,
    "approach": TEXT,
}  # fmt: skip
HIGH_VOLUME = {
    "max_memory_mb": NUMBER, "current_memory_percent": NUMBER, "max_workers": INT,
    "default_batch_size": INT, "max_batch_size": INT, "peak_memory_usage": NUMBER,
    "max_concurrent_requests": INT, "request_queue_size": INT, "request_timeout": NUMBER,
}  # fmt: skip
PERFORMANCE = {
    "memory_pressure_events": INT, "adaptive_batch_reductions": INT, "avg_sync_throughput": NUMBER,
    "connection_pool_hits": INT, "connection_pool_misses": INT, "lock_contention_avoided": INT,
    "concurrent_requests_active": INT, "total_requests_processed": INT, "timeout_requests": INT,
    "queue_full_rejections": INT, "mapping_failures": INT,
}  # fmt: skip
STATUS = {
    "schema": INT, "service": TEXT, "architecture": TEXT, "timestamp": TEXT, "version": TEXT,
    "healthy_instances": INT, "total_instances": INT, "instances": LIST,
    "load_balancer": {"strategy": TEXT, "read_replica_ratio": NUMBER},
    "summary": {"healthy_instances": INT, "total_instances": INT},
    "write_ahead_log": WAL, "wal": WAL, "unified_wal": UNIFIED,
    "high_volume_config": HIGH_VOLUME, "performance_stats": PERFORMANCE,
    "concurrency_limit": INT, "concurrency_details": DICT, "proxies": LIST, "collections": DICT,
    "resync": LIST, "quarantine": LIST, "jobs": LIST, "event_loop_lag_ms": NUMBER,
    "recent_events": LIST,
}  # fmt: skip
MAPPING = {
    "collection_name": TEXT, "tenant": TEXT, "database": TEXT, "public_id": TEXT,
    "primary_collection_id": TEXT, "replica_collection_id": TEXT, "primary_uuid": TEXT,
    "replica_uuid": TEXT, "locations": DICT, "status": TEXT, "created_at": TEXT, "updated_at": TEXT,
}  # fmt: skip


def mismatches(value, shape, path=""):
    """Which keys are missing or of the wrong type. bool is no int here."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        wrong = [f"{path}/{key} is missing" for key in shape if key not in value]
        for key in shape:
            if key in value:
                wrong += mismatches(value[key], shape[key], f"{path}/{key}")
        return wrong
    right = isinstance(value, shape) and (shape is BOOL or not isinstance(value, bool))
    return [] if right else [f"{path} is {value!r}"]


def has_shape(value, shape):
    assert mismatches(value, shape) == []


def fetch(world, path, status=200, **options):
    answer = world.http.get(path, **options)
    assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def is_recent(text):
    return abs((datetime.now().astimezone() - datetime.fromisoformat(text)).total_seconds()) < 60


def write_some(world, name, count):
    c = world.client().get_or_create_collection(name, embedding_function=None)
    for i in range(count):
        c.upsert(ids=[str(i)], embeddings=[[i, 1]])
    return c


@pytest.fixture
def outage(shared_world):
    """The replica is down and is owed five writes; afterwards it is back."""
    world = shared_world
    write_some(world, "owed", 1)
    converged(world)
    world.replica.kill()
    write_some(world, "owed", 5)
    world.wait_down(world.replica)
    wait_until(lambda: [i["pending_writes"] for i in world.proxy.status()["instances"]] == [0, 5], 5, "five owed")
    yield world
    world.revive()
    converged(world)


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez"])
def test_health_is_liveness(shared_world, path):
    converged(shared_world)
    health = fetch(shared_world, path)
    assert health["status"] == "healthy"
    assert health["healthy_instances"] == "2/2"
    assert health["pending_writes"] == 0
    has_shape(health, {"service": TEXT, "architecture": TEXT})


def test_health_tells_of_a_dead_instance(outage):
    health = fetch(outage, "/health")
    assert (health["status"], health["healthy_instances"]) == ("degraded", "1/2")
    assert health["pending_writes"] == 5
    assert fetch(outage, "/api/v2/heartbeat")["nanosecond heartbeat"] > 0


@pytest.mark.parametrize("path", ["/ready", "/readyz"])
def test_ready_as_long_as_one_instance_serves(outage, path):
    assert outage.http.get(path).status_code == 200


def test_status_has_every_key_that_scripts_read(shared_world):
    status = fetch(shared_world, "/status")
    has_shape(status, STATUS)
    assert status["schema"] == 1
    assert "ChromaDB Load Balancer with Write-Ahead Log" in status["service"]
    assert status["unified_wal"]["database"] == "PostgreSQL"
    assert status["load_balancer"] == {"strategy": "optimized_read_replica", "read_replica_ratio": 0.8}
    assert {"leader", "postgres"} <= set(status)
    assert is_recent(status["timestamp"])
    for instance in status["instances"]:
        has_shape(instance, INSTANCE)
        assert is_recent(instance["last_health_check"])
        assert re.fullmatch(r"\d+(\.\d+)?%", instance["success_rate"])
    assert [i["name"] for i in status["instances"]] == ["primary", "replica"]
    assert [i["url"] for i in status["instances"]] == [i.url for i in shared_world.instances]


def test_status_of_a_healthy_pair_is_true(shared_world):
    write_some(shared_world, "healthy", 3)
    converged(shared_world)
    status = fetch(shared_world, "/status")
    assert (status["healthy_instances"], status["total_instances"]) == (2, 2)
    assert status["summary"] == {"healthy_instances": 2, "total_instances": 2}
    assert status["wal"] == status["write_ahead_log"]
    assert status["wal"]["pending_writes"] == status["unified_wal"]["pending_writes"] == 0
    assert status["wal"]["oldest_pending"] is None
    assert not status["wal"]["is_replaying"] and not status["unified_wal"]["is_syncing"]
    for instance in status["instances"]:
        assert instance["healthy"] and instance["caught_up"] and instance["consecutive_failures"] == 0
        assert instance["pending_writes"] == 0
        assert instance["total_requests"] >= instance["successful_requests"] > 0


def test_status_counts_what_the_dead_instance_is_owed(outage):
    def behind():
        replica = outage.proxy.instance("replica")
        return replica["consecutive_failures"] > 0 and replica["lag_seconds"] > 0

    wait_until(behind, 10, "it is behind, and that is counted")
    status = fetch(outage, "/status")
    primary, replica = status["instances"]
    assert (primary["healthy"], replica["healthy"]) == (True, False)
    assert (primary["pending_writes"], replica["pending_writes"]) == (0, 5)
    assert primary["caught_up"] and not replica["caught_up"]
    assert status["wal"]["pending_writes"] == status["unified_wal"]["pending_writes"] == 5
    assert is_recent(status["wal"]["oldest_pending"])
    assert status["healthy_instances"] == status["summary"]["healthy_instances"] == 1
    replayed = status["wal"]["total_replayed"]
    outage.replica.start()
    converged(outage)
    assert fetch(outage, "/status")["wal"]["total_replayed"] >= replayed + 5


def test_status_can_ask_the_instances_first(shared_world):
    shared_world.replica.kill()
    # an answer less than 200 ms old counts
    wait_until(
        lambda: fetch(shared_world, "/status", params={"realtime": "true"})["healthy_instances"] == 1,
        0.4,
        "its death is seen",
    )
    shared_world.replica.start()
    converged(shared_world)


def test_wal_status(outage):
    status = fetch(outage, "/wal/status")
    has_shape(
        status,
        {
            "wal_system": {**UNIFIED, **WAL},
            "performance_stats": PERFORMANCE,
            "high_volume_config": HIGH_VOLUME,
            "failed_syncs": INT,
            "successful_syncs": INT,
            "successful": INT,
            "is_syncing": BOOL,
        },
    )
    assert status["pending_writes"] == status["pending"] == status["wal_system"]["pending_writes"] == 5


@pytest.mark.parametrize("path", ["/collection/mappings", "/admin/collection_mappings"])
def test_mappings_newest_first(shared_world, path):
    client = shared_world.client()
    for name in ("map-a", "map-b"):
        client.get_or_create_collection(name, embedding_function=None)
    converged(shared_world)
    body = fetch(shared_world, path)
    assert body["mappings"] == body["collection_mappings"]
    assert body["count"] == body["total_mappings"] == len(body["mappings"])
    for mapping in body["mappings"]:
        has_shape(mapping, MAPPING)
        assert mapping["status"] == "complete"
    names = [m["collection_name"] for m in body["mappings"]]
    assert names.index("map-b") < names.index("map-a")


def test_a_mapping_is_partial_until_both_have_the_collection(outage):
    outage.client().create_collection("halfway", embedding_function=None)
    found = {m["collection_name"]: m for m in fetch(outage, "/collection/mappings")["mappings"]}
    assert found["halfway"]["status"] == "partial"
    assert found["halfway"]["primary_uuid"] and not found["halfway"]["replica_uuid"]
    assert set(found["halfway"]["locations"]) == {"primary"}


SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$")


def read_metrics(world):
    """{(name, labels as text): value}; every sample belongs to a described metric."""
    answer = world.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.endswith("\n")
    described, samples = {}, {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in described, f"{name} is described twice"
            described[name] = kind
        elif line and not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, f"not a sample: {line}"
            name, labels, value = match.groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in described or described.get(base) == "histogram", f"{name} is not described"
            assert (name, labels) not in samples, f"twice: {line}"
            samples[name, labels] = float(value)
    assert all(n.endswith("_total") for n, kind in described.items() if kind == "counter")
    return samples


def test_metrics_are_prometheus_text_and_true(outage):
    samples = read_metrics(outage)
    assert samples["chromatid_instance_up", 'instance="primary"'] == 1
    assert samples["chromatid_instance_up", 'instance="replica"'] == 0
    assert samples["chromatid_wal_pending_entries", 'instance="replica"'] == 5
    assert samples["chromatid_wal_pending_entries", 'instance="primary"'] == 0
    assert samples["chromatid_postgres_up", None] == 1
    assert samples["chromatid_ready", None] == 1
    names = {name for name, _ in samples}
    for name in (
        "build_info leader client_connections http_requests_total http_requests_in_flight"
        " http_request_duration_seconds_bucket instance_requests_total instance_errors_total"
        " instance_connections probes_total wal_appends_total wal_append_duration_seconds_bucket"
        " wal_applied_total event_loop_lag_seconds buffered_bytes log_messages_total"
    ).split():
        assert "chromatid_" + name in names, name
    assert "process_resident_memory_bytes" in names or "chromatid_process_resident_memory_bytes" in names


def test_counters_only_grow(shared_world):
    def counters():
        return {k: v for k, v in read_metrics(shared_world).items() if k[0].endswith("_total")}

    before = counters()
    write_some(shared_world, "counted", 3)
    after = counters()
    assert all(after[k] >= v for k, v in before.items())
    assert sum(after.values()) > sum(before.values())


def test_metrics_in_the_old_shape(shared_world):
    body = fetch(shared_world, "/metrics", headers={"Accept": "application/json"})
    shape = dict.fromkeys(["memory_usage_mb", "memory_percent", "cpu_percent", "peak_memory_usage"], NUMBER)
    has_shape(body, {**shape, "timestamp": TEXT})
    assert body["memory_usage_mb"] > 1


def test_a_write_can_be_followed_by_its_headers(shared_world):
    c = shared_world.client().get_or_create_collection("headers", embedding_function=None)
    path = f"{COLLECTIONS}/{c.id}"
    answer = shared_world.http.post(path + "/upsert", json={"ids": ["1"], "embeddings": [[1, 2]]})
    first = int(answer.headers["x-chromatid-seq"])
    answer = shared_world.http.post(path + "/upsert", json={"ids": ["1"], "embeddings": [[2, 2]]})
    assert int(answer.headers["x-chromatid-seq"]) > first
    assert answer.headers["x-chromatid-instance"] in ("primary", "replica")
    timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert set(timing) == {"queue", "log", "upstream"} and all(float(ms) >= 0 for ms in timing.values())
    assert float(timing["log"]) > 0 and float(timing["upstream"]) > 0
    in_the_log = f'"request_id":{answer.headers["x-request-id"]}'
    wait_until(lambda: shared_world.proxy.log_contains(in_the_log), 5, "the log has the request")


def test_errors_of_ours_say_that_nothing_has_happened(shared_world):
    for method, path in (("POST", "/admin/verify"), ("GET", "/nowhere"), ("POST", "/status"), ("DELETE", f"{COLLECTIONS}/no")):
        answer = shared_world.http.request(method, path, content=b"{", headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500 and answer.headers["x-chromatid-outcome"] == "none", path
        assert answer.headers["chroma-trace-id"] and answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/admin", "/admin/nothing", "/status/x", "/wal", "/health/", "/transaction/safety"])
def test_a_path_of_ours_that_is_not_there_says_so(shared_world, path):
    answer = shared_world.http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "NotFoundError")
    assert "no such path" in answer.json()["message"]
    assert shared_world.http.head(path).content == b""


def test_a_path_of_ours_says_which_methods_it_takes(shared_world):
    for method, path, allow in (("PUT", "/admin/verify", "POST,GET,HEAD"), ("GET", "/wal/cleanup", "POST"),
                                ("POST", "/metrics", "GET,HEAD"), ("BREW", "/health", "GET,HEAD")):  # fmt: skip
        answer = shared_world.http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        assert answer.json() == {"error": "ChromaError", "message": f"This path takes {allow}, not {method}"}


def test_other_paths_are_refused_as_chroma_does_it(shared_world):
    http = shared_world.http
    for answer in (http.get("/nothing"), http.get("/"), http.get("/api/v2/nothing"), http.get("/api/admin")):
        assert (answer.status_code, answer.content) == (404, b"") and "content-type" not in answer.headers
    answer = http.put("/api/v2/version")
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (405, b"", "GET,HEAD")


def test_reads_of_a_collection_can_be_kept_together(make_world):
    world = make_world(READ_AFFINITY="on", READ_REPLICA_RATIO="0.5")
    by_whom = {}
    for n in range(12):
        c = world.client().create_collection(f"kept{n}", embedding_function=None)
        c.add(ids=["1"], embeddings=[[n, 1]])
    converged(world)
    for n in range(12):
        answers = [world.http.get(f"{COLLECTIONS}/kept{n}/count") for _ in range(8)]
        by_whom[n] = {a.headers["x-chromatid-instance"] for a in answers}
    assert all(len(names) == 1 for names in by_whom.values()), by_whom
    assert set.union(*by_whom.values()) == {"primary", "replica"}


def test_the_log_keeps_bodies_to_itself(shared_world):
    c = shared_world.client().get_or_create_collection("private", embedding_function=None)
    c.upsert(ids=["1"], embeddings=[[0.123456789, 1]], documents=["a very private text"])
    c.get(where={"a": "private-filter"})
    log = shared_world.proxy.log()
    assert "very private" not in log and "0.1234567" not in log and "private-filter" not in log


def test_heartbeat_of_the_old_version_is_kept_for_old_monitors(shared_world):
    assert shared_world.http.get("/api/v1/heartbeat").status_code == 200


@pytest.fixture
def everything_hangs(world):
    """PostgreSQL's sessions with the proxy and both servers are stopped: they neither answer nor go away."""
    sessions = world.sql(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{world.database}' AND application_name LIKE 'chromatid-%'"
    )
    assert len(sessions) >= 4
    for row in sessions:
        os.kill(row["pid"], signal.SIGSTOP)
    for chroma in world.instances:
        chroma.pause()
    yield world
    for row in sessions:
        os.kill(row["pid"], signal.SIGCONT)
    for chroma in world.instances:
        chroma.resume()


def test_status_waits_for_nobody(everything_hangs):
    world = everything_hangs
    pages = ("/status", "/wal/status", "/health", "/metrics", "/status/timeline", "/status/collections", "/ui", "/admin/config")
    took = []
    until = time.monotonic() + 6  # long enough for the lease to run out, and the servers to be seen down
    while time.monotonic() < until:
        for path in pages:
            began = time.perf_counter()
            assert world.http.get(path).status_code == 200, path
            took.append(time.perf_counter() - began)
    assert median(took) < 0.05 and max(took) < 2, (median(took), max(took))
    assert world.proxy.status()["healthy_instances"] == 0 and world.proxy.ready() == 503
