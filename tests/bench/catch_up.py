"""catch-up: how fast an instance that was down does what it missed.

The clock starts when the proxy takes the instance for healthy again, and stops when nothing
is owed (durably); the anchor is the rate at which the writes were made.
"""

import itertools
import time

import wrk
from contestants import Chromatid, forget_peak, memory_mb
from measure import Row, say
from world import wait_until

LONGEST = 14400  # seconds for a backlog to be made, or done
CHUNK = 10  # seconds of writes at a time
names = itertools.count(1)


def owe(bench, chromatid, records, clients, dimension):
    """Adds with the replica down until so many are owed; their rate."""
    world = chromatid.world
    world.replica.kill()
    world.wait_down(world.replica)
    paths = chromatid.create(f"owed-{next(names)}", 1)
    made, seconds, end = 0, 0, time.monotonic() + LONGEST
    while (owed := chromatid.owed()) < records:
        assert time.monotonic() < end, f"only {owed} of {records} records within {LONGEST} s"
        left = (records - owed) * seconds / made if made else 1
        result = wrk.run(
            chromatid.port,
            wrk.writes(paths, dimension),
            clients,
            max(1, min(CHUNK, round(left))),
            bench.directory,
        )
        made, seconds = made + result.requests, seconds + result.seconds
        say(f"    {chromatid.owed()} of {records} owed")
    return made / seconds


def catch_up(chromatid):
    """Its rate."""
    world = chromatid.world
    owed = chromatid.owed()
    world.replica.start()
    wait_until(lambda: world.proxy.instance("replica")["healthy"], 30, "the replica is healthy")
    start = time.monotonic()
    end = start + LONGEST
    while chromatid.owed() > 0:
        assert time.monotonic() < end, f"{chromatid.owed()} of {owed} records after {LONGEST} s"
        time.sleep(0.02)
    return owed / (time.monotonic() - start)


def check(world):
    """Both have the same number everywhere."""
    primary, replica = (
        {c.name: c.count() for c in chroma.client().list_collections()} for chroma in world.instances
    )
    assert primary == replica, f"{primary} at the primary, {replica} at the replica"


def rows(bench, chromatid, scenario, records, clients, dimension, between=None):
    """between(where): done while all of it is owed."""
    forget_peak(chromatid.pid)
    made = owe(bench, chromatid, records, clients, dimension)
    where = {"scenario": scenario, "what": f"{chromatid.owed()} owed", "clients": clients}
    peak = memory_mb(chromatid.pid, "VmHWM")
    bench.add(Row(**where, who="made", rate=made, ratio=1, peak_mb=peak))
    if between:
        between(where)
    forget_peak(chromatid.pid)
    rate = catch_up(chromatid)
    peak = memory_mb(chromatid.pid, "VmHWM")
    bench.add(Row(**where, who="caught up", rate=rate, ratio=rate / made, peak_mb=peak))
    check(chromatid.world)


def run(bench):
    for clients in bench.clients_up_to(64):
        if clients in (min(bench.clients), 64):
            with bench.world() as world, Chromatid(world) as chromatid:
                rows(bench, chromatid, "catch-up", bench.catch_up, clients, 384)
