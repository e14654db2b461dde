"""What the proxy adds to a request: the same one to a bare Chroma and through the proxy, in turn.

    .venv/bin/python tests/bench/latency.py [--rounds 20] [--requests 200]

Both are asked over one keep-alive connection each, alternately in small batches, so that
other work on the machine meets both alike. Printed are medians in microseconds: of each
side, and of what the proxy added within a round; and its memory. The binary is CHROMATID_BINARY, by default the release
build.
"""

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
os.environ.setdefault("CHROMATID_BINARY", str(ROOT / "build/release/chromatid"))

from world import COLLECTIONS, Postgres, World  # noqa: E402


class Asker:
    """One connection, one request at a time, nothing else."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request):
        start = time.perf_counter()
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        while len(body) < length:
            body += self.socket.recv(65536)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        return (time.perf_counter() - start) * 1e6


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def compare(name, direct, proxied, rounds, requests):
    """`direct` and `proxied` are (asker, request). Each round compares its own two medians."""
    bare, through, added = [], [], []
    for _ in range(rounds):
        medians = [
            statistics.median(asker.ask(request) for _ in range(requests))
            for asker, request in (direct, proxied)
        ]
        bare.append(medians[0])
        through.append(medians[1])
        added.append(medians[1] - medians[0])
    figures = (statistics.median(column) for column in (bare, through, added))
    print(f"{name:<24}" + "".join(f"{figure:>12.0f}" for figure in figures))


def rss_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def run(world, rounds, requests):
    collection = world.client().create_collection("bench", embedding_function=None)
    collection.add(ids=[str(n) for n in range(100)], embeddings=[[n, 1, 2] for n in range(100)])
    local = world.primary.client().get_collection("bench", embedding_function=None).id
    direct, proxied = Asker(world.primary.port), Asker(world.proxy.port)
    print(f"{'request':<24}{'bare, us':>12}{'proxied, us':>12}{'added, us':>12}")
    for name, path, other in (
        ("version", "/api/v2/version", "/api/v2/version"),
        ("get collection", f"{COLLECTIONS}/bench", f"{COLLECTIONS}/bench"),
        ("count", f"{COLLECTIONS}/{local}/count", f"{COLLECTIONS}/{collection.id}/count"),
    ):
        compare(name, (direct, get(path)), (proxied, get(other)), rounds, requests)
    print(f"memory of the proxy: {rss_mb(world.proxy.process.pid):.1f} MB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as directory:
        postgres = Postgres(data)
        postgres.start()
        try:
            settings = {"ACCESS_LOG": "off", "READ_REPLICA_RATIO": "0"}
            with World(postgres, directory, **settings) as world:
                run(world, options.rounds, options.requests)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
