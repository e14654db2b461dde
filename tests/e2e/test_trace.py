"""One write followed from its client to both instances by one id; and what the log says of each request."""

import json
import re
import socket
import threading

import httpx
import pytest

from test_hostile import recorded_world
from world import COLLECTIONS, wait_until

FIELDS = {
    "ts", "level", "msg", "event", "proxy", "request_id", "trace_id", "client", "op", "status", "dur_ms",
    "bytes_in", "bytes_out",
}  # fmt: skip


@pytest.fixture(scope="module")
def traced(postgres, tmp_path_factory):
    world = recorded_world(postgres, tmp_path_factory.mktemp("traced"), LOG_LEVEL="debug", WRITE_WAIT="1s")
    yield world
    world.__exit__(None, None, None)
    for recorder in world.recorders:
        recorder.close()


def make(world, name):
    return world.http.post(COLLECTIONS, json={"name": name, "get_or_create": True}).raise_for_status().json()["id"]


def body(*ids):
    return {"ids": list(ids), "embeddings": [[1, 2] for _ in ids]}


def parent(digit):
    return f"00-{digit * 32}-{digit * 16}-01"


def lines(world, trace, event="access"):
    return [
        line for line in map(json.loads, filter(lambda l: l.startswith("{"), world.proxy.log().splitlines()))
        if line["event"] == event and line.get("trace_id") == trace
    ]  # fmt: skip


def line_of(world, trace):
    """Its client may have the answer before the line is written."""
    (line,) = wait_until(lambda: lines(world, trace), 10, f"a line of {trace}")
    return line


def calls(recorder, path):
    """The heads of the requests for that path that this instance was sent."""
    heads = bytes(recorder.sent).decode("latin-1").split("\r\n\r\n")
    return [head for head in heads if re.search(rf"(POST|PUT|GET|DELETE) [^ ]*{path} HTTP", head)]


def arrived(recorder, path, trace):
    return wait_until(
        lambda: [c for c in calls(recorder, path) if f"traceparent: 00-{trace}-" in c], 20, f"{trace} at {path}"
    )[-1]


def test_one_write_by_one_id(traced):
    world = traced
    c, trace = make(world, "followed"), "a" * 32
    answer = world.http.post(f"{COLLECTIONS}/{c}/add", json=body("1"), headers={"traceparent": parent("a")})
    seq = answer.raise_for_status().headers["x-chromatid-seq"]
    for recorder in world.recorders:
        head = arrived(recorder, "/add", trace)
        assert f"x-chromatid-records: {seq}" in head
        assert "a" * 16 not in head.replace(trace, "")  # the span is ours
    line = line_of(world, trace)
    assert FIELDS | {"instance", "collection", "seq"} <= set(line)
    assert (line["op"], line["status"], line["collection"]) == ("add", 200 + answer.status_code % 100, "followed")
    assert str(line["seq"]) == seq and str(line["request_id"]) == answer.headers["x-request-id"]
    assert line["client"] == "127.0.0.1" and line["bytes_in"] > 20 and 0 < line["dur_ms"] < 60000
    assert {call["instance"] for call in lines(world, trace, "call")} == {"primary", "replica"}
    assert world.http.get(f"/admin/wal/{seq}").json()["trace_id"] == trace
    assert world.http.get("/admin/wal?collection=followed").json()["entries"][0]["trace_id"] == trace
    assert world.sql(f"SELECT seq FROM chromatid.log WHERE trace LIKE '00-{trace}-%'") == [{"seq": int(seq)}]


def test_a_replay_minutes_later_belongs_to_it(traced):
    """One is kept in memory, one loaded by the next proxy, one was cold."""
    world = traced
    c = make(world, "late")
    world.replica.kill()
    world.wait_down(world.replica)
    for digit in "bc":
        sent = world.http.post(f"{COLLECTIONS}/{c}/upsert", json=body(digit), headers={"traceparent": parent(digit)})
        sent.raise_for_status()
    world.http.put(
        f"{COLLECTIONS}/{c}", json={"new_metadata": {"a": 1}}, headers={"traceparent": parent("d")}
    ).raise_for_status()
    world.proxy.restart()
    world.replica.start()
    merged = arrived(world.recorders[1], "/upsert", "b" * 32)  # and the other goes along: its place says so
    if f"traceparent: 00-{'c' * 32}" not in "".join(calls(world.recorders[1], "/upsert")):
        first, last = (int(n) for n in re.search(r"x-chromatid-records: (\d+)-(\d+)", merged).groups())
        assert last == first + 1
    arrived(world.recorders[1], f"/collections/[0-9a-f-]{{36}}", "d" * 32)
    wait_until(world.all_healthy, 30, "both are healthy")


