"""The tools of these tests find what they are there to find."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from compare import DEFAULT_DATABASE, compare_instances, read_collections
from load import Load
from relay import Relay, all_writes, not_probes, reads, writes
from world import COLLECTIONS, DEFAULT, Chroma, wait_until


class Pair:
    """Two servers and no proxy between them."""

    def __init__(self, directory):
        self.primary = Chroma(directory, "primary")
        self.replica = Chroma(directory, "replica")
        self.instances = [self.primary, self.replica]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    for chroma in pair.instances:
        chroma.start()
    yield pair
    for chroma in pair.instances:
        chroma.kill()


def fill(chroma, name, **changed):
    collection = chroma.client().create_collection(name, embedding_function=None, metadata={"of": "us"})
    record = {"ids": ["1"], "documents": ["x"], "metadatas": [{"a": 1}], "embeddings": [[1, 2]]}
    collection.add(**record)
    collection.add(**{**record, "ids": ["2"], **changed})


def test_equal_servers_are_equal_though_their_uuids_differ(pair):
    for chroma in pair.instances:
        fill(chroma, "same")
    content = compare_instances(pair)
    assert content[DEFAULT_DATABASE]["same"]["order"] == ["1", "2"]


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": ["3"]},
        {"documents": ["y"]},
        {"metadatas": [{"a": 2}]},
        {"embeddings": [[1, 2.0000002]]},
    ],
    ids=str,
)
def test_a_difference_in_one_field_is_found(pair, changed):
    fill(pair.primary, "other")
    fill(pair.replica, "other", **changed)
    with pytest.raises(AssertionError, match="the instances differ"):
        compare_instances(pair)
    for chroma in pair.instances:
        chroma.client().delete_collection("other")


def test_an_extra_tenant_database_or_collection_is_found(pair):
    http = pair.primary.http
    http.post(COLLECTIONS, json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError, match="extra: only on the first"):
        compare_instances(pair)
    http.delete(COLLECTIONS + "/extra").raise_for_status()
    http.post("/api/v2/tenants/default_tenant/databases", json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError, match="extra.*only on the first"):
        compare_instances(pair)
    http.delete("/api/v2/tenants/default_tenant/databases/extra").raise_for_status()
    compare_instances(pair)
    http.post("/api/v2/tenants", json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError):
        compare_instances(pair)
    pair.replica.http.post("/api/v2/tenants", json={"name": "extra"}).raise_for_status()


def test_the_load_is_content_with_one_server_and_finds_what_was_lost(pair):
    with Load(pair.primary.url, threads=4) as load:
        load.wait_steps(300)
    assert load.failures == [] and load.stale == []
    there = {DEFAULT_DATABASE: read(pair.primary, load)}
    load.check(there)
    records = next(c["records"] for c in there[DEFAULT_DATABASE].values() if c["records"])
    records.popitem()
    with pytest.raises(AssertionError, match="None there"):
        load.check(there)


def test_the_load_sees_stale_reads(pair):
    """Its two collections are swapped under it: what it wrote is not there any more."""
    with Load(pair.primary.url, threads=1, catalogue=False) as load:
        load.wait_steps(50)
        first, second = load.ids
        load.ids[first], load.ids[second] = load.ids[second], load.ids[first]
        load.wait_steps(50)
    assert load.stale


def read(chroma, load):
    return {n: c for n, c in read_collections(chroma, *DEFAULT_DATABASE).items() if n in load.ids}


class Stub(BaseHTTPRequestHandler):
    """Answers everything, and notes what it was asked."""

    protocol_version = "HTTP/1.1"
    answer = b"0123456789" * 50

    def read(self):
        if "transfer-encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        self.server.asked.append((self.path, len(self.read())))
        self.send_response(200)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    do_GET = do_DELETE = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def relay():
    stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    stub.asked = []
    threading.Thread(target=stub.serve_forever, args=(0.02,), daemon=True).start()
    relay = Relay(stub.server_port)
    relay.stub = stub
    relay.start()
    yield relay
    relay.stop()
    stub.shutdown()
    stub.server_close()


def post(relay, body=b"x", **options):
    with httpx.Client(**{"timeout": 0.3, **options}) as client:
        return client.post(relay.url + "/c/add", content=body)


def test_a_clean_relay_passes_everything_on(relay):
    big = b"y" * 40_000_000
    with httpx.Client(timeout=20) as client:
        for body in (b"", b"x", big, iter([b"in", b"chunks"])):
            answer = client.post(relay.url + "/a?b=c", content=body)
            assert (answer.status_code, answer.content) == (200, Stub.answer)
        assert client.get(relay.url + "/d").content == Stub.answer
    lengths = [length for _, length in relay.stub.asked]
    assert lengths == [0, 1, len(big), len("inchunks"), 0]
    assert relay.requests == 5 and not relay.counts and len(relay.connections) <= 1


@pytest.mark.parametrize(
    "kind, error, executed",
    [
        ("silence", httpx.ReadTimeout, False),
        ("hang_after", httpx.ReadTimeout, True),
        ("half_open", httpx.ReadTimeout, True),
        ("reset", (httpx.ReadError, httpx.RemoteProtocolError), False),
        ("reset_after", httpx.ReadError, True),
        ("lose", httpx.RemoteProtocolError, True),
        ("cut", httpx.RemoteProtocolError, True),
        ("wrong_length", httpx.RemoteProtocolError, True),
        ("garbage", httpx.RemoteProtocolError, False),
    ],
)
def test_a_relay_does_the_harm_it_is_asked_for(relay, kind, error, executed):
    relay.fault(kind, times=2)
    for _ in range(2):
        with pytest.raises(error):
            post(relay)
    assert len(relay.stub.asked) == 2 * executed
    assert post(relay).content == Stub.answer, "twice and no more"
    assert relay.counts == {kind: 2}
    assert [k for _, _, k in relay.seen] == [kind, kind, None]
    relay.fault(kind)
    relay.clear()
    assert post(relay).content == Stub.answer, "cleared"
    wait_until(lambda: not relay.connections, 5, "no connection is left")


def bytes_until_close(relay):
    with socket.create_connection(("127.0.0.1", relay.port)) as s:
        s.sendall(b"POST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        return b"".join(iter(lambda: s.recv(10_000), b""))


def test_a_relay_cuts_where_it_is_told(relay):
    for where, least, most in (("head", 1, 60), ("body", 250, 450)):
        relay.fault("cut", where=where, times=1)
        got = bytes_until_close(relay)
        assert got.startswith(b"HTTP/1.1 200") and least < len(got) < most


def test_a_relay_closes_or_resets(relay):
    for kind in ("reset", "reset_after"):
        relay.fault(kind, times=1)
        with pytest.raises(ConnectionResetError):
            bytes_until_close(relay)
    relay.fault("lose")
    assert bytes_until_close(relay) == b""


def test_a_relay_refuses(relay):
    with httpx.Client() as kept:
        kept.get(relay.url)
        relay.fault("refuse")
        with pytest.raises(httpx.ConnectError):
            post(relay)
        with pytest.raises(httpx.HTTPError):
            kept.get(relay.url)
    relay.clear()
    assert post(relay).status_code == 200


def test_a_relay_answers_errors(relay):
    for kind, status, executed in (("error", 429, 0), ("error_after", 500, 1)):
        relay.fault(kind, status=status, times=1)
        assert post(relay).status_code == status
        assert len(relay.stub.asked) == executed


@pytest.mark.parametrize(
    "kind, options",
    [
        ("delay", {"seconds": 0.5}),
        ("delay", {"seconds": 0.5, "after": True}),
        ("slow", {"rate": 1000}),
    ],
)
def test_a_relay_is_slow(relay, kind, options):
    relay.fault(kind, **options)
    started = time.monotonic()
    assert post(relay, timeout=5).content == Stub.answer
    assert 0.4 < time.monotonic() - started < 3


def test_a_late_request_is_executed_when_nobody_waits(relay):
    relay.fault("late", seconds=0.2, times=1)
    with pytest.raises(httpx.ReadTimeout):
        post(relay)
    assert relay.stub.asked == [] and relay.counts["late"] == 1
    post(relay, b"behind")
    wait_until(lambda: len(relay.stub.asked) == 2, 5, "it is executed")
    assert relay.stub.asked == [("/c/add", 6), ("/c/add", 1)]
    wait_until(lambda: relay.late == 0, 5, "it owes nothing")


def test_what_is_held_ends_with_clear(relay):
    """... and a late request whose client is still there is not executed."""
    for kind, options in (("silence", {}), ("late", {"seconds": 0})):
        relay.fault(kind, **options)
        threading.Timer(0.2, relay.clear).start()
        with pytest.raises(httpx.ReadError):
            post(relay, timeout=10)
    assert post(relay, b"two").status_code == 200
    assert relay.stub.asked == [("/c/add", 3)]


def test_a_relay_of_a_dead_server_resets(relay):
    with httpx.Client() as kept:
        kept.get(relay.url)
        relay.stub.shutdown()
        relay.stub.server_close()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):  # reset, or closed
            post(relay)


def test_a_relay_hits_whom_it_should(relay):
    relay.fault("error", match=writes, share=0.5)
    relay.random.seed(1)
    with httpx.Client() as client:
        answers = [client.post(relay.url + "/c/add").status_code for _ in range(100)]
    assert 20 < answers.count(500) < 80
    assert httpx.get(relay.url + "/c/get").status_code == 200
    one = COLLECTIONS + "/1234"
    changing = [("POST", COLLECTIONS), ("DELETE", one), ("PUT", one), ("POST", one + "/upsert")]
    looking = [("GET", COLLECTIONS), ("POST", one + "/get"), ("POST", one + "/query"), ("GET", DEFAULT)]
    own = [
        ("GET", "/api/v2/tenants/default_tenant"),
        ("POST", "/api/v2/tenants/ctd-1/databases/d/collections"),
    ]
    for requests, right in ((changing, writes), (looking, reads)):
        for request in requests:
            assert not_probes(*request) and [m for m in (writes, reads) if m(*request)] == [right]
    assert not any(match(*request) for request in own for match in (writes, reads, not_probes))
    assert [all_writes(*request) for request in own] == [False, True]
