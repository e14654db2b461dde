"""catch-up: how fast an instance that was down does what it missed.

The clock starts when the proxy takes the instance for healthy again, and stops when nothing
is owed (durably); the anchor is the rate at which the writes were made. Of a very long backlog
most is made by SQL (fill.py), and it is looked at for a while only how that is caught up.
"""

import itertools
import time

import fill
import wrk
from contestants import Chromatid, forget_peak, memory_mb
from measure import Row, say
from world import wait_until

LONGEST = 14400  # seconds for a backlog to be made, or done
CHUNK = 10  # seconds of writes at a time
WRITTEN_MOST = 300_000  # records: a longer backlog is ...
WRITTEN = 5000  # ... so many of them, again and again
LOOKED_AT = 60  # seconds, while such a one is caught up
names = itertools.count(1)


def owe(bench, chromatid, records, clients, dimension):
    """Adds with the replica down until so many are owed; to which collection, and their rate."""
    world = chromatid.world
    world.replica.kill()
    world.wait_down(world.replica)
    name = f"owed-{next(names)}"
    paths = chromatid.create(name, 1)
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
    return f"{name}-0", made / seconds


def owe_more(chromatid, name, records):
    """As if clients had sent what was written to that collection again, until so many are owed."""
    world = chromatid.world
    up = lambda: world.proxy.instance(world.primary.name)
    wait_until(lambda: up()["pending_writes"] == 0, 60, "the primary has them all")
    more = records - chromatid.owed()
    world.proxy.terminate()
    say(f"    {more} more, by SQL")
    fill.multiply(world, name, more, world.primary.name)
    world.proxy.start()
    assert (chromatid.owed(), up()["pending_writes"]) == (records, 0)


def catch_up(chromatid, most=LONGEST):
    """Its rate; for so many seconds at most."""
    world = chromatid.world
    owed = chromatid.owed()
    world.replica.start()
    wait_until(lambda: world.proxy.instance("replica")["healthy"], 30, "the replica is healthy")
    start = time.monotonic()
    while (left := chromatid.owed()) > 0 and time.monotonic() < start + most:
        time.sleep(0.02)
    assert left == 0 or most < LONGEST, f"{left} of {owed} records after {most} s"
    return (owed - left) / (time.monotonic() - start)


def check(world):
    """Both have the same number everywhere."""
    primary, replica = (
        {c.name: c.count() for c in chroma.client().list_collections()} for chroma in world.instances
    )
    assert primary == replica, f"{primary} at the primary, {replica} at the replica"


def rows(bench, chromatid, scenario, records, clients, dimension, between=None):
    """between(where): done while all of it is owed."""
    forget_peak(chromatid.pid)
    long = records > WRITTEN_MOST
    name, made = owe(bench, chromatid, WRITTEN if long else records, clients, dimension)
    if long:
        owe_more(chromatid, name, records)
    where = {"scenario": scenario, "what": f"{chromatid.owed()} owed", "clients": clients}
    peak = memory_mb(chromatid.pid, "VmHWM")
    if long:
        bench.add(Row(**where, who="made by SQL", peak_mb=peak))
    else:
        bench.add(Row(**where, who="made", rate=made, ratio=1, peak_mb=peak))
    if between:
        between(where)
    forget_peak(chromatid.pid)
    rate = catch_up(chromatid, LOOKED_AT if long else LONGEST)
    peak = memory_mb(chromatid.pid, "VmHWM")
    ended = chromatid.owed() == 0
    who = "caught up" if ended else f"catching up for {LOOKED_AT} s"
    bench.add(Row(**where, who=who, rate=rate, ratio=None if long else rate / made, peak_mb=peak))
    if ended:
        check(chromatid.world)


def run(bench):
    for clients in bench.clients_up_to(64):
        if clients in (min(bench.clients), 64):
            with bench.world() as world, Chromatid(world) as chromatid:
                rows(bench, chromatid, "catch-up", bench.catch_up, clients, 384)
