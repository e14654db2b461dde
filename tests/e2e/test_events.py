"""What has happened stays in PostgreSQL: chromatid.event. And who is believed about where a client is."""

import pytest

from compare import converged
from test_access import bearer
from world import wait_until

ADMIN = "admin-" + "e" * 20


@pytest.fixture
def told(make_world):
    return make_world(ADMIN_TOKEN=ADMIN, TRUSTED_PROXIES="127.0.0.0/8", EVENTS_RETENTION="10m")


def events(world, where="true"):
    return world.sql(f"SELECT * FROM chromatid.event WHERE {where} ORDER BY at")


def noted(world, event, *texts):
    """The event that says all of that, once it is there."""

    def find():
        for row in reversed(events(world, f"event = '{event}'")):
            if all(text in row["message"] for text in texts):
                return row
        return None

    return wait_until(find, 20, f"{event}: {texts}")


def by(client):
    return {**bearer(ADMIN), "X-Forwarded-For": f"127.0.0.1, {client}"}


OLD = """
CREATE TABLE chromatid.event_202301 PARTITION OF chromatid.event
  FOR VALUES FROM ('2023-01-01 00:00+00') TO ('2023-02-01 00:00+00');
INSERT INTO chromatid.event (noted, at, proxy, event, message) VALUES ('2023-01-03', now(), 'old', 'health', 'old');
INSERT INTO chromatid.event (noted, at, proxy, event, message)
  SELECT now() - interval '20 minutes', now(), 'old', 'health', 'old'
  WHERE date_trunc('month', now() - interval '20 minutes') = date_trunc('month', now()); -- else: no part for it
"""


def months(world):
    rows = world.sql(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'chromatid.event'::regclass"
    )
    return {row["name"][-6:] for row in rows}


def test_what_happens_is_noted(told):
    world = told
    # --- a start, with the settings, but for what is secret
    assert noted(world, "start", "settings:", "EVENTS_RETENTION=10m", "ADMIN_TOKEN=***", "PRIMARY_URL=")
    assert not events(world, f"message LIKE '%{ADMIN}%'")
    noted(world, "lease", "leading")

    # --- an outage
    converged(world)
    world.primary.kill()
    noted(world, "health", "primary", "down")
    noted(world, "failover", "to instance replica", "primary")
    world.primary.start()
    noted(world, "failover", "to instance primary")
    wait_until(world.all_healthy, 30, "both are healthy")

    # --- an administrator: what, who, from where; the last proxy is believed, its client is not
    body = {"healthy": False, "duration_seconds": 3600}
    world.http.post("/admin/instances/replica/health", json=body, headers=by("192.0.2.7")).raise_for_status()
    assert noted(world, "operator", "replica", "192.0.2.7", "ADMIN_TOKEN")["proxy"]
    world.http.post("/admin/instances/replica/health", json={"healthy": True}, headers=by("192.0.2.7"))
    refused = world.http.get("/admin/config", headers={"X-Forwarded-For": "127.0.0.1, 192.0.2.9"})
    assert refused.status_code == 401
    noted(world, "auth", "config", "192.0.2.9", "no token")

    # --- PostgreSQL is away for a moment: what happens meanwhile is noted afterwards
    world.postgres.stop()
    try:
        world.replica.kill()
        wait_until(lambda: not world.proxy.instance("replica")["healthy"], 30, "it is seen down")
        assert not world.proxy.http.get("/health").is_error
    finally:
        world.postgres.start()
    noted(world, "health", "replica", "down")
    noted(world, "postgres", "session down")
    world.replica.start()

    # --- old ones go, whole months as tables; and after a restart it is still known what was before
    world.postgres.execute(OLD, world.database)
    before = len(world.proxy.status()["recent_events"])
    world.proxy.restart()
    noted(world, "stop", "signal 15")
    wait_until(lambda: "202301" not in months(world), 20, "the old month is gone")
    assert len(months(world)) == 2 and not events(world, "proxy = 'old'")
    wait_until(lambda: len(world.proxy.status()["recent_events"]) > before, 20, "what was before")
    recent = world.proxy.status()["recent_events"]
    assert any(e.get("proxy") and "192.0.2.7" in e["text"] for e in recent)
    assert [e["time"] for e in recent] == sorted((e["time"] for e in recent), reverse=True)

    # --- a flood is bounded, and counted
    for i in range(400):
        world.http.get("/admin/config", headers={"X-Forwarded-For": f"198.51.{i // 200}.{i % 200 + 1}"})
    wait_until(lambda: world.metric('chromatid_events_total{result="lost"}') > 0, 20, "some are lost")
    wait_until(lambda: len(events(world, "message LIKE '%198.51.%'")) >= 300, 20, "the first are noted")
    assert len(events(world, "message LIKE '%198.51.%'")) < 400


def test_who_asks_through_a_proxy_is_not_here(make_world):
    """Without ADMIN_TOKEN only this machine administers; a proxy on it passes on what comes from anywhere."""
    world = make_world(TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8")
    ask = lambda headers=None: world.http.get("/admin/config", headers=headers).status_code
    assert ask() == 200
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        assert ask({header: "127.0.0.1"}) == 403
        assert ask({header: ""}) == 403
    world.proxy.terminate()
    world.proxy.settings["TRUSTED_PROXIES"] = "127.0.0.1"
    world.proxy.start()
    assert ask() == 403  # it may be the proxy, which has not said for whom
    assert ask({"X-Forwarded-For": "127.0.0.1"}) == 403
    assert world.http.get("/status").status_code == 200
