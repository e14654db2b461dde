"""reads: of one collection with 2000 records, through everybody; nginx and HAProxy before the bare
Chroma, Chromatid with both instances and with one."""

import base64
import random
import struct
from contextlib import ExitStack

import wrk
from contestants import Bare, Chromatid, Proxied
from measure import alternate

RECORDS, DIMENSION, BATCH = 2000, 384, 500
MOST_CLIENTS = 64
KINDS = ("query", "get", "count")


def fill(contestant):
    """The same records for everybody."""
    numbers = random.Random(1)
    with contestant.awake():
        paths = contestant.create("reads", 1)
        for first in range(0, RECORDS, BATCH):
            vectors = [[numbers.uniform(-1, 1) for _ in range(DIMENSION)] for _ in range(BATCH)]
            packed = [base64.b64encode(struct.pack(f"<{DIMENSION}f", *v)).decode() for v in vectors]
            ids = range(first, first + BATCH)
            body = {
                "ids": [f"item-{n}" for n in ids],
                "embeddings": packed,
                "documents": [wrk.DOCUMENT] * BATCH,
                "metadatas": [{"n": n} for n in ids],
            }
            contestant.post(paths[0] + "/add", body)
        assert contestant.count(paths) == RECORDS
    return paths


def run(bench):
    with ExitStack() as stack:
        enter = stack.enter_context
        bare = enter(Bare(bench.new_directory()))
        both = enter(Chromatid(enter(bench.world())))
        one_world = enter(bench.world(LOAD_BALANCE_STRATEGY="primary_only"))
        one = enter(Chromatid(one_world, "Chromatid, one instance"))
        paths = {c.name: fill(c) for c in (bare, both, one)}
        proxies = [enter(Proxied(n, bare, bench.new_directory())) for n in ("nginx", "haproxy")]
        paths |= {c.name: paths[bare.name] for c in proxies}
        for kind in KINDS:

            def plan_for(contestant, kind=kind):
                return wrk.reads(kind, paths[contestant.name], "item", RECORDS, DIMENSION)

            for clients in bench.clients_up_to(MOST_CLIENTS):
                where = {"scenario": "reads", "what": kind, "clients": clients}
                alternate(bench, [bare, *proxies, both, one], plan_for, **where)
