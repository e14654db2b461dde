"""Contestants measured in turn, and the rows of the table.

Only ratios within a run mean something, so all are measured alternately, in several short
rounds, in changing order; what is shown is the median of the rounds, and the median of the
rounds' ratios to the anchor, the first of the contestants. Where a round is too short for one
of them, all begin anew with longer ones.
"""

import sys
from dataclasses import dataclass
from math import ceil
from statistics import median

import wrk
from contestants import cpu_seconds, forget_peak, memory_mb

ANSWERS_EACH = 4  # a client, at least, in one measurement
LONGEST = 60  # seconds

# title, digits behind the point, attribute of Row
COLUMNS = (
    ("req/s", 1, "rate"),
    ("ratio", 2, "ratio"),
    ("p50 ms", 3, "p50"),
    ("p99 ms", 3, "p99"),
    ("added ms", 3, "added"),
    ("cpu us/req", 0, "cpu_us"),
    ("peak MB", 1, "peak_mb"),
    ("owed", 0, "owed"),
)
TITLES = ["scenario", "what", "clients", "who", *(title for title, _, _ in COLUMNS)]


@dataclass
class Row:
    scenario: str
    what: str
    clients: int | None
    who: str
    rate: float | None = None  # requests a second
    ratio: float | None = None  # of the rates, to the anchor
    p50: float | None = None  # milliseconds
    p99: float | None = None
    added: float | None = None  # milliseconds: p50 less the anchor's in the same round
    cpu_us: float | None = None  # of the proxy, until all it was asked was done everywhere
    peak_mb: float | None = None  # resident memory of the proxy, at most
    owed: float | None = None  # writes still to be done somewhere when the clock stopped

    def texts(self):
        clients = "" if self.clients is None else str(self.clients)
        numbers = ((getattr(self, attribute), digits) for _, digits, attribute in COLUMNS)
        return [self.scenario, self.what, clients, self.who] + [
            "" if number is None else f"{number:.{digits}f}" for number, digits in numbers
        ]


def table(rows, markdown=False):
    lines = [TITLES, *(row.texts() for row in rows)]
    if markdown:
        lines.insert(1, ["---"] * 4 + ["---:"] * len(COLUMNS))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines)]
    left = (True, True, False, True) + (False,) * len(COLUMNS)
    return "\n".join(
        "  ".join(
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(line, widths, left)
        ).rstrip()
        for line in lines
    )


def say(text):
    print(text, file=sys.stderr, flush=True)


@dataclass
class Sample:
    result: wrk.Result
    cpu_us: float | None
    peak_mb: float | None
    owed: int | None


def sample(bench, contestant, plan, clients, seconds):
    """One load, and until all it asked for is done."""
    pid = contestant.pid
    if pid:
        forget_peak(pid)
        before = cpu_seconds(pid)
    result = wrk.run(contestant.port, plan, clients, seconds, bench.directory)
    owed = contestant.owed()
    contestant.settle()
    if not pid:
        return Sample(result, None, None, owed)
    cpu = (cpu_seconds(pid) - before) / max(result.requests, 1) * 1e6
    return Sample(result, cpu, memory_mb(pid, "VmHWM"), owed)


def middle(values):
    """The median, unless something is missing."""
    values = list(values)
    return None if None in values else median(values)


def row_of(samples, anchors, **where):
    pairs = [(s.result, a.result) for s, a in zip(samples, anchors)]
    return Row(
        **where,
        rate=middle(s.result.rate for s in samples),
        ratio=middle(own.rate / other.rate if other.rate else None for own, other in pairs),
        p50=middle(s.result.p50 for s in samples),
        p99=middle(s.result.p99 for s in samples),
        added=middle(
            None if None in (own.p50, other.p50) else own.p50 - other.p50 for own, other in pairs
        ),
        cpu_us=middle(s.cpu_us for s in samples),
        peak_mb=middle(s.peak_mb for s in samples),
        owed=middle(s.owed for s in samples),
    )


def alternate(bench, contestants, plan_for, check=None, **where):
    """Adds a row for each of them. plan_for(contestant): what it is sent in this round, where its
    collections are. check(contestant, plan, result, clients): that it was done. where: scenario,
    what, clients."""
    rounds, seconds = [], bench.seconds
    while len(rounds) < bench.rounds:
        order = contestants if len(rounds) % 2 == 0 else contestants[::-1]
        samples = {}
        for contestant in order:
            with contestant.awake():
                plan = plan_for(contestant)
                one = sample(bench, contestant, plan, where["clients"], seconds)
                if check:
                    check(contestant, plan, one.result, where["clients"])
            samples[contestant.name] = one
            longer = seconds_needed(one.result, where["clients"], seconds)
            if longer > seconds:
                say(f"    {seconds} s are too short for {contestant.name}: {longer} s")
                rounds, seconds = [], longer
                break
        else:
            rounds.append(samples)
    for contestant in contestants:
        own, anchors = ([r[c.name] for r in rounds] for c in (contestant, contestants[0]))
        bench.add(row_of(own, anchors, who=contestant.name, **where))


def seconds_needed(result, clients, seconds):
    """What is under way at the end is not counted: that must be little beside the rest, or a server
    that works on all requests at once would seem slow."""
    enough = ANSWERS_EACH * clients
    if result.requests >= enough:
        return seconds
    return min(LONGEST, max(seconds + 1, ceil(1.3 * seconds * enough / max(result.requests, 1))))


def written(contestant, plan, result, clients):
    """What was answered is there; what was under way at the end may be."""
    found = contestant.count(plan["paths"])
    least = result.requests * plan["batch"]
    most = least + clients * plan["batch"]
    assert least <= found <= most, f"{contestant.name}: {found} records, not {least} to {most}"
