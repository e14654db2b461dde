"""An earlier version of the proxy beside this one, on the same database: ./test.sh upgrade.

CHROMATID_OLD_BINARY is that of a version that knows of no followers: it waits while another leads, and executes
nothing that another has appended. Whoever leads, nothing that was acknowledged is lost, and nobody who waits
answers for what he does not know.
"""

import os
import signal

import httpx
import pytest

from beside import Beside
from compare import converged
from world import COLLECTIONS, Proxy, wait_until

OLD = os.environ.get("CHROMATID_OLD_BINARY")
pytestmark = pytest.mark.skipif(not OLD, reason="./test.sh upgrade")


class Steady(Beside):
    """Writes items, and reads each one back, at any of the proxies in turn; what has no effect is tried again."""

    def __init__(self, proxies, id, clients=8):
        super().__init__(clients)
        self.urls = [proxy.url for proxy in proxies]
        self.path = f"{COLLECTIONS}/{id}"
        self.written, self.unsure = {}, set()

    def work(self, number):
        clients = [httpx.Client(base_url=url, timeout=3) for url in self.urls]
        k = 0
        while not self.over.is_set():
            id = f"{number}.{k}"
            body = {"ids": [id], "embeddings": [[float(k % 7), 1.0]], "documents": [id]}
            if seq := self.write(clients, k, id, body):
                self.written[id] = seq
                self.read(clients, k + number, id)
            k += 1
        for client in clients:
            client.close()

    def write(self, clients, k, id, body):
        """Its place in the log; None: nobody knows."""
        while not self.over.is_set():
            client = clients[k % len(clients)]
            k += 1
            try:
                answer = client.post(f"{self.path}/upsert", json=body)
            except httpx.ConnectError:
                continue
            except httpx.HTTPError:
                self.unsure.add(id)
                return None
            if answer.status_code == 200:
                return int(answer.headers["x-chromatid-seq"])
            assert answer.status_code in (503, 504), f"{answer.status_code} {answer.text}"
            if answer.headers["x-chromatid-outcome"] != "none":
                self.unsure.add(id)
                return None

    def read(self, clients, k, id):
        """At whoever answers: one that waits must not answer without it."""
        while not self.over.is_set():
            k += 1
            try:
                answer = clients[k % len(clients)].post(f"{self.path}/get", json={"ids": [id], "include": []})
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                assert answer.json()["ids"] == [id], f"{id} was written, and is not there"
                return
            assert answer.status_code == 503, f"{answer.status_code} {answer.text}"


@pytest.fixture
def world(make_world):
    return make_world(start=False, WRITE_WAIT="100ms")


@pytest.fixture
def old(world, tmp_path):
    proxy = beside(world, tmp_path, "old", OLD)
    yield proxy
    proxy.kill()


def beside(world, directory, name, binary):
    proxy = Proxy(directory, dict(world.proxy.settings), name, binary)
    proxy.settings["PORT"] = str(proxy.port)
    return proxy


def goes_on(work, writes=20):
    before = len(work.written)
    wait_until(lambda: len(work.written) > before + writes or work.failures, 60, "writes go on")
    assert not work.failures, work.failures


def waits(proxy, work):
    """Alive, while clients write by another; and not of use."""
    wait_until(lambda: proxy.http.get("/health").status_code == 200, 30, f"{proxy.name} is alive")
    for _ in range(3):
        goes_on(work)
        said = proxy.http.get("/ready")
        assert said.status_code == 503 and said.json()["reason"] == "another proxy leads", said.text


def leads(proxy, work):
    wait_until(lambda: proxy.ready() == 200 and proxy.status()["leader"], 30, f"{proxy.name} leads")
    goes_on(work)


def begin(world, first):
    for chroma in world.instances:
        chroma.start()
    first.start()
    wait_until(lambda: all(i["healthy"] for i in first.status()["instances"]), 30, "all are healthy")
    return first.http.post(COLLECTIONS, json={"name": "docs"}).raise_for_status().json()["id"]


def all_there(world, work):
    converged(world)
    for chroma in world.instances:
        held = set(chroma.client().get_collection("docs", embedding_function=None).get(include=[])["ids"])
        assert work.written.keys() <= held <= work.written.keys() | work.unsure, chroma.name
    assert len(set(work.written.values())) == len(work.written), "two writes at one place of the log"


def test_there_and_back(world, old):
    new = world.proxy
    id = begin(world, old)
    with Steady([old, new], id) as work:
        goes_on(work)
        new.start(wait="listening")
        waits(new, work)
        old.terminate()
        leads(new, work)
        old.start(wait="listening")
        waits(old, work)
        new.terminate()
        leads(old, work)
        new.start(wait="listening")
        waits(new, work)
        old.kill()
        leads(new, work)
        old.start(wait="listening")
        waits(old, work)
        new.kill()
        leads(old, work)
        new.start(wait="listening")
        waits(new, work)
        old.terminate()
        leads(new, work)
    all_there(world, work)


def test_one_that_follows_stops_when_an_older_one_leads(world, old, tmp_path):
    new, follower = world.proxy, beside(world, tmp_path, "follower", world.proxy.binary)
    id = begin(world, new)
    follower.start(wait="ready")
    with Steady([new, follower, old], id) as work:
        assert follower.status()["leader"] is False
        old.start(wait="listening")
        waits(old, work)
        follower.signal(signal.SIGSTOP)
        new.kill()
        leads(old, work)
        follower.signal(signal.SIGCONT)
        wait_until(lambda: follower.ready() == 503, 30, "it has noticed")
        waits(follower, work)
        old.terminate()
        leads(follower, work)
        new.start(wait="ready")
        goes_on(work)
    follower.terminate()
    wait_until(lambda: new.status()["leader"], 30, "the last one leads")
    all_there(world, work)


def test_an_older_leader_is_passed_no_request_of_an_operator(world, old):
    """It takes no errands, or this one does not even follow it: in both cases nothing is done."""
    new = world.proxy
    begin(world, old)
    new.start(wait="listening")
    wait_until(lambda: new.log_contains("leads; waiting"), 30, "it has seen who leads")
    if world.sql("SELECT 1 FROM chromatid.lease WHERE tails = epoch"):
        wait_until(lambda: new.ready() == 200, 30, "it follows")
    answer = new.http.post("/admin/complete_mappings", json={})
    assert answer.status_code == 503 and answer.headers["x-chromatid-outcome"] == "none", answer.text
    assert world.sql("SELECT * FROM chromatid.errand") == []
    old.terminate()
    wait_until(lambda: new.ready() == 200 and new.status()["leader"], 30, "this one leads")
    assert new.http.post("/admin/complete_mappings", json={}).status_code == 202
    assert new.log().count("completion of") == 1
