"""Does every read show a state that was true while it was under way?

Each thing that can be read (the items of a collection, whether a collection is there, what a
name means, a database, the metadata of a collection) has places: 0, and one after each of its
records. A read must fit one of them, between

    low     the highest that was acknowledged, or shown to anybody, before the read began
    high    the highest that can have been in the log when it was answered

Reads are taken in the order they began and each is given the lowest place it fits, which
leaves the most room to the later ones; so one pass is enough. A read that says itself that it
is stale (X-Chromatid-Stale) may fit any earlier place, and shows nothing to the others.

A read that fits nowhere is "resurrected" if it shows something deleted, "stale" if it fits an
earlier place, and "wrong" if it never was like that.
"""

import heapq
from bisect import bisect_left
from collections import defaultdict

from model import Register, first_at_or_after
from wire import BARE, BY_ID, ITEM_READS


def anything(value):
    return value is not None


def nothing(value):
    return value is None


def exactly(wanted):
    return lambda value: value == wanted


class Ceiling:
    """The highest seq that can have been in the log at a moment."""

    def __init__(self, writes):
        pairs = sorted((op["t0"], seq) for seq, op in writes.items())
        self.times = [t0 for t0, _ in pairs]
        self.lowest = [seq for _, seq in pairs] + [float("inf")]
        for k in range(len(pairs) - 1, -1, -1):
            self.lowest[k] = min(self.lowest[k], self.lowest[k + 1])

    def at(self, time):
        return self.lowest[bisect_left(self.times, time)] - 1


class Read:
    """Of one thing: subclasses say which places it fits."""

    def __init__(self, op, text):
        self.op = op
        self.text = text
        self.stale = op.get("stale") is not None

    def lowest(self, thing, low, high):
        raise NotImplementedError

    def blame(self, thing, low):
        """What it is if it fits nowhere between low and high."""
        return "stale" if self.lowest(thing, 0, low - 1) is not None else "wrong"


class RegisterRead(Read):
    def __init__(self, op, fits, text):
        super().__init__(op, text)
        self.fits = fits

    def lowest(self, register, low, high):
        return next((p for p in range(low, high + 1) if self.fits(register.values[p])), None)

    def blame(self, register, low):
        kind = super().blame(register, low)
        if kind == "stale" and not self.fits(None) and register.values[low] is None:
            return "resurrected"
        return kind


class ItemsRead(Read):
    """get with ids: only these."""

    def __init__(self, op):
        super().__init__(op, f"{op['answer']}"[:600])
        self.seen = dict(op["answer"])

    def candidates(self, items, low, high):
        return items.changes(self.op["ids"], low, high)

    def fits(self, items, place):
        ranks = []
        for id in self.op["ids"]:
            there = items.state_of(id, place)
            if (there[0] if there else None) != self.seen.get(id):
                return False
        for id in self.seen:
            there = items.state_of(id, place)
            if there is None:
                return False
            ranks.append(there[1])
        return ranks == sorted(ranks)

    def lowest(self, items, low, high):
        if high < low:
            return None
        fitting = (p for p in self.candidates(items, low, high) if self.fits(items, p))
        return next(fitting, None)

    def blame(self, items, low):
        kind = super().blame(items, low)
        shows_deleted = any(items.state_of(id, low) is None for id in self.seen)
        return "resurrected" if kind == "stale" and shows_deleted else kind


class AllRead(ItemsRead):
    """get without ids: all of it, in order."""

    def __init__(self, op):
        Read.__init__(self, op, f"{len(op['answer'])} items")
        self.with_state = op["op"] == "get_all"
        self.ids = [entry[0] for entry in op["answer"]] if self.with_state else op["answer"]
        self.seen = dict(op["answer"]) if self.with_state else dict.fromkeys(self.ids)
        values = self.seen.items() if self.with_state else self.ids
        self.sum = sum(hash(value if not self.with_state else tuple(value)) for value in values)

    def candidates(self, items, low, high):
        places = items.by_sum[0 if self.with_state else 1].get(self.sum, [])
        first = first_at_or_after(places, low, high)
        return [] if first is None else [p for p in places if low <= p <= high]

    def fits(self, items, place):
        there = [items.state_of(id, place) for id in self.ids]
        if None in there:
            return False
        ranks = [rank for _, rank in there]
        return ranks == sorted(ranks) and len(ranks) == items.counts[place]

    def explain(self, items, place):
        """How it differs from that place, for the report."""
        now = {id: items.state_of(id, place) for id in {*items.history, *self.seen}}
        there = {id for id, state in now.items() if state}
        lines = [f"missing {sorted(there - set(self.ids))[:5]}", f"extra {sorted(set(self.ids) - there)[:5]}"]
        if self.with_state:
            other = [(i, s, now[i][0]) for i, s in self.seen.items() if now[i] and now[i][0] != s]
            lines.append(f"other {other[:3]}")
        return ", ".join(lines)


class CountRead(Read):
    def __init__(self, op):
        super().__init__(op, f"count {op['answer']}")

    def lowest(self, items, low, high):
        return next((p for p in range(low, high + 1) if items.counts[p] == self.op["answer"]), None)


