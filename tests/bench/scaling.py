"""scaling: the same writes into more collections, and behind a longer log."""

import itertools

import wrk
from contestants import Bare, Chromatid
from measure import alternate, say

COLLECTIONS = (1, 100, 1000)
SAME_IDS = 64
names = itertools.count(1)


def collections(bench, clients):
    with bench.world() as world, Bare(bench.new_directory()) as bare, Chromatid(world) as chromatid:
        for number in COLLECTIONS:
            say(f"    making {number} collections on both")
            paths = {}
            for contestant in (bare, chromatid):
                with contestant.awake():
                    paths[contestant.name] = contestant.create(f"scaling-{number}", number)
            alternate(
                bench,
                [bare, chromatid],
                lambda contestant: wrk.writes(paths[contestant.name]),
                scenario="scaling",
                what=f"{number} collection{'s' * (number > 1)}",
                clients=clients,
            )


def length_of_log(world):
    return world.sql("SELECT count(*) FROM chromatid.log")[0]["count"]


def lengthen(bench, chromatid, records):
    """Writes the same few records again and again: the log grows, its Chromas do not."""
    paths = chromatid.create("log", 1)
    plan = wrk.writes(paths, dimension=12, kind="upsert", distinct=SAME_IDS)
    while (length := length_of_log(chromatid.world)) < records:
        say(f"    the log has {length} of {records} records")
        wrk.run(chromatid.port, plan, max(bench.clients), 10, bench.directory)
    chromatid.settle()


def log(bench, clients):
    with bench.world() as one, bench.world() as other:
        with Chromatid(one, "log of 0") as short, Chromatid(other, f"log of {bench.log}") as long:
            lengthen(bench, long, bench.log)
            alternate(
                bench,
                [short, long],
                lambda contestant: wrk.writes(contestant.create(f"behind-{next(names)}", 1)),
                scenario="scaling",
                what="length of the log",
                clients=clients,
            )


def run(bench):
    clients = max(bench.clients_up_to(64))
    collections(bench, clients)
    log(bench, clients)
