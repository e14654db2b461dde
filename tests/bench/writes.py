"""writes: adds against a bare Chroma, each round into collections of its own."""

import itertools

import wrk
from contestants import Bare, Chromatid
from measure import alternate, written

# dimension, how embeddings are written, records a request, collections, most clients
VARIANTS = (
    (384, "JSON", 1, 1, 256),
    (384, "JSON", 1, 16, 256),
    (384, "base64", 1, 1, 64),
    (1536, "JSON", 1, 1, 64),
    (1536, "base64", 1, 1, 64),
    (384, "JSON", 100, 1, 16),
)
names = itertools.count(1)


def describe(dimension, form, batch, collections):
    parts = [f"{dimension} {form}"]
    if batch > 1:
        parts.append(f"batches of {batch}")
    if collections > 1:
        parts.append(f"{collections} collections")
    return ", ".join(parts)


def compare(bench, contestants, dimension, form, batch, collections, clients):
    def plan_for(contestant):
        paths = contestant.create(f"writes-{next(names)}", collections)
        return wrk.writes(paths, dimension, form, batch)

    what = describe(dimension, form, batch, collections)
    where = {"scenario": "writes", "what": what, "clients": clients}
    alternate(bench, contestants, plan_for, written, **where)


def run(bench):
    with bench.world() as world, Bare(bench.new_directory()) as bare, Chromatid(world) as chromatid:
        for *variant, most in VARIANTS[: bench.variants]:
            for clients in bench.clients_up_to(most):
                compare(bench, [bare, chromatid], *variant, clients)
