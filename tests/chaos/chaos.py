#!/usr/bin/env python3
"""The chaos test: many clients, real servers, and everything that can go wrong.

    chaos.py --seed 7 --seconds 300
    chaos.py --seed 7 --seconds 300 --proxies 2   side by side, each client at any of them
    chaos.py --seed 7 --seconds 300 --keep DIR    keeps the history in any case
    chaos.py --check DIR                          checks a history again

One PostgreSQL, two Chromas, the proxy, and a relay on the way to each Chroma. While the clients
(workload.py) work, the nemesis (nemesis.py) kills, pauses, restarts and disturbs all of them;
then everything heals, becomes quiet, and the checker (checker.py) holds what the clients were
told, and what the servers hold, to the guarantees. Ends with 1 if anything is wrong, and then
says where the history is.

The seed decides what each client does and which faults come when. Where in the work a fault
hits depends on real time and is different each time: a seed that failed will mostly, but not
always, fail again. The history that was kept is what can be checked again exactly.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "e2e")]

import history as records  # noqa: E402
from availability import answered  # noqa: E402
from checker import check  # noqa: E402
from evidence import is_quiet, keep, quiet  # noqa: E402
from nemesis import Nemesis  # noqa: E402
from wire import WRITES  # noqa: E402
from workload import Sampler, Workload  # noqa: E402
from world import Postgres, World  # noqa: E402

QUIET_MOST = 120  # seconds for everything to become quiet at the end
SETTINGS = {
    "WRITE_WAIT": "10s",
    "REQUEST_TIMEOUT": "20s",
    "WAL_RETENTION": "24h",  # the log is the checker's witness
    "LOG_LEVEL": "debug",
}


def longest_gap(times, begin, end):
    points = [begin, *sorted(t for t in times if begin <= t <= end), end]
    return max(b - a for a, b in zip(points, points[1:]))


def fault_line(history, entry):
    """One line: what it was, and what the clients felt of it."""
    begin, end = entry["t0"], entry["clear"]
    ops = history.between(begin, end)
    failed = sum(not answered(op) for op in ops)
    good = [op for op in ops if answered(op)]
    gaps = [
        longest_gap([op["t1"] for op in good if (op["op"] in WRITES) == writes], begin, end)
        for writes in (True, False)
    ]
    hits = f", {entry['hits']} hits" if "hits" in entry else ""
    return (
        f"{begin:6.1f} s  {entry['kind']}: over after {end - begin:.1f} s{hits}; {len(ops)} operations, "
        f"{failed} failed, longest gap {gaps[0]:.1f} s of writes, {gaps[1]:.1f} s of reads"
    )


def run(options, directory):
    postgres_directory = tempfile.mkdtemp()  # its user may enter it
    postgres = Postgres(postgres_directory)
    postgres.start()
    history = records.History(directory)
    lock = threading.Lock()

    def say(entry):
        with lock:
            print(fault_line(history, entry), flush=True)

    try:
        where = Path(directory) / "processes"
        with World(postgres, where, relays=True, proxies=options.proxies, **SETTINGS) as world:
            urls = [proxy.url for proxy in world.proxies]
            with Sampler(history, urls):
                with Workload(history, urls, options.seed, options.clients, options.rate):
                    nemesis = Nemesis(world, history, options.seed, options.seconds, say)
                    nemesis.run()
                    wait_until_end(history, options.seconds)
                worked = history.now()
                unsettled = quiet(world, QUIET_MOST)
                print(f"quiet {history.now() - worked:.1f} s after the last request", flush=True)
                threading.Event().wait(0.6)  # one more look at the status page
            said = {"seed": options.seed, "seconds": options.seconds, "proxies": options.proxies}
            keep(world, directory, unsettled, **said)
            # what an index lost when its server was killed may be found, and healed, only now
            while not unsettled and not is_quiet(world):
                unsettled = quiet(world, QUIET_MOST)
                keep(world, directory, unsettled, **said)
    finally:
        history.close()
        postgres.stop()
        shutil.rmtree(postgres_directory, ignore_errors=True)


def wait_until_end(history, seconds):
    threading.Event().wait(max(seconds - history.now(), 0))


def parse():
    parser = argparse.ArgumentParser(description="The chaos test.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=150, help="requests a second, of all clients, at most")
    parser.add_argument("--proxies", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR", help="keep the history there, whatever comes of it")
    parser.add_argument("--check", metavar="DIR", help="only check the history that was kept there")
    options = parser.parse_args()
    if options.keep and Path(options.keep).exists() and any(Path(options.keep).iterdir()):
        parser.error(f"{options.keep} is not empty")
    return options


def main():
    options = parse()
    directory = options.check or options.keep or tempfile.mkdtemp(prefix="chaos-")
    if not options.check:
        print(f"seed {options.seed}, {options.seconds:.0f} s, {options.clients} clients", flush=True)
        run(options, directory)
    evidence = records.read(directory)
    report = check(evidence)
    if report.violations:
        print(report.told())
    print(report.table())
    if report.violations:
        print(f"FAILED: seed {evidence['run']['seed']}; everything is in {directory}")
        return 1
    if not (options.keep or options.check):
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
