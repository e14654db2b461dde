"""Holds a history to the guarantees. The log is the witness of the order; everything a client
was told, and everything the servers hold at the end, must follow from it.

    report = check(history.read(directory))
    report.violations     [(kind, text)]
    report.table()        the figures

    lost          acknowledged, or promised, and not in the log, or not on the servers
    resurrected   shown, or held, after its delete was answered
    diverged      the servers differ from each other or from the log, or something is left over
    stale         a read older than what was acknowledged or shown before it began
    wrong         a read of what never was
    order         the log contradicts real time, or itself
    effect        what was refused has an effect, or something has it twice
    dishonest     the status page says less is owed than is
    failed        a request failed although it had to work
"""

import json
from collections import Counter

from availability import Availability
from honesty import check_samples
from model import ACCEPTED, DROP, DROP_DATABASE, Model
from plan import embedding
from reads import Ceiling, Reads
from wire import WRITES

KINDS = ["lost", "resurrected", "diverged", "stale", "wrong", "order", "effect", "dishonest", "failed"]
SHOWN_MOST = 40


def who(op):
    where = op.get("name", op["db"])
    said = f"{op['status']} seq {op.get('seq')} {op.get('outcome', '')} {op.get('instance', '')}"
    when = f"{op['t0']:.3f}-{op['t1']:.3f} s"
    return f"{when} client {op['c']} #{op['n']} {op['op']} {where} {op['tag']} -> {said}"


class Report:
    def __init__(self):
        self.violations = []
        self.older_vectors = 0
        self.figures = {}

    def add(self, kind, text):
        self.violations.append((kind, text))

    def blame(self, kind, op, text):
        self.add(kind, f"{who(op)}: {text}")

    def table(self):
        counts = Counter(kind for kind, _ in self.violations)
        rows = {**self.figures, **{kind: counts[kind] for kind in KINDS}}
        rows["failed without reason"] = rows.pop("failed")
        width = max(len(name) for name in rows)
        return "\n".join(f"  {name:{width}}  {value}" for name, value in rows.items())

    def told(self):
        lines = [f"{kind.upper()}: {text}" for kind, text in self.violations[:SHOWN_MOST]]
        if len(self.violations) > SHOWN_MOST:
            lines.append(f"... and {len(self.violations) - SHOWN_MOST} more")
        return "\n".join(lines)


class Log:
    """Which request each record came from."""

    def __init__(self, evidence, report):
        self.rows = evidence["log"]["rows"]
        self.by_seq = {row["seq"]: row for row in self.rows}
        self.requests = [op for op in evidence["history"] if op["op"] in WRITES]
        self.by_tag = {}
        self.writes = {}  # seq -> request
        self.report = report
        self.match()

    def match(self):
        sent = {op["tag"]: op for op in self.requests}
        for row in self.rows:
            if row["tag"] in self.by_tag:
                self.report.add("effect", f"{row['tag']} is twice in the log: seq {row['seq']}")
            elif row["tag"] is not None:
                self.by_tag[row["tag"]] = row
                if row["tag"] in sent:
                    self.writes[row["seq"]] = sent[row["tag"]]
                else:
                    self.report.add("effect", f"seq {row['seq']}: nobody has sent {row['tag']}")
        for op in self.requests:
            row = self.by_seq.get(op.get("seq"))
            if row is not None and row["tag"] is None:
                self.writes[row["seq"]] = op
        self.match_deletes()

    def match_deletes(self):
        """A delete of a collection or database has no body. What was not answered is one of
        those that were sent and not answered."""
        open_ones = [op for op in self.requests if op["op"].startswith("delete_") and unclear(op)]
        names = {row["id"]: row["name"] for row in self.rows_of_names()}
        for row in self.rows:
            if row["kind"] in (DROP, DROP_DATABASE) and row["seq"] not in self.writes:
                name = names.get(row["collection"] if row["kind"] == DROP else row["database"])
                kind = "delete_collection" if row["kind"] == DROP else "delete_database"
                mine = [op for op in open_ones if op["op"] == kind and delete_name(op) == name]
                if mine:
                    open_ones.remove(mine[0])
                    self.writes[row["seq"]] = mine[0]
                else:
                    self.report.add("effect", f"seq {row['seq']}: a delete of {name} that nobody sent")

    def rows_of_names(self):
        """The last name of each collection and database."""
        names = {}
        for row in self.rows:
            if row["kind"] == 10 and row["decision"] == ACCEPTED:
                names[row["collection"]] = row["name"]
            elif row["kind"] == 11 and row["name"] and row["decision"] == ACCEPTED:
                names[row["collection"]] = row["name"]
            elif row["kind"] == 20:
                names[row["database"]] = row["name"]
        return [{"id": id, "name": name} for id, name in names.items()]

    def row_of(self, op):
        row = self.by_tag.get(op["tag"])
        if row is None and "seq" in op:
            row = self.by_seq.get(op["seq"])
            if row is not None and row["tag"] not in (None, op["tag"]):
                return None
        return row


