"""What each client decides to do: a pure function of the seed, the client and the number.

    for op in operations(seed=7, client=3): ...

Decisions never look at answers, so the same seed gives the same decisions; only the real time
at which they meet the servers cannot be repeated. An operation is a small dictionary:

    {"op": "upsert", "name": "shared-1", "ids": ["k4"], "g": 3, "tag": "3-17"}

Its tag is unique. It is the first member of the body of every write, which is how a record in
the log is recognised, and it is in the metadata and the document of every item, which is how
a read is.

    shared-*   collections that live as long as the run: registers k*, and ids of one client each
    churn-*    names that everybody creates, deletes, renames and writes to
    db-*       databases, each of one client
"""

import hashlib
import random

DEFAULT = "default_database"
DIMENSION = 8
SHARED = [f"shared-{i}" for i in range(4)]
CHURN = [f"churn-{i}" for i in range(6)]
KEYS = [f"k{i}" for i in range(8)]
GROUPS = 30

WEIGHTS = {
    # reads
    "get": 230,
    "get_own": 70,
    "get_all": 15,
    "get_ids": 20,
    "count": 40,
    "query": 25,
    "list": 20,
    "named": 25,
    # items of shared collections
    "upsert": 120,
    "add": 120,
    "add_key": 20,
    "update": 80,
    "delete": 60,
    "delete_where": 30,
    "add_batch": 12,
    "add_big": 1,
    "bad": 20,
    # collections
    "metadata": 15,
    "create": 15,
    "get_or_create": 20,
    "delete_collection": 25,
    "rename": 10,
    "churn_write": 60,
    "churn_read": 40,
    "database": 12,
}
DATABASE_STEPS = ["create_database", "create", "add", "get_all", "delete_database", "list"]
BAD = [
    "short_embedding",
    "no_embeddings",
    "wrong_count",
    "empty_id",
    "no_ids",
    "broken",
    "nested_metadata",
    "unknown_collection",
    "killer",
    "bad_name",
]


def embedding(tag, id):
    """Numbers that a 32-bit float holds exactly: they come back as they were sent."""
    digest = hashlib.sha256(f"{tag} {id}".encode()).digest()
    return [byte / 128 - 1 for byte in digest[:DIMENSION]]


class Planner:
    def __init__(self, seed, client):
        self.random = random.Random(f"{seed}/client/{client}")
        self.client = client
        self.number = 0
        self.added = 0  # ids of our own so far
        self.database_step = 0

    def next(self):
        self.number += 1
        kind = self.random.choices(list(WEIGHTS), WEIGHTS.values())[0]
        op = getattr(self, "plan_" + kind)()
        return {"db": DEFAULT, **op, "tag": f"{self.client}-{self.number}"}

    # parts

    def shared(self, op, **more):
        return {"op": op, "name": self.random.choice(SHARED), **more}

    def keys(self, most=2):
        return self.random.sample(KEYS, self.random.randint(1, most))

    def group(self):
        return self.random.randrange(GROUPS)

    def fresh(self, count):
        first = self.added
        self.added += count
        return [f"{self.client}.{n}" for n in range(first, first + count)]

    def own(self):
        """An id we may have added, to whichever collection it was."""
        return f"{self.client}.{self.random.randrange(max(self.added, 1))}"

    # reads

    def plan_get(self):
        return self.shared("get", ids=self.keys(4))

    def plan_get_own(self):
        return self.shared("get", ids=sorted({self.own() for _ in range(3)}))

    def plan_get_all(self):
        return self.shared("get_all")

    def plan_get_ids(self):
        return self.shared("get_ids")

    def plan_count(self):
        return self.shared("count")

    def plan_query(self):
        return self.shared("query", like=self.own())

    def plan_list(self):
        return {"op": "list"}

    def plan_named(self):
        return {"op": "named", "name": self.random.choice(SHARED[:1] + CHURN)}

    # items

    def plan_upsert(self):
        return self.shared("upsert", ids=self.keys(), g=self.group(), docs=True, emb=True)

    def plan_add(self):
        return self.shared("add", ids=self.fresh(1), g=self.group(), docs=True, emb=True)

    def plan_add_key(self):
        return self.shared("add", ids=self.keys(), g=self.group(), docs=True, emb=True)

    def plan_update(self):
        ids = self.keys() if self.random.random() < 0.6 else [self.own()]
        group = self.group() if self.random.random() < 0.5 else None
        docs, emb = self.random.random() < 0.5, self.random.random() < 0.5
        return self.shared("update", ids=ids, g=group, docs=docs, emb=emb)

    def plan_delete(self):
        ids = self.keys() if self.random.random() < 0.3 else sorted({self.own(), self.own()})
        return self.shared("delete", ids=ids)

    def plan_delete_where(self):
        return self.shared("delete_where", g=self.group())

    def plan_add_batch(self):
        ids = self.fresh(self.random.randint(20, 100))
        return self.shared("add", ids=ids, g=self.group(), docs=True, emb=True)

    def plan_add_big(self):
        """2 to 5 MB in one body."""
        ids = self.fresh(self.random.randint(20, 50))
        pad = self.random.randint(2_000_000, 5_000_000) // len(ids)
        return self.shared("add", ids=ids, g=self.group(), docs=True, emb=True, pad=pad)

    def plan_bad(self):
        return self.shared("bad", bad=self.random.choice(BAD), ids=self.keys(1))

    # collections

    def plan_metadata(self):
        return {"op": "metadata", "name": self.random.choice(SHARED + CHURN)}

    def plan_create(self):
        return {"op": "create", "name": self.random.choice(CHURN)}

    def plan_get_or_create(self):
        return {"op": "create", "name": self.random.choice(CHURN), "existing": True}

    def plan_delete_collection(self):
        return {"op": "delete_collection", "name": self.random.choice(CHURN)}

    def plan_rename(self):
        name, to = self.random.sample(CHURN, 2)
        return {"op": "rename", "name": name, "to": to}

    def plan_churn_write(self):
        kind = self.random.choice(["add", "upsert", "upsert", "update", "delete", "delete_where"])
        op = {"op": kind, "name": self.random.choice(CHURN), "g": self.group()}
        if kind != "delete_where":
            op["ids"] = self.keys()
        if kind in ("add", "upsert", "update"):
            op.update(docs=True, emb=True)
        return op

    def plan_churn_read(self):
        kind = self.random.choice(["get", "get_all", "get_ids", "count"])
        op = {"op": kind, "name": self.random.choice(CHURN)}
        return {**op, "ids": self.keys(4)} if kind == "get" else op

    # databases: one step of a life each time

    def plan_database(self):
        life, step = divmod(self.database_step, len(DATABASE_STEPS))
        self.database_step += 1
        op = {"op": DATABASE_STEPS[step], "db": f"db-{self.client}-{life}"}
        if op["op"] in ("create", "add", "get_all"):
            op["name"] = "inner"
        if op["op"] == "add":
            op.update(ids=self.fresh(1), g=self.group(), docs=True, emb=True)
        return op


def operations(seed, client):
    planner = Planner(seed, client)
    while True:
        yield planner.next()
