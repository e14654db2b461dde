"""How fast, against a bare Chroma, nginx and HAProxy in the same run. Started by run.sh.

    tests/bench/run.sh [--only NAME,...] [--seconds S] [--rounds N] [--clients 1,16,64,256]
                       [--catch-up N] [--records N] [--proxies N] [--owed N] [--log N] [--variants N]
                       [--markdown]

strict        that a load which is not answered with 2xx fails here
writes        adds of one record and of 100, 384 and 1536 dimensions, JSON and base64
reads         query, get by id, count
pass-through  small and large answers of a stub that costs nothing
catch-up      --catch-up N records were missed: how fast they are done
resync        a lost disk with --records N records is filled again while clients write
proxies       through the one that leads, one that follows, several
memory        idle, at work, with --owed N records owed
scaling       many collections; a log of --log N records
watched       /status under full load; a line in the log for each request, or none

Everything runs on this machine and shares its cores: only ratios within one run mean
something (measure.py says how they are made). The binary is CHROMATID_BINARY, by default
the release build.
"""

import argparse
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
os.environ.setdefault("CHROMATID_BINARY", str(ROOT / "build/release/chromatid"))

import catch_up  # noqa: E402
import memory  # noqa: E402
import pass_through  # noqa: E402
import proxies  # noqa: E402
import reads  # noqa: E402
import resync  # noqa: E402
import scaling  # noqa: E402
import strict  # noqa: E402
import watched  # noqa: E402
import writes  # noqa: E402
from measure import TITLES, say, table  # noqa: E402
from world import Postgres, World  # noqa: E402

SCENARIOS = {
    "strict": strict.run,
    "writes": writes.run,
    "reads": reads.run,
    "pass-through": pass_through.run,
    "catch-up": catch_up.run,
    "resync": resync.run,
    "proxies": proxies.run,
    "memory": memory.run,
    "scaling": scaling.run,
    "watched": watched.run,
}

NOTES = """\
Medians of {rounds} rounds of {seconds} s each (more where that is less than 4 answers a client),
contestants measured in turn. ratio: requests/s, to the first contestant of the group. added: to its
p50. cpu, peak: of the proxy itself; cpu until all was done everywhere. owed: writes some instance had
still to do when the clock stopped, those under way among them."""


class Bench:
    """What every scenario needs: the options, PostgreSQL, directories, the rows so far."""

    settings = {"ACCESS_LOG": "off", "CHECK_INTERVAL": "1s"}

    def __init__(self, options, postgres, directory):
        self.__dict__.update(vars(options))
        self.postgres = postgres
        self.directory = Path(directory)
        self.directories = 0
        self.rows = []

    def new_directory(self):
        self.directories += 1
        made = self.directory / str(self.directories)
        made.mkdir()
        return made

    def world(self, **settings):
        return World(self.postgres, self.new_directory(), **self.settings, **settings)

    def clients_up_to(self, most):
        return [n for n in self.clients if n <= most] or [most]

    def add(self, row):
        self.rows.append(row)
        named = zip(TITLES[4:], row.texts()[4:])
        say("  ".join([*row.texts()[:4], *(f"{title} {text}" for title, text in named if text)]))


def machine():
    cpu = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return (
        f"{cpu}, {os.cpu_count()} cores, {pages / 2**30:.0f} GB, Linux {platform.release()}; "
        f"Chromatid {commit.stdout.strip() or 'of unknown version'}\n"
        f"tests/bench/run.sh {shlex.join(sys.argv[1:])}"
    )


def numbers(text):
    found = sorted({int(word) for word in text.split(",")})
    if found[0] < 1:
        raise ValueError(text)
    return found


def scenarios(text):
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in SCENARIOS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return chosen


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=scenarios, default=list(SCENARIOS), metavar="NAME,...")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement, at least (4)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=numbers, default=[1, 16, 64, 256], metavar="N,...")
    parser.add_argument("--variants", type=int, help="of writes and pass-through, only the first")
    parser.add_argument("--catch-up", type=int, default=2000, metavar="N")
    parser.add_argument("--records", type=int, default=100_000, metavar="N")
    parser.add_argument("--proxies", type=int, default=1, metavar="N", help="that share a resync")
    parser.add_argument("--owed", type=int, default=100_000, metavar="N")
    parser.add_argument("--log", type=int, default=50_000, metavar="N")
    parser.add_argument("--markdown", action="store_true", help="the table for a document")
    return parser.parse_args()


def run(bench):
    for name in bench.only:
        say(f"=== {name}")
        SCENARIOS[name](bench)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as directory:
        postgres = Postgres(data)
        postgres.start()
        bench = Bench(options, postgres, directory)
        try:
            run(bench)
        finally:  # what there is, even if the rest fails
            postgres.stop()
            lines = [machine(), table(bench.rows, options.markdown), NOTES.format(**vars(options))]
            print("\n\n".join(lines))


if __name__ == "__main__":
    main()
