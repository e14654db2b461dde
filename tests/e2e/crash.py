"""What the crash table (test_crash_table.py) is made of: stories, and ways to stop a part.

A story is one write, prepared so that its effect can be seen: what the servers hold of it
before and after. STORIES has one for each kind of record.

    story = STORIES["add"](world)
    arm(world, "append_committed")      # the proxy will end itself exactly there
    seen = send(world, story)           # "broken", or the answer
    resume(world)                       # a new proxy, at once
    check(world, story, "once")
"""

import itertools
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from compare import DEFAULT_DATABASE, converged, read_collections, snapshot
from world import BINARY, COLLECTIONS, DEFAULT, wait_until

ACCEPTED, REJECTED = 1, 2  # enum decision of wal/record.h
TENANTS = "/api/v2/tenants"
numbers = itertools.count(1)


@dataclass
class Story:
    name: str  # everything it makes begins with it
    method: str
    path: str
    body: dict | None
    before: dict
    after: dict
    decision: int = ACCEPTED
    status: int = 200
    seq: int = field(default=0)  # of the log, when it was prepared


def view(content, name):
    """What of compare.snapshot() belongs to a story."""
    found = {f"tenant {t}": None for t in content["tenants"] if t.startswith(name)}
    for key, collections in content.items():
        if key == "tenants":
            continue
        if key[1].startswith(name):
            found[f"database {key[1]}"] = None
        for c in collections.values():
            if c["name"].startswith(name):
                found[c["name"]] = {id: r["metadatas"] for id, r in c["records"].items()}
                if c["metadata"]:
                    found[f"metadata of {c['name']}"] = c["metadata"]
    return found


# --- stories: each prepares the world and says what is to be sent


def collection(world, name, ids=("1", "2")):
    """Its path, and what it holds."""
    made = world.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()
    path = f"{COLLECTIONS}/{made['id']}"
    body = {
        "ids": list(ids),
        "embeddings": [[int(id), 1] for id in ids],
        "metadatas": [{"n": int(id)} for id in ids],
    }
    world.http.post(path + "/add", json=body).raise_for_status()
    return path, {name: {id: {"n": int(id)} for id in ids}}


def items(op, body, after, **more):
    def prepare(world, name):
        path, before = collection(world, name)
        return Story(name, "POST", f"{path}/{op}", body, before, {name: after}, **more)

    return prepare


def record(id, **metadata):
    return {"ids": [id], "embeddings": [[7, 7]], "metadatas": [metadata]}


def create(world, name):
    return Story(name, "POST", COLLECTIONS, {"name": name}, {}, {name: {}})


def modify(change, after):
    def prepare(world, name):
        path, before = collection(world, name)
        return Story(name, "PUT", path, change(name), before, after(name, before[name]))

    return prepare


def delete_collection(world, name):
    _, before = collection(world, name)
    return Story(name, "DELETE", f"{COLLECTIONS}/{name}", None, before, {})


def create_database(world, name):
    path = f"{TENANTS}/default_tenant/databases"
    return Story(name, "POST", path, {"name": name}, {}, {f"database {name}": None})


def delete_database(world, name):
    path = f"{TENANTS}/default_tenant/databases"
    world.http.post(path, json={"name": name}).raise_for_status()
    world.http.post(f"{path}/{name}/collections", json={"name": name}).raise_for_status()
    return Story(name, "DELETE", f"{path}/{name}", None, {f"database {name}": None, name: {}}, {})


def create_tenant(world, name):
    return Story(name, "POST", TENANTS, {"name": name}, {}, {f"tenant {name}": None})


def reset(world, name):
    _, before = collection(world, name)
    return Story(name, "POST", "/api/v2/reset", None, before, {})


ONE, TWO = {"n": 1}, {"n": 2}
STORIES = {
    "add": items("add", record("3", n=3), {"1": ONE, "2": TWO, "3": {"n": 3}}, status=201),
    "upsert": items("upsert", record("1", n=5), {"1": {"n": 5}, "2": TWO}),
    "update": items("update", record("2", m=6), {"1": ONE, "2": {"n": 2, "m": 6}}),
    "delete": items("delete", {"ids": ["1"]}, {"2": TWO}),
    "delete_where": items("delete", {"where": {"n": 2}}, {"1": ONE}),
    "create": create,
    "rename": modify(
        lambda name: {"new_name": f"{name}-new"},
        lambda name, records: {f"{name}-new": records},
    ),
    "modify": modify(
        lambda name: {"new_metadata": {"a": 1}},
        lambda name, records: {name: records, f"metadata of {name}": {"a": 1}},
    ),
    "delete_collection": delete_collection,
    "create_database": create_database,
    "delete_database": delete_database,
    "create_tenant": create_tenant,
    "reset": reset,
    # refused by every server, and without effect
    "refused": items(
        "add",
        {"ids": ["3"], "embeddings": [[1, 2, 3]]},
        {"1": ONE, "2": TWO},
        decision=REJECTED,
        status=400,
    ),
}
# a reset takes everybody's collections along
KINDS = [kind for kind in STORIES if kind not in ("refused", "reset")]


def last_seq(world):
    return world.sql("SELECT seq FROM chromatid.clock")[0]["seq"]


def prepare(world, kind):
    story = STORIES[kind](world, f"{kind}-{next(numbers)}".replace("_", "-"))
    converged(world)
    story.seq = last_seq(world)
    return story


# --- the client's side


def send(world, story, **options):
    """The answer, or "broken"."""
    try:
        with httpx.Client(base_url=world.proxy.url, timeout=30) as http:
            return http.request(story.method, story.path, json=story.body, **options)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return "broken"


