"""Does the status page tell the truth? What a dead server cannot have is owed to it: every
write that was sent after its death and acknowledged before the page was asked. And at the end
it must say what the log says."""

from bisect import bisect_left


def acknowledged(writes):
    """(t0, t1) of every write with an effect that was told."""
    return [(op["t0"], op["t1"]) for op in writes.values() if op["status"] is not None and op["status"] < 300]


def check_samples(evidence, writes):
    spans = acknowledged(writes)
    for fault in evidence["faults"]:
        for instance in fault.get("dead", []):
            yield from check_death(evidence["samples"], spans, instance, fault)
    yield from check_last(evidence)


def check_death(samples, spans, instance, fault):
    """From its death to the moment it was started again."""
    down, up = fault["down"], fault["up"]
    ends = sorted(t1 for t0, t1 in spans if t0 > down)
    for sample in samples:
        if sample["t0"] < down or sample["t1"] > up or sample["pending"] is None:
            continue
        lacks = bisect_left(ends, sample["t0"])
        said = min(sample["pending"], sample["instances"][instance]["pending"])
        if said < lacks:
            when = f"at {sample['t0']:.2f} s"
            yield f"{when} {said} writes pending, but {instance}, dead since {down:.2f} s, lacks {lacks}"


def check_last(evidence):
    last = evidence["samples"][-1] if evidence["samples"] else None
    owed = evidence["log"]["owed"]
    if last is None or last["pending"] is None:
        yield "no figures at the end"
        return
    for name, count in owed.items():
        if last["instances"][name]["pending"] != count:
            yield f"at the end {last['instances'][name]} for {name}, but the log says {count}"