def delete_name(op):
    return op["name"] if op["op"] == "delete_collection" else op["db"]


def unclear(op):
    """It may have its effect or not; or it will have it."""
    if op["status"] is None or op["status"] == 504:
        return True
    return op["status"] >= 500 and op.get("outcome") in ("unknown", "pending")


# --- what the clients were told about their writes --------------------------------------


def check_answers(log, report):
    for op in log.requests:
        row = log.row_of(op)
        status = op["status"]
        accepted = row is not None and row["decision"] == ACCEPTED
        if "seq" in op and (row is None or row["seq"] != op["seq"]):
            report.blame("lost", op, "the log does not have it at its seq")
        elif unclear(op):
            if op.get("outcome") == "pending" and row is None:
                report.blame("lost", op, "promised, and not in the log")
        elif status < 300:
            if op["op"] == "bad":
                report.blame("wrong", op, f"accepted, though {op['bad']}")
            elif op["op"] == "create" and op.get("existing") and row is None:
                pass  # it was there
            elif not accepted:
                report.blame("lost", op, "acknowledged, and not accepted in the log")
        elif accepted:
            report.blame("effect", op, f"refused, and accepted in the log at {row['seq']}")
        if row is not None and row["decision"] is None:
            report.blame("diverged", op, f"seq {row['seq']} was never decided")


def check_real_time(log, report):
    """Answered before another was sent: before it in the log."""
    answered = sorted((op["t1"], seq, op) for seq, op in log.writes.items() if not unclear(op))
    sent = sorted((op["t0"], seq, op) for seq, op in log.writes.items())
    at, highest, before = 0, 0, None
    for t0, seq, op in sent:
        while at < len(answered) and answered[at][0] < t0:
            if answered[at][1] > highest:
                _, highest, before = answered[at]
            at += 1
        if highest > seq:
            report.blame("order", op, f"is seq {seq}, but {who(before)} was answered before")


def check_deletes(log, model, report):
    """How many a delete has named, or its filter found, and which ids the log says."""
    for row in log.rows:
        ids, op = model.found.get(row["seq"]), log.writes.get(row["seq"])
        if row["kind"] == 4 and op and op["status"] == 200 and op["answer"] != 1 + len(op["ids"]):
            report.blame("wrong", op, f"says {op['answer']} deleted, with its tag it is {1 + len(op['ids'])}")
        if row["kind"] != 5 or op is None or ids is None:
            continue
        resolved = ids_of(row["resolved"])
        if resolved is not None and resolved != ids:
            report.blame("wrong", op, f"resolved to {resolved[:9]}, but it is {ids[:9]}")
        if op["status"] == 200 and op["answer"] != len(ids):
            report.blame("wrong", op, f"says {op['answer']} deleted, but it is {len(ids)}")


def ids_of(resolved):
    return sorted(json.loads(resolved)["ids"]) if resolved else None


# --- the end ----------------------------------------------------------------------------


