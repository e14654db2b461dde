"""What is noted about the process in PostgreSQL, and what people are told."""

import subprocess

import pytest

from compare import converged
from receiver import SECRET, Receiver
from world import wait_until

COLUMNS = ["metric_timestamp", "memory_usage_mb", "memory_percent", "cpu_percent"]
ADVICE = [
    "recommendation_type", "current_usage", "recommended_tier", "reason", "urgency",
    "service_component", "created_at",
]  # fmt: skip


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with Receiver(tmp_path_factory.mktemp("slack")) as slack:
        yield slack


@pytest.fixture
def watched(slack, make_world, tmp_path):
    """The URL comes from a file, as secrets do."""
    (tmp_path / "url").write_text(slack.url + "\n")
    return make_world(
        METRICS_INTERVAL="200ms",
        METRICS_RETENTION="4s",
        MAX_MEMORY_MB="64",
        SLACK_WEBHOOK_URL_FILE=str(tmp_path / "url"),
    )


def samples(world, where="true"):
    return world.sql(f"SELECT * FROM performance_metrics WHERE {where}")


def write_some(world, count):
    c = world.client().get_or_create_collection("watched", embedding_function=None)
    for i in range(count):
        c.upsert(ids=[str(i)], embeddings=[[i, 1]])


PLANTED = """
SELECT pg_advisory_lock(4858, 3); -- nothing is tidied up for the moment
CREATE TABLE chromatid.performance_metrics_20230102 PARTITION OF chromatid.performance_metrics
  FOR VALUES FROM ('2023-01-02 00:00+00') TO ('2023-01-09 00:00+00');
INSERT INTO chromatid.performance_metrics (proxy, metric_timestamp) VALUES ('old', '2023-01-03');
INSERT INTO chromatid.upgrade_recommendations VALUES ('old', 1, '', '', '', '', 'old', '2023-01-03');
BEGIN;
SELECT proxy || ' is read' FROM chromatid.performance_metrics_20230102;
SELECT pg_advisory_unlock(4858, 3);
"""


def plant_and_read(world):
    """A week of three years ago, an old recommendation, and a session that has read the week and has
    not ended its transaction."""
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", world.postgres.url_of(world.database)]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    reader.stdin.write(PLANTED)
    reader.stdin.flush()
    while (line := reader.stdout.readline().strip()) != "old is read":
        assert reader.poll() is None, line
    return reader


def failovers(world, source, target):
    return world.metric(f'chromatid_failovers_total{{from="{source}",to="{target}"}}')


def weeks(world):
    rows = world.sql(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'chromatid.performance_metrics'::regclass"
    )
    return {row["name"][-8:] for row in rows}


