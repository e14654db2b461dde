"""Much at a time: the proxy stays within MAX_MEMORY_MB, and nobody's write is lost."""

import concurrent.futures
import json
import os
import re
import threading

import httpx
import pytest

from compare import converged
from world import COLLECTIONS

RELEASE = os.environ.get("CHROMATID_RELEASE")
LIMIT_MB = 256
CLIENTS = 10


@pytest.fixture
def limited(monkeypatch, make_world):
    """Memory is measured on a build without sanitizers, if there is one."""
    if RELEASE:
        monkeypatch.setattr("world.BINARY", RELEASE)
    return make_world(MAX_MEMORY_MB=str(LIMIT_MB))


def peak(process):
    with open(f"/proc/{process.process.pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) * 1024


def body_of(n):
    size = (20 + n % 11) * 1_000_000
    item = {"ids": [f"item-{n}"], "embeddings": [[1, 2, 3]], "metadatas": [{"z": "x" * size}]}
    return json.dumps(item).encode()


def in_pieces(body):
    for at in range(0, len(body), 65536):
        yield body[at : at + 65536]


def upload(world, id, n):
    body = body_of(n)
    content = in_pieces(body) if n % 3 == 2 else body  # chunked
    headers = {"content-type": "application/json"}
    url = f"{world.proxy.url}{COLLECTIONS}/{id}/add"
    answer = httpx.post(url, content=content, headers=headers, timeout=120)
    # it waited in vain, but is in the log, and has its effect in its own time
    return 201 if answer.headers.get("x-chromatid-outcome") == "pending" else answer.status_code


def test_large_uploads_at_once_stay_within_the_memory_and_lose_nothing(limited):
    world = limited
    id = world.http.post(COLLECTIONS, json={"name": "large"}).raise_for_status().json()["id"]
    over = threading.Event()
    small = set()

    def look():
        while not over.wait(0.05):
            for path in ("/health", "/status", f"{COLLECTIONS}/large"):
                small.add((path, world.http.get(path).status_code))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            statuses = list(pool.map(lambda n: upload(world, id, n), range(CLIENTS)))
    finally:
        over.set()
        looking.join()
    assert set(statuses) <= {201, 429, 503}, statuses
    assert statuses.count(201) >= CLIENTS / 2, statuses
    assert {status for _, status in small} == {200}, small
    assert len(small) == 3
    assert world.proxy.status()["performance_stats"]["memory_pressure_events"] > 0
    converged(world)
    there = world.http.post(f"{COLLECTIONS}/{id}/get", json={"include": []}).json()["ids"]
    assert sorted(there) == sorted(f"item-{n}" for n, s in enumerate(statuses) if s == 201)
    print(f"at most {peak(world.proxy) / 1e6:.0f} MB, {statuses.count(201)} of {CLIENTS} at once")
    if RELEASE:
        assert peak(world.proxy) < LIMIT_MB * 1024 * 1024


def test_a_body_larger_than_an_eighth_of_the_memory_is_too_large(make_world):
    world = make_world(MAX_MEMORY_MB="64")
    id = world.http.post(COLLECTIONS, json={"name": "small"}).raise_for_status().json()["id"]
    answer = world.http.post(f"{COLLECTIONS}/{id}/add", content=b" " * 9_000_000)
    assert answer.status_code == 413
    fits = {"ids": ["a"], "embeddings": [[1, 2, 3]], "metadatas": [{"z": "x" * 7_000_000}]}
    assert world.http.post(f"{COLLECTIONS}/{id}/add", json=fits).status_code == 201
    converged(world)
