"""What Prometheus gets is what rules, dashboard and documents speak of."""

import json
import re
import subprocess

import yaml

from compare import converged
from world import ROOT

MONITORING = ROOT / "docs/monitoring"
PAGE_MOST = 192 * 1024  # bytes, of a fresh proxy with two instances
NAME = re.compile(r"\b(?:chromatid|process)_[a-z_]+\b")
PROMISED = """
build_info ready leader leader_changes_total client_connections http_requests_total{op,code,instance}
http_requests_in_flight http_requests_rejected_total{reason} http_request_duration_seconds{op} instance_up{instance}
instance_state{instance,state} instance_requests_total{instance,kind,code} instance_errors_total{instance,reason}
instance_request_duration_seconds{instance} instance_connections{instance,state} probes_total{instance,result}
failovers_total{from,to} wal_appends_total{op} wal_append_duration_seconds wal_commit_batch_entries
wal_pending_entries{instance} wal_pending_bytes{instance} wal_oldest_pending_timestamp_seconds{instance}
wal_applied_total{instance,result} wal_merged_calls_total wal_merged_entries_total quarantined_entries{instance}
unproven_collections{instance}
collections{state} resync_records_total verify_total{result} postgres_up postgres_query_duration_seconds{query}
postgres_errors_total{class} event_loop_lag_seconds buffered_bytes auth_failures_total log_messages_total{level}
""".split()
WHERE_WANTED = {"chromatid_collection_pending_entries", "chromatid_collection_readable"}


def promtool(*arguments, given=None):
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def labels_by_name(page):
    """{name as in TYPE lines: set of label names}"""
    found, kinds = {}, {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            found[name] = set()
        elif not line.startswith("#"):
            name, labels = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            family = base if kinds.get(base) == "histogram" else name
            found[family] |= set(re.findall(r'([a-z_]+)="', labels or "")) - {"le"}
    return found


def names_of(page):
    return {re.match(r"[a-z_]+", line).group() for line in page.splitlines() if line and line[0] != "#"}


def rules():
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_expressions():
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_rules_fire_when_they_should():
    promtool("check", "rules", str(MONITORING / "alerts.yml"))
    promtool("test", "rules", str(MONITORING / "alerts.test.yml"))
    cases = yaml.safe_load((MONITORING / "alerts.test.yml").read_text())["tests"]
    tried = [(t["alertname"], bool(t["exp_alerts"])) for c in cases for t in c["alert_rule_test"]]
    assert {(r["alert"], fires) for r in rules() for fires in (True, False)} == set(tried)


def test_a_rule_test_can_fail(tmp_path):
    for name in ("alerts.yml", "alerts.test.yml"):
        (tmp_path / name).write_text((MONITORING / name).read_text().replace("> 600", "> 6000"))
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "alerts.test.yml"], capture_output=True)
    assert done.returncode != 0


def test_each_alert_has_a_runbook():
    text = (ROOT / "docs/OPERATIONS.md").read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in headings}
    for rule in rules():
        page, anchor = rule["annotations"]["runbook"].split("#")
        assert page == "docs/OPERATIONS.md" and anchor in anchors, rule["alert"]
        assert f"`{rule['alert']}`" in text, f"{rule['alert']} is not in OPERATIONS.md"


def test_the_page(shared_world):
    world = shared_world
    c = world.client().get_or_create_collection("metrics", embedding_function=None)
    c.upsert(ids=["1"], embeddings=[[1, 2]])
    converged(world)
    page = world.http.get("/metrics").text
    assert promtool("check", "metrics", given=page) == ""
    assert len(page) < PAGE_MOST

    # --- all that is promised is there, with its labels, from the first scrape on
    labels = labels_by_name(page)
    for promise in PROMISED:
        name, _, wanted = promise.rstrip("}").partition("{")
        assert "chromatid_" + name in labels, name
        if wanted:
            assert labels["chromatid_" + name] == set(wanted.split(",")), name

    # --- and all that others speak of
    names = names_of(page)
    spoken = {
        "rules": [r["expr"] for r in rules()],
        "dashboard": dashboard_expressions(),
        "OPERATIONS.md": re.findall(r"`([^`]*)`", (ROOT / "docs/OPERATIONS.md").read_text()),
    }
    for where, texts in spoken.items():
        missing = {n for t in texts for n in NAME.findall(t)} - names - set(labels) - WHERE_WANTED
        assert missing == set(), where
    for expression in (*spoken["rules"], *spoken["dashboard"]):
        for name, inside in re.findall(r"\b((?:chromatid|process)_[a-z_]+)\{([^}]*)\}", expression):
            used = set(re.findall(r"([a-z_]+)\s*(?:=~|!=|!~|=)", inside)) - {"job"}
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert used <= labels.get(name, labels.get(family)), expression

    # --- some are true by now
    assert world.metric("chromatid_leader_changes_total") == 1
    assert world.metric("chromatid_wal_commit_batch_entries_count") >= 1
    assert world.metric("chromatid_wal_commit_batch_entries_sum") == world.metric("chromatid_wal_appends_total")
    for query in ("append", "outcome", "lease"):
        assert world.metric(f'chromatid_postgres_query_duration_seconds_count{{query="{query}"}}') >= 1, query


def test_collections_are_named_only_where_that_is_wanted(make_world):
    world = make_world(METRICS_PER_COLLECTION="2")
    client = world.client()
    for name in ("first", "second", "third"):
        client.create_collection(name, embedding_function=None).upsert(ids=["1"], embeddings=[[1, 2]])
    converged(world)
    world.replica.kill()
    client.get_collection("second", embedding_function=None).upsert(ids=["1"], embeddings=[[2, 2]])
    of = lambda c, i: f'{{tenant="default_tenant",database="default_database",collection="{c}",instance="{i}"}}'
    behind = lambda c, i: world.metric("chromatid_collection_pending_entries" + of(c, i))
    assert (behind("second", "primary"), behind("second", "replica"), behind("first", "replica")) == (0, 1, 0)
    assert world.metric("chromatid_collection_readable" + of("first", "primary")) == 1
    page = world.http.get("/metrics").text
    assert "third" not in page
    assert WHERE_WANTED < names_of(page)
    assert promtool("check", "metrics", given=page) == ""
