"""watched: how soon /status answers under full load, and what a line in the log for each request costs.

The load leaves no core free; so what is measured of /status holds the time for which whoever asks waits for
a core itself.
"""

import socket
import threading
import time
from contextlib import ExitStack
from statistics import quantiles

import wrk
from measure import Row, alternate
from pass_through import StubbedChromatid, StubWorld

CLIENTS = 64
EVERY = 0.02  # seconds


class Watcher(threading.Thread):
    """Asks for /status on one connection, until it is to stop."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.over = threading.Event()
        self.took = []  # seconds

    def run(self):
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            answers = s.makefile("rb")
            while not self.over.wait(EVERY):
                began = time.perf_counter()
                s.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
                read_answer(answers)
                self.took.append(time.perf_counter() - began)


def read_answer(answers):
    status, length = answers.readline(), None
    assert b" 200 " in status, status
    while (line := answers.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    answers.read(length)


def watch(bench, chromatid, what, clients, plan):
    watcher = Watcher(chromatid.port)
    watcher.start()
    if plan:
        wrk.run(chromatid.port, plan, clients, bench.seconds * bench.rounds, bench.directory)
    else:
        time.sleep(bench.seconds * bench.rounds)
    watcher.over.set()
    watcher.join()
    hundredths = quantiles(watcher.took, n=100)
    bench.add(
        Row(
            scenario="watched", what=f"/status, {what}", clients=clients, who=chromatid.name,
            rate=len(watcher.took) / (bench.seconds * bench.rounds),
            p50=hundredths[49] * 1000, p99=hundredths[98] * 1000,
        )
    )  # fmt: skip


def run(bench):
    clients = max(bench.clients_up_to(CLIENTS))
    with bench.world() as world, StubbedChromatid(world) as chromatid:
        path = chromatid.create("bench", 1)[0]
        watch(bench, chromatid, "idle", None, None)
        watch(bench, chromatid, "reads", clients, wrk.fixed(f"{path}/count"))
        watch(bench, chromatid, "writes", clients, wrk.writes([path]))
    with ExitStack() as stack:
        contestants = []
        for switch in ("off", "on"):
            settings = {**bench.settings, "ACCESS_LOG": switch}
            world = stack.enter_context(StubWorld(bench.postgres, bench.new_directory(), **settings))
            contestants.append(stack.enter_context(StubbedChromatid(world, f"ACCESS_LOG={switch}")))
        for c in contestants:
            c.create("bench", 1)
        alternate(
            bench, contestants, lambda _: wrk.fixed("/api/v2/version"), scenario="watched", what="version", clients=clients
        )