def test_samples_advice_and_messages(watched, slack):
    world = watched
    # --- what scripts read is there and is so
    row = wait_until(lambda: samples(world, "pending_writes IS NOT NULL"), 10, "a sample of a leader")[0]
    assert set(COLUMNS) < set(row)
    assert 1 < row["memory_usage_mb"] < 2000
    assert row["memory_percent"] == pytest.approx(100 * row["memory_usage_mb"] / 64, rel=0.01)
    assert 0 <= row["cpu_percent"] <= 400 and row["event_loop_lag_ms"] >= 0
    assert row["pending_writes"] == 0 and row["behind_seconds"] == 0

    # --- a limit that is too low is told: 64 MB, and the sanitizers take more
    if row["memory_percent"] >= 95:
        advice = wait_until(
            lambda: world.sql("SELECT * FROM upgrade_recommendations"), 10, "a recommendation"
        )
        memory = next(a for a in advice if a["recommendation_type"] == "memory")
        assert set(ADVICE) < set(memory)
        assert (memory["urgency"], memory["service_component"]) == ("critical", "proxy")
        assert memory["current_usage"] >= 95 and "MAX_MEMORY_MB" in memory["recommended_tier"]
        slack.wait("critical", "MAX_MEMORY_MB")
        assert len(slack.heard("MAX_MEMORY_MB")) == 1

    # --- the primary fails: who was woken up knows where writes go
    converged(world)
    # one that has not taken writes yet is not where they went first
    wait_until(lambda: world.proxy.instance("primary")["state"] == "up", 20, "the primary takes writes")
    world.primary.kill()
    write_some(world, 5)
    slack.wait("instance primary is down", "writes go to replica")
    wait_until(lambda: failovers(world, "primary", "replica") >= 1, 15, "a failover")
    wait_until(lambda: samples(world, "pending_writes >= 5"), 10, "the backlog is noted")
    world.primary.start()
    slack.wait("instance primary is up again", "writes go to primary")
    wait_until(lambda: failovers(world, "replica", "primary") >= 1, 15, "a failover")
    converged(world)
    assert len(slack.heard("instance primary is down")) == 1
    assert slack.heard("instance replica") == []

    assert [failovers(world, *way) for way in (("primary", "replica"), ("replica", "primary"))] == [1, 1]
    assert not slack.heard("changes since")

    # --- what is old goes, whole weeks as tables, but nobody who reads is pushed aside
    reader = plant_and_read(world)
    newest = samples(world)[-1]["metric_timestamp"]
    wait_until(lambda: len(samples(world, f"metric_timestamp > '{newest}'")) >= 3, 10, "it goes on beside a reader")
    assert "20230102" in weeks(world)
    reader.communicate("COMMIT;\n")
    wait_until(lambda: "20230102" not in weeks(world), 10, "the old week is gone")
    assert len(weeks(world)) == 2  # this one, and the next
    wait_until(lambda: not world.sql("SELECT 1 AS x FROM upgrade_recommendations WHERE proxy = 'old'"), 10, "advice")
    wait_until(lambda: not samples(world, f"metric_timestamp <= '{newest}'"), 15, "old rows of this week go")
    assert 5 < len(samples(world)) < 60

    # --- the log is lost: told, and no sample is missed but those of that time
    world.postgres.stop()
    try:
        slack.wait("PostgreSQL is not connected")
        assert world.client().heartbeat() > 0
    finally:
        world.postgres.start()
    slack.wait("PostgreSQL is connected again")
    newest = samples(world)[-1]["metric_timestamp"] if samples(world) else "2000-01-01"
    wait_until(lambda: samples(world, f"metric_timestamp > '{newest}'"), 15, "samples again")

    # --- a receiver that hangs, then refuses: nobody waits, and it is said once
    slack.hang.clear()
    tried = slack.tried
    world.replica.kill()
    wait_until(lambda: slack.tried > tried, 15, "it was told")
    write_some(world, 3)
    slack.answer = 500
    slack.hang.set()
    wait_until(lambda: slack.tried > tried + 1, 15, "and again")
    assert world.proxy.log().count("does not take messages") == 1
    slack.answer = 200
    slack.wait("instance replica is down", timeout=30)
    assert world.proxy.log().count("takes messages again") == 1
    assert world.metric('chromatid_webhook_messages_total{result="sent"}') == len(slack.texts)

    # --- and the secret is nobody's
    for text in (world.proxy.log(), *slack.texts, world.http.get("/status").text, world.http.get("/metrics").text):
        assert SECRET not in text


def spoil(world, slack):
    """Somebody changes an item of the replica; then the collection there is deleted."""
    c = world.client().get_or_create_collection("spoiled", embedding_function=None)
    c.upsert(ids=["1", "2"], embeddings=[[1, 1], [2, 2]])
    converged(world)
    there = world.replica.client().get_collection("spoiled", embedding_function=None)
    there.update(ids=["2"], embeddings=[[3, 3]])
    assert world.http.post("/admin/verify", json={"collection": "spoiled"}).status_code == 202
    slack.wait("compared and are not equal")
    world.replica.client().delete_collection("spoiled")
    c.upsert(ids=["3"], embeddings=[[3, 3]])
    slack.wait("in quarantine: 1", "spoiled at replica: lost")
    world.client().delete_collection("spoiled")
    slack.wait("no collection is in quarantine any more")


def test_messages_over_tls(make_world, tmp_path):
    """Only to a receiver whose certificate is trusted."""
    with Receiver(tmp_path, tls=True) as trusted:
        world = make_world(
            SLACK_WEBHOOK_URL=trusted.url, SSL_CERT_FILE=str(trusted.authority), REPAIR="report"
        )
        spoil(world, trusted)
        world.replica.kill()
        trusted.wait("instance replica is down", "writes go to primary")
        told = len(trusted.texts)
        world.proxy.terminate()
        del world.proxy.settings["SSL_CERT_FILE"]
        world.proxy.start()
        tells = lambda: "does not take messages" in world.proxy.log()
        wait_until(tells, 15, "it does not trust that one")
        assert "certificate" in world.proxy.log()
        assert len(trusted.texts) == told
        write_some(world, 1)
