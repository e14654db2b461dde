"""Writes merged into one call have the effect, and get the answers, that they have one by one.

Many clients write at random, also while a server hangs, so that much waits and is merged. Then
the log is read, and each of its writes is sent, alone and in its order, to a third Chroma that
never saw the proxy: all three must hold the same, and every client must have been told what that
third one says.
"""

import base64
import json
import random
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from compare import converged, differences, snapshot, without_ids
from world import COLLECTIONS, Chroma

CLIENTS = 20
WRITES = 24  # by each
PHASE = 8  # so many of them are of one kind and shape, for all clients
VERBS = {1: "add", 2: "upsert", 3: "update", 4: "delete", 5: "delete"}
TEXTS = ["plain", 'quo"te', "back\\slash", "\u00e9\u4e2d", "a\u2028b", "", "x" * 3000]


def vector(r, dimension=8):
    return [r.choice([0, 1, -2.5, 1e-3, r.random()]) for _ in range(dimension)]


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def some_ids(r, most=5):
    return r.sample([f"i{n}" for n in range(200)] + ["\u00e9", 'q"', "\\", "a b"], r.randint(1, most))


class Phase:
    def __init__(self, seed):
        r = random.Random(seed)
        self.kind = r.choice(["add", "add", "upsert", "upsert", "update", "delete"])
        self.embeddings = self.kind != "update" or r.random() < 0.5
        self.packed = r.random() < 0.3
        self.documents, self.metadatas, self.uris = (r.random() < p for p in (0.7, 0.7, 0.2))


def lists(r, phase, ids):
    body = {"ids": ids}
    if phase.embeddings:
        body["embeddings"] = [vector(r) for _ in ids]
        if phase.packed:
            body["embeddings"] = [packed(v) for v in body["embeddings"]]
        elif phase.kind == "update" and r.random() < 0.2:
            body["embeddings"][0] = None
    if phase.documents:
        body["documents"] = [r.choice([*TEXTS, None]) for _ in ids]
    if phase.metadatas:
        body["metadatas"] = [r.choice([{"g": r.randrange(4)}, {"t": r.choice(TEXTS)}, None]) for _ in ids]
    if phase.uris:
        body["uris"] = [f"file:{n}" for n in range(len(ids))]
    return body


def spoiled(r, body):
    """What a Chroma refuses, or takes in its own way."""
    how = r.randrange(7)
    if how == 0:
        body["ids"] = [*body["ids"][:-1], ""]
    elif how == 1:
        body["embeddings"] = [vector(r, 3) for _ in body["ids"]]
    elif how == 2:
        body["documents"] = ["one too many"] * (len(body["ids"]) + 1)
    elif how == 3:
        body["ids"] = body["ids"] * 2
    elif how == 4:
        body["metadatas"] = [{"nested": {"a": 1}} for _ in body["ids"]]
    elif how == 5:
        body["ids"], body["embeddings"] = [], []
    else:
        body["unknown"] = True
    return body


def some_write(r, phase):
    if r.random() < 0.02:
        return "delete", {"where": {"g": r.randrange(4)}}
    if phase.kind == "delete":
        return "delete", {"ids": some_ids(r), "where": None}
    body = lists(r, phase, some_ids(r))
    return phase.kind, spoiled(r, body) if r.random() < 0.03 else body


def write_all(http, paths, seed, client, dumps):
    """{seq: (status, answer)}"""
    r = random.Random(f"{seed} {client}")
    told = {}
    for n in range(WRITES):
        kind, body = some_write(r, Phase(f"{seed} {n // PHASE}"))
        answer = http.post(
            f"{r.choice(paths)}/{kind}", content=dumps(body), headers={"content-type": "application/json"}
        )
        if "x-chromatid-seq" in answer.headers:
            told[int(answer.headers["x-chromatid-seq"])] = answer.status_code, answer.json()
        else:  # refused before it was logged
            assert 400 <= answer.status_code < 500, answer.text
    return told


def make(chroma_or_proxy, names):
    made = [chroma_or_proxy.http.post(COLLECTIONS, json={"name": name}) for name in names]
    ids = [answer.raise_for_status().json()["id"] for answer in made]
    for id in ids:
        first = {"ids": ["first"], "embeddings": [[0.5] * 8]}
        assert chroma_or_proxy.http.post(f"{COLLECTIONS}/{id}/add", json=first).status_code == 201
    return ids


def one_by_one(alone, local, log, told):
    """What it says, against what the clients were told; a line for each difference."""
    wrong = []
    for row in log:
        path = f"{COLLECTIONS}/{local[row['collection']]}/{VERBS[row['kind']]}"
        answer = alone.http.post(
            path, content=bytes.fromhex(row["body"]), headers={"content-type": "application/json"}
        )
        status, body = told[row["seq"]]
        if status != answer.status_code or (status < 300 and body != answer.json()):
            wrong.append(f"{row['seq']}: told {status} {body}, alone {answer.status_code} {answer.text}")
    return wrong


@pytest.mark.parametrize("seed", [1, 2])
def test_merged_and_one_by_one_are_the_same(world, tmp_path, seed):
    names = ["merge-one", "merge-two"]
    paths = [f"{COLLECTIONS}/{id}" for id in make(world.proxy, names)]
    begun = world.sql("SELECT max(seq) AS seq FROM chromatid.log")[0]["seq"]
    world.replica.pause()
    with ThreadPoolExecutor(CLIENTS) as pool:
        dumps = [json.dumps, lambda body: json.dumps(body, ensure_ascii=False).encode()]
        work = [
            pool.submit(write_all, world.http, paths, seed, n, dumps[n % 2]) for n in range(CLIENTS)
        ]
        told = {seq: answer for done in work for seq, answer in done.result().items()}
    world.replica.resume()
    converged(world, timeout=60)
    log = world.sql(
        "SELECT seq, kind, c.name AS collection, encode(body, 'hex') AS body FROM chromatid.log l"
        f" JOIN chromatid.collection c ON c.id = l.collection WHERE seq > {begun} ORDER BY seq"
    )
    assert len(log) == len(told) > CLIENTS * WRITES / 2
    alone = Chroma(tmp_path, "alone")
    try:
        alone.start()
        wrong = one_by_one(alone, dict(zip(names, make(alone, names))), log, told)
        assert not wrong, "\n".join(wrong[:20])
        held = [without_ids(snapshot(chroma)) for chroma in (world.primary, alone)]
        assert not differences(*held)
    finally:
        alone.kill()
        alone.http.close()
    merged = world.metric("chromatid_wal_merged_entries_total")
    assert merged > len(log) / 2, f"only {merged} of {len(log)} writes were merged"