def check_end(evidence, model, report):
    for line in evidence["content"]["differences"]:
        if "/embeddings: " not in line:  # each server's are held against the log, below
            report.add("diverged", f"the servers differ: {line}")
    for name, owed in evidence["log"]["owed"].items():
        if owed:
            report.add("diverged", f"{name} is owed {owed} records at the end, says the log")
    for row in evidence["log"]["quarantine"]:
        report.add("diverged", f"in quarantine at the end: {row}")
    if evidence["run"]["unsettled"]:
        report.add("diverged", f"it never became quiet: {evidence['run']['unsettled']}")
    for instance, databases in evidence["content"]["instances"].items():
        check_instance(instance, databases, model, evidence["faults"], report)


def check_instance(instance, databases, model, faults, report):
    killed = any(instance in fault.get("dead", ()) for fault in faults)
    live = {name for name, register in model.databases.items() if register.values[-1]}
    for name in live ^ set(databases):
        kind = "lost" if name in live else "resurrected"
        report.add(kind, f"{instance}: the database {name}")
    wanted = {(c.database, c.name): c for c in model.live()}
    held = {(d, name): found for d, all in databases.items() for name, found in all.items()}
    for key in {*wanted, *held}:
        if key not in held:
            report.add("lost", f"{instance}: the collection {key}")
        elif key not in wanted:
            kind = "diverged" if key[1].startswith("ctd-") else "resurrected"
            report.add(kind, f"{instance}: the collection {key} should not be there")
        else:
            check_collection(f"{instance} {key[1]}", wanted[key], held[key], killed, report)


def check_collection(where, wanted, held, killed, report):
    if held["tag"] != wanted.tag.values[-1]:
        report.add("diverged", f"{where}: metadata of {held['tag']}, not {wanted.tag.values[-1]}")
    here = {id: (state, numbers) for id, state, numbers in held["items"]}
    for item in wanted.content():
        if item.id not in here:
            report.add("lost", f"{where}: {item.id} ({item.state()})")
            continue
        state, numbers = here.pop(item.id)
        if state != item.state():
            report.add("lost", f"{where}: {item.id} is {state}, not {item.state()}")
        elif numbers != embedding(item.embedding, item.id):
            if killed and is_older(numbers, wanted, item.id):
                report.older_vectors += 1
            else:
                report.add("lost", f"{where}: {item.id} has not the embedding of {item.embedding}")
    for id, (state, _) in here.items():
        kind = "resurrected" if id in wanted.history else "diverged"
        report.add(kind, f"{where}: {id} ({state}) should not be there")
    order = [id for id, *_ in held["items"]]
    if order != [item.id for item in wanted.content()] and sorted(order) == sorted(wanted.items):
        report.add("diverged", f"{where}: the order of the items is not the order of the log")


def is_older(numbers, collection, id):
    """A Chroma that is killed while it saves its index reads its queue from the beginning when
    it comes back, over the saved index: an item can have the vector of an older write."""
    return any(numbers == embedding(tag, id) for tag in collection.vectors[id])


# --- all of it --------------------------------------------------------------------------


def check(evidence):
    report = Report()
    history = evidence["history"]
    log = Log(evidence, report)
    model = Model(log.rows, log.writes)
    for row in evidence["log"]["collections"]:
        if row["id"] in model.collections:
            model.collections[row["id"]].uuid = row["public_id"]
    check_answers(log, report)
    check_real_time(log, report)
    for seq, text in model.wrong:
        report.add("order", f"seq {seq}: {text}")
    check_deletes(log, model, report)
    for kind, op, text in Reads(model, history).check(Ceiling(log.writes), log.writes):
        report.blame(kind, op, text)
    check_end(evidence, model, report)
    for text in check_samples(evidence, log.writes):
        report.add("dishonest", text)
    several = evidence["run"].get("proxies", 1) > 1
    available = Availability(evidence["faults"], evidence["samples"], several)
    for op, text in available.check(history):
        report.blame("failed", op, text)
    report.figures = {
        "operations": len(history),
        "faults": len(evidence["faults"]),
        "unknown": sum(unclear(op) for op in log.requests),
        "vectors set back by a kill": report.older_vectors,
        "stale and said so": sum(op.get("stale") is not None for op in history),
        **available.figures(history),
    }
    return report