class QueryRead(ItemsRead):
    """Which are near is approximate; but each must have been there, like that.

    A Chroma asks its index first and its tables then: beside a delete, its answer has the ids
    of items of which nothing is left (242 of 250,000 in a loop of deletes on a server alone)."""

    def candidates(self, items, low, high):
        return [low]

    def lowest(self, items, low, high):
        def was_there(id, state):
            held = [items.state_of(id, p) for p in items.changes([id], low, high)]
            goes = any(before and not after for before, after in zip(held, held[1:]))
            return (goes and state == BARE) or any(there and there[0] == state for there in held)

        if high < low or not all(was_there(id, state) for id, state in self.seen.items()):
            return None
        return low


READS = {"get": ItemsRead, "get_all": AllRead, "get_ids": AllRead, "count": CountRead, "query": QueryRead}


class Reads:
    """All reads of a history, by the thing they read."""

    def __init__(self, model, history):
        self.model = model
        self.writes = model.writes
        self.of = defaultdict(list)  # id of a thing -> reads
        self.things = {}
        self.wrong = []  # (kind, op, text)
        self.alive = {c.id: self.existence(c) for c in model.collections.values()}
        self.by_uuid = {c.uuid: c for c in model.collections.values() if c.uuid}
        self.names_in = defaultdict(list)
        for database, name in list(model.names):
            self.names_in[database].append(name)
        for op in history:
            self.take(op)

    def existence(self, collection):
        register = Register()
        register.set(collection.created, True)
        if collection.deleted is not None:
            register.set(collection.deleted, None)
        return register

    def add(self, thing, read):
        self.things[id(thing)] = thing
        self.of[id(thing)].append(read)

    def take(self, op):
        status, kind = op["status"], op["op"]
        if status is None or op.get("bad"):
            return
        if kind in BY_ID and (status == 404 or (kind in ITEM_READS and status == 200)):
            self.take_by_id(op)
        elif kind in ("named", "create", "delete_collection") and "seq" not in op:
            self.take_name(op)
        elif kind == "list" and status == 200:
            self.take_list(op)
        elif kind in ("create_database", "delete_database") and status in (404, 409):
            fits = nothing if status == 404 else anything
            self.add(self.model.databases[op["db"]], RegisterRead(op, fits, f"{status}"))

    def take_by_id(self, op):
        collection = self.by_uuid.get(op["uuid"])
        if collection is None:
            self.wrong.append(("wrong", op, "a UUID that the log does not know"))
            return
        there = op["status"] == 200
        text = f"the collection answers {op['status']}"
        self.add(self.alive[collection.id], RegisterRead(op, anything if there else nothing, text))
        if there and not self.may_be_going(op, collection):
            self.add(collection, READS[op["op"]](op))

    def may_be_going(self, op, collection):
        """A read beside the delete of its collection may find it there, and empty: so on a server
        alone, too."""
        delete = self.writes.get(collection.deleted)
        return not op["answer"] and delete is not None and delete["t0"] < op["t1"]

    def take_name(self, op):
        register = self.model.names[op["db"], op["name"]]
        if op["status"] == 200:
            self.take_named(op, op["name"], op["answer"])
        elif op["status"] == 409:
            self.add(register, RegisterRead(op, anything, "taken"))
        elif op["status"] == 404:
            self.add(register, RegisterRead(op, nothing, "not there"))

    def take_named(self, op, name, answer):
        uuid, tag = answer
        collection = self.by_uuid.get(uuid)
        if collection is None:
            self.wrong.append(("wrong", op, f"{name} is {uuid}, which the log does not know"))
            return
        register = self.model.names[op["db"], name]
        self.add(register, RegisterRead(op, exactly(collection.id), f"{name} is {uuid}"))
        self.add(collection.tag, RegisterRead(op, exactly(tag), f"{name} has the metadata of {tag}"))

    def take_list(self, op):
        for name in {*self.names_in[op["db"]], *op["answer"]}:
            if name in op["answer"]:
                self.take_named(op, name, op["answer"][name])
            else:
                text = f"{name} is not in the list"
                self.add(self.model.names[op["db"], name], RegisterRead(op, nothing, text))

    # the pass

    def check(self, ceiling, writes):
        found = list(self.wrong)
        for key, reads in self.of.items():
            found += check_thing(self.things[key], reads, ceiling, writes)
        return found


def acknowledged(thing, writes):
    """(when, place), as a heap"""
    heap = []
    for place, seq in enumerate(thing.seqs, 1):
        op = writes.get(seq)
        if op and op["status"] is not None and op["status"] < 300:
            heap.append((op["t1"], place))
    heapq.heapify(heap)
    return heap


def check_thing(thing, reads, ceiling, writes):
    found = []
    shown = acknowledged(thing, writes)
    floor = 0
    for read in sorted(reads, key=lambda read: read.op["t0"]):
        while shown and shown[0][0] < read.op["t0"]:
            floor = max(floor, heapq.heappop(shown)[1])
        high = max(thing.place(ceiling.at(read.op["t1"])), floor)
        place = read.lowest(thing, 0 if read.stale else floor, high)
        if place is None:
            kind = "wrong" if read.stale else read.blame(thing, floor)
            more = f"; {read.explain(thing, floor)}" if isinstance(read, AllRead) else ""
            seqs = f"seq {seq_at(thing, floor)} to {seq_at(thing, high)}"
            text = f"{read.text}, places {floor} to {high} ({seqs})"
            found.append((kind, read.op, text + more))
        elif not read.stale:
            heapq.heappush(shown, (read.op["t1"], place))
    return found


def seq_at(thing, place):
    return thing.seqs[place - 1] if place else 0