class Sending(threading.Thread):
    """The same, while something is done to the others."""

    def __init__(self, world, story):
        super().__init__(daemon=True)
        self.world, self.story, self.seen = world, story, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join(60)

    def run(self):
        self.seen = send(self.world, self.story)


def saw(seen, story, expected):
    """expected: "broken", "answer", or the outcome of a 503."""
    if expected == "broken":
        assert seen == "broken", f"{seen.status_code} {seen.text}"
        return
    assert seen != "broken", "the connection broke"
    if expected == "answer":
        assert seen.status_code == story.status, f"{seen.status_code} {seen.text}"
        return
    assert seen.status_code == 503, f"{seen.status_code} {seen.text}"
    assert seen.headers["x-chromatid-outcome"] == expected
    assert int(seen.headers["retry-after"]) > 0


# --- stopping the proxy


def end_lease(world):
    """Its holder is dead: nobody needs to wait until it would have run out."""
    world.postgres.execute("UPDATE chromatid.lease SET until = now()", world.database)


def start(world, failpoint=None, wait="ready"):
    assert b"CHROMATID_FAILPOINT" in Path(BINARY).read_bytes(), f"{BINARY} has no failpoints"
    end_lease(world)
    settings = world.proxy.settings
    if failpoint:
        settings["CHROMATID_FAILPOINT"] = failpoint
    try:
        world.proxy.start(wait=wait)
    finally:
        settings.pop("CHROMATID_FAILPOINT", None)


def arm(world, failpoint):
    """The next proxy stops there."""
    world.proxy.kill()
    start(world, failpoint)
    wait_until(world.all_healthy, 30, "both instances are healthy")


def died(world):
    """It has ended itself, or was killed; and not for anything a sanitizer found."""
    status = world.proxy.process.wait(30)
    world.proxy.check_sanitizers()
    assert status == -signal.SIGKILL, f"the proxy ended with {status}:\n{world.proxy.log()[-2000:]}"


def resume(world, **options):
    died(world)
    start(world, **options)


# --- stopping a Chroma


def reset_half(chroma):
    """What a proxy that dies at the wrong moment leaves: tables dropped and not made again."""
    head = b"POST /api/v2/reset HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    for delay in itertools.cycle(range(30)):
        with socket.create_connection(("127.0.0.1", chroma.port)) as client:
            client.sendall(head)
            time.sleep(delay / 1000)
        time.sleep(0.1)
        if chroma.http.get(f"{TENANTS}/default_tenant").status_code == 500:
            return


# --- PostgreSQL


class Lock:
    """Holds what a statement has locked, from a session of its own."""

    CLOCK = "SELECT seq FROM chromatid.clock FOR UPDATE"  # every append waits
    POSITIONS = "LOCK TABLE chromatid.position IN SHARE MODE"  # every outcome waits

    def __init__(self, world, sql):
        self.world, self.sql = world, sql

    def __enter__(self):
        url = self.world.postgres.url_of(self.world.database)
        self.psql = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.psql.stdin.write(f"BEGIN; {self.sql};\n\\echo held\n")
        self.psql.stdin.flush()
        while (line := self.psql.stdout.readline()) != "held\n":
            assert line, "psql ended"
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait(30)
        self.psql.stdout.close()

    def waiting(self):
        """The session of the proxy's log that waits for it."""
        rows = self.world.sql(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'chromatid-log' AND wait_event_type = 'Lock'"
        )
        return rows[0]["pid"] if rows else None

    def wait(self):
        return wait_until(self.waiting, 10, "the log waits for the lock")


def end_session(world, pid):
    """It is rolled back, and gone when this returns."""
    world.postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)", world.database)


def cut_off(world):
    """PostgreSQL goes away for this world only, until let_in()."""
    allow(world, False)
    world.postgres.execute(
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{world.database}'"
    )


def let_in(world):
    allow(world, True)


def allow(world, yes):
    world.postgres.execute(f'ALTER DATABASE "{world.database}" ALLOW_CONNECTIONS {yes}')


# --- what must be there in the end


def executed_on(world, story):
    """Wait until the effect shows on one server, whatever the proxy knows of it."""

    def shows():
        return any(view(snapshot(chroma), story.name) == story.after for chroma in world.instances)

    wait_until(shows, 10, "a server has executed it")


def logged(world, story):
    return world.sql(
        "SELECT l.seq, o.decision, o.http FROM chromatid.log l LEFT JOIN chromatid.outcome o"
        f" ON o.seq = l.seq WHERE l.seq > {story.seq} ORDER BY l.seq"
    )


def check(world, story, effect):
    """Both servers, what the proxy shows, and the log. effect: "once" or "none"."""
    content = converged(world)
    expected = story.after if effect == "once" else story.before
    assert view(content, story.name) == expected
    shown = {"tenants": [], DEFAULT_DATABASE: read_collections(world.proxy, *DEFAULT_DATABASE)}
    there = {"tenants": [], DEFAULT_DATABASE: content[DEFAULT_DATABASE]}
    assert view(shown, story.name) == view(there, story.name)
    rows = [(r["decision"], r["http"] < 400) for r in logged(world, story)]
    assert rows == [(story.decision, story.decision == ACCEPTED)] * (effect == "once")
    clean_up(world, expected)


def clean_up(world, left):
    """So that comparing stays quick."""
    for name in left:
        what, _, named = name.rpartition(" ")
        if what == "database":
            world.http.delete(f"{TENANTS}/default_tenant/databases/{named}").raise_for_status()
        elif not what and f"database {name}" not in left:
            world.http.delete(f"{DEFAULT}/collections/{name}").raise_for_status()
