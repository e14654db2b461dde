"""A Chroma in memory, made from the log: what every name and every collection was after each
record. Reads are held against it (reads.py), and so is what the servers hold at the end.

    model = Model(rows, writes)      # rows of the log by seq; the request each came from
    model.collections[5].at(place)   # places count the records of a collection: 0 is empty

The semantics are Chroma's: add keeps the first of an id, upsert and update merge metadata,
update ignores what is absent, a new id goes to the end of the order. Refused records have no
effect. What is written to a collection after its delete has none either.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict

from plan import DEFAULT
from wire import document_of, metadata_of, short_document, state_text

# as in wal/wal.h
ITEMS = {1: "add", 2: "upsert", 3: "update", 4: "delete", 5: "delete_where"}
CREATE, MODIFY, DROP = 10, 11, 12
CREATE_DATABASE, DROP_DATABASE = 20, 21
DEFAULT_DATABASE_ID = 1
ACCEPTED = 1


class Register:
    """One value that changes: a name, a database, the metadata of a collection."""

    def __init__(self):
        self.seqs = []
        self.values = [None]  # values[place]: after the first `place` changes

    def set(self, seq, value):
        self.seqs.append(seq)
        self.values.append(value)

    def place(self, seq):
        return bisect_right(self.seqs, seq)

    def places(self, value, low, high):
        return [p for p in range(low, high + 1) if self.values[p] == value]


class Item:
    def __init__(self, id, rank):
        self.id = id
        self.rank = rank  # in the order of the collection
        self.metadata = {}
        self.document = None
        self.embedding = None  # the tag it was made from

    def merge(self, op):
        self.metadata = {**self.metadata, **metadata_of(op)}
        if op["docs"]:
            self.document = short_document(document_of(op))
        if op["emb"]:
            self.embedding = op["tag"]

    def state(self):
        return state_text(self.metadata, self.document or "")


class Collection:
    """Its items after each of its records."""

    def __init__(self, id, seq, database, name):
        self.id = id
        self.uuid = None
        self.database = database
        self.name = name
        self.created = seq
        self.deleted = None  # seq
        self.tag = Register()
        self.items = {}
        self.ranks = 0
        self.seqs = []
        self.history = {}  # id -> ([place], [(state, rank) or None])
        self.vectors = defaultdict(set)  # id -> tags of all that were sent for it, in vain too
        self.counts = [0]
        self.sums = [(0, 0)]  # of hashes over (id, state) and over ids
        self.by_sum = ({0: [0]}, {0: [0]})

    def place(self, seq):
        return bisect_right(self.seqs, seq)

    def apply(self, seq, op):
        """Returns how many items a delete has found."""
        self.seqs.append(seq)
        place = len(self.seqs)
        before, after = {}, {}
        found = getattr(self, "do_" + op["op"])(op, before, after)
        whole, ids = self.sums[-1]
        for id, state in before.items():
            if state is not None:
                whole, ids = whole - hash((id, state)), ids - hash(id)
        for id, item in after.items():
            state = item.state() if item else None
            if item:
                whole, ids = whole + hash((id, state)), ids + hash(id)
            places, states = self.history.setdefault(id, ([], []))
            places.append(place)
            states.append((state, item.rank) if item else None)
        self.counts.append(len(self.items))
        self.sums.append((whole, ids))
        for found_at, value in zip(self.by_sum, (whole, ids)):
            found_at.setdefault(value, []).append(place)
        return found

    def touch(self, id, before):
        item = self.items.get(id)
        before.setdefault(id, item.state() if item else None)
        return item

    def put(self, op, before, after, create, change):
        for id in op["ids"]:
            if op["emb"]:
                self.vectors[id].add(op["tag"])
            item = self.touch(id, before)
            if item is None and create:
                self.ranks += 1
                item = self.items[id] = Item(id, self.ranks)
            elif item is None or not change:
                del before[id]
                continue
            item.merge(op)
            after[id] = item

    def do_add(self, op, before, after):
        self.put(op, before, after, create=True, change=False)

    def do_upsert(self, op, before, after):
        self.put(op, before, after, create=True, change=True)

    def do_update(self, op, before, after):
        self.put(op, before, after, create=False, change=True)

    def do_delete(self, op, before, after):
        for id in op["ids"]:
            if self.touch(id, before):
                del self.items[id]
                after[id] = None
        return len(op["ids"])

    def do_delete_where(self, op, before, after):
        ids = [id for id, item in self.items.items() if item.metadata.get("g") == op["g"]]
        self.do_delete({"ids": ids}, before, after)
        return sorted(ids)

    # at a place

    def state_of(self, id, place):
        """(state, rank), or None while it is not there."""
        places, states = self.history.get(id, ([], []))
        at = bisect_right(places, place)
        return states[at - 1] if at else None

    def changes(self, ids, low, high):
        """The places, from low on, where one of these ids has become another."""
        found = {low}
        for id in ids:
            places, _ = self.history.get(id, ([], []))
            found.update(places[bisect_right(places, low) : bisect_right(places, high)])
        return sorted(found)

    def content(self):
        return sorted(self.items.values(), key=lambda item: item.rank)


class Model:
    def __init__(self, rows, writes):
        """rows: accepted or not, by seq; writes: seq -> the request it came from."""
        self.writes = writes
        self.names = defaultdict(Register)  # (database, name) -> collection id
        self.databases = defaultdict(Register)  # name -> True
        self.database_names = {DEFAULT_DATABASE_ID: DEFAULT}
        self.collections = {}
        self.found = {}  # seq -> what a delete has found
        self.wrong = []  # (seq, text): the log itself makes no sense
        self.databases[DEFAULT].set(0, True)
        for row in rows:
            if row["kind"] == CREATE_DATABASE:
                self.database_names[row["database"] or row["seq"]] = row["name"]
            if row["decision"] == ACCEPTED:
                self.take(row)

    def take(self, row):
        kind, seq = row["kind"], row["seq"]
        if kind in ITEMS:
            self.take_items(row)
        elif kind == CREATE:
            self.take_create(row)
        elif kind == MODIFY:
            self.take_modify(row)
        elif kind == DROP:
            self.drop(seq, self.collections[row["collection"]])
        elif kind == CREATE_DATABASE:
            self.databases[row["name"]].set(seq, True)
        elif kind == DROP_DATABASE:
            self.take_drop_database(row)

    def take_items(self, row):
        collection = self.collections.get(row["collection"])
        op = self.writes.get(row["seq"])
        if op is None:
            self.wrong.append((row["seq"], "a record that no client has sent"))
        elif op["op"] != ITEMS[row["kind"]]:
            self.wrong.append((row["seq"], f"{op['op']} became a record of kind {row['kind']}"))
        elif collection is None or collection.deleted is not None:
            self.wrong.append((row["seq"], "accepted for a collection that was not there"))
        else:
            self.found[row["seq"]] = collection.apply(row["seq"], op)

    def take_create(self, row):
        seq, database = row["seq"], self.database_names[row["database"]]
        collection = Collection(row["collection"], seq, database, row["name"])
        op = self.writes.get(seq)
        collection.tag.set(seq, op["tag"] if op else None)
        self.collections[collection.id] = collection
        self.names[database, row["name"]].set(seq, collection.id)

    def take_modify(self, row):
        collection = self.collections[row["collection"]]
        op = self.writes.get(row["seq"])
        if row["name"] is not None and row["name"] != collection.name:
            self.names[collection.database, collection.name].set(row["seq"], None)
            self.names[collection.database, row["name"]].set(row["seq"], collection.id)
            collection.name = row["name"]
        if op and op["op"] == "metadata":
            collection.tag.set(row["seq"], op["tag"])

    def drop(self, seq, collection):
        if collection.deleted is None:
            collection.deleted = seq
            self.names[collection.database, collection.name].set(seq, None)

    def take_drop_database(self, row):
        name = self.database_names[row["database"]]
        self.databases[name].set(row["seq"], None)
        for collection in self.collections.values():
            if collection.database == name:
                self.drop(row["seq"], collection)

    def live(self):
        return [c for c in self.collections.values() if c.deleted is None]


def first_at_or_after(places, low, high):
    """Of a sorted list of places."""
    at = bisect_left(places, low)
    return places[at] if at < len(places) and places[at] <= high else None