def test_reads_and_what_is_made_for_those_who_bring_none(traced):
    world = traced
    c = make(world, "read")
    get = {"ids": ["1"], "include": []}
    world.http.post(f"{COLLECTIONS}/{c}/get", json=get, headers={"traceparent": parent("e"), "tracestate": "x=1"})
    line = line_of(world, "e" * 32)
    assert line["op"] == "get" and line["collection"] == "read" and "seq" not in line
    heads = [head for recorder in world.recorders for head in calls(recorder, "/get")]
    assert any(f"traceparent: 00-{'e' * 32}-" in head and "tracestate: x=1" in head for head in heads)
    # --- a bad one counts as none
    answer = world.http.get(f"{COLLECTIONS}/nobody", headers={"traceparent": "00-" + "f" * 31})
    line = line_of(world, answer.headers["chroma-trace-id"])
    assert line["status"] == 404 and line["request_id"] == int(answer.headers["x-request-id"])


def test_each_refusal_has_a_line_and_an_id(traced):
    world = traced
    large = world.http.post(f"{COLLECTIONS}/x/add", content=b"{" + b" " * 50_000_000, headers={"content-type": "application/json"})
    assert large.status_code == 413
    foreign = world.http.get("/admin/config", headers={"host": "evil.example", "traceparent": parent("9")})
    assert foreign.status_code == 403 and foreign.headers["chroma-trace-id"] == "9" * 32
    for answer in (large, foreign):
        assert answer.headers["x-request-id"] and answer.headers["x-chromatid-outcome"] == "none"
        line = line_of(world, answer.headers["chroma-trace-id"])
        assert line["status"] == answer.status_code and line["client"] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", world.proxy.port)) as s:
        s.sendall(b"NONSENSE\r\n\r\n")
        answer = s.recv(65536).decode()
    trace = re.search(r"chroma-trace-id: ([0-9a-f]{32})", answer, re.I).group(1)
    line = line_of(world, trace)
    assert (line["op"], line["status"]) == ("unknown", 400)


def test_a_wrong_method_is_logged_under_the_name_of_its_path(traced):
    for method, path, op in (("PUT", "/admin/wal_count", "wal_count"), ("DELETE", "/admin/verify", "verify"),
                             ("PUT", "/api/v2/version", "version")):  # fmt: skip
        answer = traced.http.request(method, path)
        line = line_of(traced, answer.headers["chroma-trace-id"])
        assert (line["op"], line["status"]) == (op, 405)


def test_merged_calls_name_each_record(traced):
    world = traced
    c = make(world, "merged")
    seqs = []

    def write(n):
        with httpx.Client(base_url=world.proxy.url, timeout=60) as http:
            for i in range(12):
                answer = http.post(f"{COLLECTIONS}/{c}/upsert", json=body(f"{n}.{i}")).raise_for_status()
                seqs.append(int(answer.headers["x-chromatid-seq"]))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()

    def carried(recorder):
        found, most = set(), 0
        for head in calls(recorder, "/upsert"):
            here = set()
            named = re.search(r"x-chromatid-records: ([0-9,-]+)", head)  # the canary names none
            for part in named.group(1).split(",") if named else ():
                first, _, last = part.partition("-")
                here |= set(range(int(first), int(last or first) + 1))
            found, most = found | here, max(most, len(here))
        return found, most

    for recorder in world.recorders:
        wait_until(lambda: set(seqs) <= carried(recorder)[0], 30, "all of them are named")
        assert carried(recorder)[1] > 1, "none were merged"


def test_nothing_secret_is_said(traced):
    world = traced
    mark = "never-said-" + "z" * 10
    c = make(world, "quiet")
    write = {"ids": [mark], "embeddings": [[1, 2]], "documents": [mark], "metadatas": [{mark: mark}]}
    headers = {"Authorization": f"Bearer {mark}", "X-Api-Key": mark}
    world.http.post(f"{COLLECTIONS}/{c}/add", json=write, headers=headers).raise_for_status()
    world.http.post(f"{COLLECTIONS}/{c}/query", json={"query_embeddings": [[1, 2]], "where": {mark: mark}}, headers=headers)
    world.http.get(f"/api/v2/auth/identity?token={mark}", headers=headers)
    wait_until(lambda: world.proxy.log_contains('"collection":"quiet"'), 10, "it is in the log")
    assert mark not in world.proxy.log()
