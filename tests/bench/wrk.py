"""Load by wrk: what to send (a plan), and what came of it.

A load with a single answer that is not 2xx, a broken connection or a timeout raises
LoadFailed: nothing that went wrong is ever counted as speed.
"""

import base64
import itertools
import json
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT = 60  # seconds for one request
FOR_EVER = 10**9
PIECES = 64
DOCUMENT = "All happy families are alike; each unhappy family is unhappy in its own way. " * 3

runs = itertools.count(1)


class LoadFailed(Exception):
    pass


@dataclass
class Result:
    requests: int
    seconds: float
    p50: float | None  # milliseconds; None: too few answers to say
    p99: float | None

    @property
    def rate(self):
        return self.requests / self.seconds


def pieces(dimension, base64_too=False):
    """Quarters of random vectors, as text."""
    assert dimension % 12 == 0 or not base64_too, "the pieces would need padding"
    numbers = random.Random(dimension)
    quarters = [[numbers.uniform(-1, 1) for _ in range(dimension // 4)] for _ in range(PIECES)]
    if base64_too:
        return [base64.b64encode(struct.pack(f"<{len(q)}f", *q)).decode() for q in quarters]
    return [",".join(f"{x:.9g}" for x in q) for q in quarters]


def writes(paths, dimension=384, form="JSON", batch=1, kind="add", distinct=FOR_EVER):
    """Records with ids nobody has used yet; with `distinct`, so many ids again and again."""
    quoted = form == "base64"
    return {
        "kind": kind,
        "paths": paths,
        "prefix": f"run{next(runs)}",
        "distinct": distinct,
        "batch": batch,
        "document": json.dumps(DOCUMENT),
        "pieces": pieces(dimension, quoted),
        "open": '"' if quoted else "[",
        "between": "" if quoted else ",",
        "close": '"' if quoted else "]",
    }


def reads(kind, paths, prefix, records, dimension=384):
    """Of a collection with records PREFIX-0, PREFIX-1, ..."""
    plan = writes(paths, dimension)
    return {**plan, "kind": kind, "prefix": prefix, "distinct": records}


def fixed(path):
    """The same GET again and again."""
    return {"kind": "fixed", "paths": [path]}


def lua(value):
    """A value as Lua writes it; ASCII only."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(lua, value)) + "}"
    return json.dumps(value)


def run(port, plan, clients, seconds, directory):
    file = Path(directory) / "plan.lua"
    file.write_text("return " + lua(plan))
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "--", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s"]
        + [f"--timeout={TIMEOUT}s", "-s", str(SCRIPT)]
        + [f"http://127.0.0.1:{port}{plan['paths'][0]}", "--", str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds + 2 * TIMEOUT,
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), None)
    if done.returncode != 0 or line is None:
        raise LoadFailed(f"wrk: {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return judge(json.loads(line.removeprefix("RESULT ")), clients)


def judge(found, clients):
    wrong = {
        name: found[name]
        for name in ("bad", "bad_status", "status", "connect", "read", "write", "timeout")
        if found[name]
    }
    if wrong:
        raise LoadFailed(f"of {found['requests']} answers not all were 2xx: {wrong}")
    # What was under way at the end is not counted: with few answers those are the slow ones.
    enough = found["requests"] >= 2 * clients
    p50, p99 = (found[p] / 1000 if enough else None for p in ("p50", "p99"))
    return Result(found["requests"], found["microseconds"] / 1e6, p50, p99)
