"""Which requests had to work? All, but for what is documented:

    the proxy was killed, paused or restarted     nothing can be asked of it
    PostgreSQL was                                 writes are refused or unknown; reads go on
    both servers were out at the same time         writes wait, then 503; reads 503 or stale

With several proxies only the one that was killed, paused or restarted is excused, and nobody may
read either while PostgreSQL is away: who does not lead asks it before each read.

A server is out from the beginning of a fault on it, or on the way to it, until the status page
calls it healthy and it owes next to nothing. What it owes still when the other goes out it has
to do first: for a few seconds a read may be as many records behind as that, and say so. The
answers that a Chroma itself gives with 500, whatever happens, are answers.
"""

from bisect import bisect_left

from wire import WRITES

SLACK = 0.5  # seconds after the end was noticed
DRAINED = 5  # seconds in which a server does what it owed
CHROMAS_OWN = (
    "UNIQUE constraint failed",  # a rename to a name that is taken
    "Error finding id",  # a query or get while the index is behind the metadata
)


def windows(faults, target):
    return [(f["t0"], f["clear"] + SLACK) for f in faults if target in f["targets"]]


def overlap(a, b):
    begin, end = max(a[0], b[0]), min(a[1], b[1])
    return (begin, end) if begin < end else None


def merged(spans):
    found = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def answered(op):
    """As it would be without any fault."""
    if op["status"] is None:
        return False
    return op["status"] < 500 or any(text in op.get("text", "") for text in CHROMAS_OWN)


def fine(op):
    return op["status"] is not None and op["status"] < 300


class Availability:
    def __init__(self, faults, samples, several=False):
        self.faults = faults
        self.samples = samples
        primary, replica = windows(faults, "primary"), windows(faults, "replica")
        both = [o for a in primary for b in replica if (o := overlap(a, b))]
        proxies = {f["proxy"] for f in faults if "proxy" in f}
        postgres = windows(faults, "postgres")
        self.both = merged(both + postgres * several)
        self.reads, self.writes = {}, {}
        for p in proxies | {0}:
            mine = windows([f for f in faults if f.get("proxy", 0) == p], "proxy")
            self.reads[p] = merged(mine + self.both)
            self.writes[p] = merged(self.reads[p] + postgres)
        self.otherwise = {True: merged(self.both + postgres), False: self.both}
        self.nothing = merged(windows(faults, "proxy") + self.both)
        self.no_writes = merged(self.nothing + postgres)

    def excuses(self, op):
        writes = op["op"] in WRITES
        mine = self.writes if writes else self.reads
        return mine.get(op.get("p", 0), self.otherwise[writes])

    def excused(self, op):
        span = (op["t0"], op["t1"])
        return any(overlap(span, window) for window in self.excuses(op))

    def check(self, history):
        for op in history:
            if not answered(op) and not self.excused(op):
                yield op, op.get("error") or op.get("text")
            elif op.get("stale") is not None and not self.may_be_stale(op):
                yield op, f"stale by {op['stale']}, with a server that should have it all"

    def may_be_stale(self, op):
        if any(overlap((op["t0"] - 2.5, op["t1"]), window) for window in self.no_writes):
            return True
        return any(
            overlap((op["t0"], op["t1"]), (fault["t0"], fault["t0"] + DRAINED))
            and self.owed_by_others(fault) >= op["stale"]
            for fault in self.faults
        )

    def owed_by_others(self, fault):
        """As the status page said last before the fault."""
        at = bisect_left([sample["t1"] for sample in self.samples], fault["t0"]) - 1
        if at < 0:
            return 0
        instances = self.samples[at].get("instances", {}).items()
        return max((i["pending"] for name, i in instances if name not in fault["targets"]), default=0)

    def figures(self, history):
        """The longest time without a success: with what is excused left out, and with it."""
        found = {}
        for name, wanted in (("write", True), ("read", False)):
            times = sorted(op["t1"] for op in history if fine(op) and (op["op"] in WRITES) == wanted)
            gaps = list(zip(times, times[1:]))
            excuses = self.no_writes if wanted else self.nothing
            longest = max((b - a for a, b in gaps), default=0)
            outside = max((b - a - excused_part((a, b), excuses) for a, b in gaps), default=0)
            excused = sum(end - begin for begin, end in excuses)
            found[f"seconds in which {name}s may fail"] = f"{excused:.0f} of {history[-1]['t1']:.0f}"
            found[f"longest {name} gap"] = f"{outside:.1f} s ({longest:.1f} s with what is excused)"
        return found


def excused_part(span, excuses):
    parts = [overlap(span, window) for window in excuses]
    return sum(part[1] - part[0] for part in parts if part)
