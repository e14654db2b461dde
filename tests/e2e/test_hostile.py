"""Clients that are malicious, broken, slow or gone: raw sockets against the real stack.

Between the proxy and each Chroma stands a recorder, which passes bytes on and remembers
those of the requests. Every hostile request carries a mark of its own: what was refused
must have left no mark in what the instances were sent, and no record in the log.
"""

import concurrent.futures
import gzip
import json
import os
import re
import socket
import struct
import threading
import time
import uuid
import zlib
from urllib.parse import quote

import httpx
import pytest

from compare import converged
from world import COLLECTIONS, Chroma, World, free_port, wait_until

RELEASE = os.environ.get("CHROMATID_RELEASE")
JSON = "Content-Type: application/json\r\n"
HOST = "Host: h\r\n"


class Recorder:
    """A TCP relay in one thread that keeps what clients send."""

    def __init__(self, target):
        self.target = target
        self.sent = bytearray()
        self.listener = socket.create_server(("127.0.0.1", free_port()), backlog=256)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.over = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.over.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, record):
        try:
            while data := source.recv(65536):
                if record:
                    self.sent += data
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.over.set()
        self.listener.close()


def recorded_world(postgres, directory, **settings):
    world = World(postgres, directory, start=False, **settings)
    world.recorders = [Recorder(chroma.port) for chroma in world.instances]
    for name, recorder in zip(("PRIMARY_URL", "REPLICA_URL"), world.recorders):
        world.proxy.settings[name] = recorder.url
    world.__enter__()
    world.start()
    return world


@pytest.fixture(scope="module")
def hostile(postgres, tmp_path_factory):
    world = recorded_world(postgres, tmp_path_factory.mktemp("hostile"))
    yield world
    # whatever was done to it: both are alive, take writes, and are equal
    assert world.all_healthy()
    for chroma in world.instances:
        assert chroma.running()
        assert chroma.http.get("/api/v2/heartbeat").status_code == 200
    create(world, "after-everything")
    converged(world)
    world.__exit__(None, None, None)
    for recorder in world.recorders:
        recorder.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Chroma of its own, to be asked what a Chroma says."""
    chroma = Chroma(tmp_path_factory.mktemp("bare"), "bare")
    chroma.start()
    yield chroma
    chroma.kill()


# --- raw sockets ---------------------------------------------------------------------


def connect(world, timeout=20, receive=None):
    s = socket.socket()
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    s.settimeout(timeout)
    s.connect(("127.0.0.1", world.proxy.port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def read_all(s):
    """Until the other side closes; what came, however it ended."""
    got = b""
    try:
        while data := s.recv(65536):
            got += data
    except ConnectionError:
        pass
    return got


def send_all(s, data):
    try:
        s.sendall(data)
    except ConnectionError:
        pass  # refused before all of it was there


def answers_of(data):
    """The answers in a stream, as (status, headers, body)."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        found.append((int(first.split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def exchange(world, data):
    """Sends bytes, reads until the server closes."""
    with connect(world) as s:
        send_all(s, data)
        return answers_of(read_all(s))


def new_mark():
    return "mark-" + uuid.uuid4().hex


def body_of(mark):
    return json.dumps({"name": mark})


def creation(mark, head=HOST, body=None, target=COLLECTIONS, version="HTTP/1.1", method="POST"):
    """A request that would create a collection named like the mark."""
    body = body_of(mark) if body is None else body
    length = f"Content-Length: {len(body)}\r\n"
    return f"{method} {target} {version}\r\n{head}{JSON}{length}Connection: close\r\n\r\n{body}".encode()


def log_count(world):
    return world.sql("SELECT count(*) AS n FROM chromatid.log")[0]["n"]


def was_sent(world, mark):
    return [mark.encode() in bytes(r.sent) for r in world.recorders]


def left_no_trace(world, mark, logged):
    assert log_count(world) == logged
    assert was_sent(world, mark) == [False, False]
    assert world.http.get(f"{COLLECTIONS}/{mark}").status_code == 404


def is_error(answer, statuses):
    status, headers, body = answer
    assert status in statuses, answer
    assert headers["content-type"] == "application/json"
    assert set(json.loads(body)) == {"error", "message"}


def create(world, name=None):
    name = name or new_mark()
    return world.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()["id"]


def items(mark, n=1, **more):
    return {"ids": [f"{mark}-{i}" for i in range(n)], "embeddings": [[1.0, 2.0]] * n, **more}


# --- what could be read in two ways --------------------------------------------------


def test_the_recorders_see_what_is_let_through(hostile):
    """Without this, no test below could fail."""
    mark = new_mark()
    logged = log_count(hostile)
    assert exchange(hostile, creation(mark))[0][0] == 200
    assert log_count(hostile) == logged + 1
    wait_until(lambda: was_sent(hostile, mark) == [True, True], 10, "both were told")


POST = f"POST {COLLECTIONS} HTTP/1.1\r\n{HOST}{JSON}"
GET = "GET /api/v2/heartbeat HTTP/1.1\r\nHost: h\r\n"


def smuggled(mark):
    return creation(mark).decode()


def framed(lengths):
    """A request whose end is in doubt, and behind it one that must not be understood."""

    def make(mark):
        body = body_of(mark)
        return POST + lengths.replace("{n}", str(len(body))) + "\r\n" + body + smuggled(mark)

    return make


def chunked(bytes_):
    return lambda mark: POST + "Transfer-Encoding: chunked\r\n\r\n" + bytes_.replace(
        "{b}", body_of(mark)
    ).replace("{n}", "%x" % len(body_of(mark))) + smuggled(mark)


def headed(lines, request=None):
    """A head with odd lines, a sound body, and a second request."""
    return lambda mark: (request or f"POST {COLLECTIONS} HTTP/1.1\r\n") + lines + JSON + (
        f"Content-Length: {len(body_of(mark))}\r\n\r\n{body_of(mark)}"
    ) + smuggled(mark)


def started(line):
    return lambda mark: line.replace("{m}", mark) + "\r\n" + HOST + JSON + (
        f"Content-Length: {len(body_of(mark))}\r\n\r\n{body_of(mark)}"
    ) + smuggled(mark)


AMBIGUOUS = {
    # how long is it?
    "length and chunked": framed("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
    "chunked and length": framed("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
    "length zero and chunked": framed("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
    "two equal lengths": framed("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
    "two different lengths": framed("Content-Length: {n}\r\nContent-Length: 0\r\n"),
    "length as a list": framed("Content-Length: {n}, {n}\r\n"),
    "length with plus": framed("Content-Length: +{n}\r\n"),
    "length with minus": framed("Content-Length: -{n}\r\n"),
    "length with a space inside": framed("Content-Length: 1 0\r\n"),
    "length in hex": framed("Content-Length: 0x{n}\r\n"),
    "length with a point": framed("Content-Length: {n}.0\r\n"),
    "length with an exponent": framed("Content-Length: 1e1\r\n"),
    "length empty": framed("Content-Length:\r\n"),
    "length beyond 64 bits": framed("Content-Length: 18446744073709551616\r\n"),
    "length a word": framed("Content-Length: many\r\n"),
    "chunked twice": framed("Transfer-Encoding: chunked, chunked\r\n"),
    "chunked in two lines": framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "chunked and identity": framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    "gzip and chunked": framed("Transfer-Encoding: gzip, chunked\r\n"),
    "chunked and gzip": framed("Transfer-Encoding: chunked, gzip\r\n"),
    "identity": framed("Transfer-Encoding: identity\r\n"),
    "xchunked": framed("Transfer-Encoding: xchunked\r\n"),
    "chunked quoted": framed('Transfer-Encoding: "chunked"\r\n'),
    "chunked with a parameter": framed("Transfer-Encoding: chunked;a=b\r\n"),
    "chunked after a vertical tab": framed("Transfer-Encoding: \x0bchunked\r\n"),
    "empty transfer encoding": framed("Transfer-Encoding:\r\n"),
    "space before the colon": framed("Transfer-Encoding : chunked\r\n"),
    "tab before the colon": framed("Content-Length\t: {n}\r\n"),
    "chunked in http 1.0": lambda mark: smuggled(mark)
    .replace("HTTP/1.1", "HTTP/1.0")
    .replace("Content-Length", "Transfer-Encoding: chunked\r\nX"),
    # where does a chunk end?
    "chunk size negative": chunked("-1\r\n{b}\r\n0\r\n\r\n"),
    "chunk size with plus": chunked("+{n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked("0x{n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size empty": chunked("\r\n{b}\r\n0\r\n\r\n"),
    "chunk size of only an extension": chunked(";a\r\n{b}\r\n0\r\n\r\n"),
    "chunk size with a space before": chunked(" {n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size with a space behind": chunked("{n} \r\n{b}\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": chunked("100000000000000{n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size with many zeros": chunked("0" * 300 + "{n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size of high bytes": chunked("\u00ff{n}\r\n{b}\r\n0\r\n\r\n"),
    "chunk size ends in bare lf": chunked("{n}\n{b}\r\n0\r\n\r\n"),
    "chunk size ends in bare cr": chunked("{n}\r{b}\r\n0\r\n\r\n"),
    "chunk ends in bare lf": chunked("{n}\r\n{b}\n0\r\n\r\n"),
    "chunk longer than it says": chunked("3\r\n{b}\r\n0\r\n\r\n"),
    "chunk extension without end": chunked("{n};" + "a" * 5000 + "\r\n{b}\r\n0\r\n\r\n"),
    "chunk extension with bare lf": chunked("{n};a\nb\r\n{b}\r\n0\r\n\r\n"),
    "trailer that is no field": chunked("{n}\r\n{b}\r\n0\r\nno field\r\n\r\n"),
    "trailer with a folded line": chunked("{n}\r\n{b}\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "trailers without end": chunked("{n}\r\n{b}\r\n0\r\n" + "A: b\r\n" * 5000 + "\r\n"),
    "trailer of bare lf": chunked("{n}\r\n{b}\r\n0\r\nA: b\n\r\n"),
    # where does a line end?
    "folded line": headed(HOST + "X: a\r\n b\r\n"),
    "folded line by tab": headed(HOST + "X: a\r\n\tb\r\n"),
    "folded first line": headed(" X: a\r\n" + HOST),
    "folded length": framed("Content-Length:\r\n {n}\r\n"),
    "bare lf": lambda mark: smuggled(mark).replace("\r\n", "\n"),
    "one bare lf": headed("Host: h\n"),
    "bare lf at the end of the head": lambda mark: smuggled(mark).replace("\r\n\r\n", "\n\n", 1),
    "bare cr": headed(HOST + "X: a\rb\r\n"),
    "bare cr before a field": headed("Host: h\rTransfer-Encoding: chunked\r\n"),
    "two cr": headed("Host: h\r\r\n"),
    "nul in a value": headed(HOST + "X: a\0b\r\n"),
    "nul in a name": headed(HOST + "X\0: a\r\n"),
    "nul behind a length": framed("Content-Length\0: 0\r\nContent-Length: {n}\r\n"),
    "escape in a value": headed(HOST + "X: \x1b[0m\r\n"),
    "delete in a value": headed(HOST + "X: \x7f\r\n"),
    # what is a field?
    "empty name": headed(HOST + ": a\r\n"),
    "no colon": headed(HOST + "X\r\n"),
    "space in a name": headed(HOST + "X Y: a\r\n"),
    "bracket in a name": headed(HOST + "X[1]: a\r\n"),
    "high byte in a name": headed(HOST + "X\u00e9: a\r\n"),
    "no host": headed(""),
    "two hosts": headed("Host: a\r\nHost: b\r\n"),
    "two equal hosts": headed("Host: h\r\nHost: h\r\n"),
    # what is asked for?
    "absolute form": started(f"POST http://elsewhere{COLLECTIONS} HTTP/1.1"),
    "absolute form, our host": started(f"POST http://h{COLLECTIONS} HTTP/1.1"),
    "authority form": started("CONNECT {m}:443 HTTP/1.1"),
    "asterisk form": started("OPTIONS * HTTP/1.1"),
    "no slash": started(f"POST {COLLECTIONS[1:]} HTTP/1.1"),
    "fragment": started(f"POST {COLLECTIONS}#x HTTP/1.1"),
    "dots": started(f"POST /docs/..{COLLECTIONS} HTTP/1.1"),
    "escaped dots": started(f"POST /docs/%2e%2E{COLLECTIONS} HTTP/1.1"),
    "one dot": started(f"POST /.{COLLECTIONS} HTTP/1.1"),
    "dots at the end": started("POST /api/v2/tenants/x/.. HTTP/1.1"),
    "two spaces": started(f"POST  {COLLECTIONS} HTTP/1.1"),
    "a tab": started(f"POST\t{COLLECTIONS} HTTP/1.1"),
    "space in the path": started(f"POST {COLLECTIONS} x HTTP/1.1"),
    "space behind the version": started(f"POST {COLLECTIONS} HTTP/1.1 "),
    "space before the method": started(f" POST {COLLECTIONS} HTTP/1.1"),
    "no target": started("POST HTTP/1.1"),
    "raw utf-8 in the path": started(f"POST {COLLECTIONS}/\u00e9 HTTP/1.1"),
    "nul in the path": started(f"POST {COLLECTIONS}\0x HTTP/1.1"),
    "delete in the path": started(f"POST {COLLECTIONS}\x7f HTTP/1.1"),
    "method that is no token": started(f"PO[ST {COLLECTIONS} HTTP/1.1"),
    "very long method": started(f"{'P' * 40} {COLLECTIONS} HTTP/1.1"),
    # what is spoken?
    "http 0.9": lambda mark: f"GET {COLLECTIONS}/{mark}\r\n\r\n",
    "http 2": started(f"POST {COLLECTIONS} HTTP/2.0"),
    "http 2 preface": lambda mark: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled(mark),
    "http 1.2": started(f"POST {COLLECTIONS} HTTP/1.2"),
    "http 1.10": started(f"POST {COLLECTIONS} HTTP/1.10"),
    "http in small letters": started(f"POST {COLLECTIONS} http/1.1"),
    "tls": lambda mark: "\x16\x03\x01\x02\x00\x01" + smuggled(mark),
    "nothing but lines": lambda mark: "\r\n" * 40000 + smuggled(mark),
    # how much?
    "101 fields": headed(HOST + "X: y\r\n" * 101),
    "9 KB in a field": headed(HOST + f"X: {'y' * 9000}\r\n"),
    "40 KB of fields": headed(HOST + f"X: {'y' * 6000}\r\n" * 7),
    "9 KB of path": started(f"POST {COLLECTIONS}?{'x' * 9000} HTTP/1.1"),
    "a body declared larger than allowed": framed("Content-Length: 41943041\r\n"),
    "a body declared very large": framed("Content-Length: 18446744073709551615\r\n"),
    "a chunk larger than allowed": chunked("FFFFFFFFFFFF\r\n{b}" + "x" * 1000),
}
STATUSES = {
    "9 KB of path": 414,
    "101 fields": 431,
    "9 KB in a field": 431,
    "40 KB of fields": 431,
    "nothing but lines": 431,
    "http 2": 505,
    "http 2 preface": 505,
    "http 1.2": 505,
    "very long method": 501,
    "gzip and chunked": 501,
    "a body declared larger than allowed": 413,
    "a body declared very large": 413,
}
# What goes on for ever as far as it can be told: cut off by us, not answered.
ENDLESS = {"a chunk larger than allowed"}


@pytest.mark.parametrize("name", [n for n in AMBIGUOUS if n not in ENDLESS])
def test_what_is_ambiguous_is_refused_and_goes_nowhere(hostile, name):
    mark = new_mark()
    logged = log_count(hostile)
    got = exchange(hostile, AMBIGUOUS[name](mark).encode("latin-1"))
    assert len(got) == 1, got  # nothing after it was answered
    statuses = [STATUSES[name]] if name in STATUSES else [400, 501]
    is_error(got[0], statuses)
    assert got[0][1]["connection"] == "close"
    left_no_trace(hostile, mark, logged)


def test_a_chunk_without_end_has_no_effect_when_its_client_goes(hostile):
    mark = new_mark()
    logged = log_count(hostile)
    with connect(hostile) as s:
        s.sendall(AMBIGUOUS["a chunk larger than allowed"](mark).encode())
    wait_until(lambda: hostile.proxy.http.get("/ready").status_code == 200, 10, "it is ready")
    left_no_trace(hostile, mark, logged)


@pytest.mark.parametrize("method", ["TRACE", "post", "Post", "PATCH", "BREW", "OPTIONS"])
def test_a_method_that_is_none_of_ours_goes_nowhere(hostile, method):
    mark = new_mark()
    logged = log_count(hostile)
    got = exchange(hostile, creation(mark, method=method))
    assert [a[0] for a in got] == [405]
    assert got[0][2] == b""  # TRACE shows nothing of the request
    left_no_trace(hostile, mark, logged)


@pytest.mark.parametrize(
    "target, statuses",
    [
        ("/" + COLLECTIONS, [404]),
        (COLLECTIONS.replace("/databases", "//databases"), [404]),
        (COLLECTIONS.replace("default_tenant", "default%00tenant"), [400]),
        (COLLECTIONS.replace("default_tenant", "%ff%fe"), [400]),
        (COLLECTIONS.replace("default_tenant", "%c0%ae%c0%ae"), [400]),
        (COLLECTIONS.replace("default_tenant", "%ed%a0%80"), [400]),
        (COLLECTIONS + "/", [404]),
        (COLLECTIONS + "%2F", [404]),
        (COLLECTIONS.replace("/api/", "/%61pi/"), [404]),
        (COLLECTIONS + "/%2e%2e%2f", [405]),
    ],
)
def test_an_odd_path_goes_nowhere(hostile, target, statuses):
    mark = new_mark()
    logged = log_count(hostile)
    got = exchange(hostile, creation(mark, target=target))
    assert len(got) == 1 and got[0][0] in statuses, got
    left_no_trace(hostile, mark, logged)


@pytest.mark.parametrize(
    "head",
    [
        HOST + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        HOST + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        HOST + "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
def test_an_upgrade_is_not_offered(hostile, head):
    mark = new_mark()
    got = exchange(hostile, creation(mark, head=head))
    assert [a[0] for a in got] == [200]
    wait_until(lambda: was_sent(hostile, mark) == [True, True], 10, "both were told")
    for recorder in hostile.recorders:
        assert b"pgrade" not in recorder.sent and b"HTTP2-Settings" not in recorder.sent


def test_nothing_of_a_clients_own_hop_goes_on(hostile):
    mark = new_mark()
    head = HOST + (
        "Authorization: Bearer of-a-client\r\nCookie: of-a-client\r\nX-Chroma-Token: of-a-client\r\n"
        "TE: trailers, of-a-client\r\nKeep-Alive: of-a-client\r\nProxy-Authorization: of-a-client\r\n"
        "X-Forwarded-Host: of-a-client\r\nX-Http-Method-Override: of-a-client\r\n"
    )
    assert exchange(hostile, creation(mark, head=head))[0][0] == 200
    wait_until(lambda: was_sent(hostile, mark) == [True, True], 10, "both were told")
    assert was_sent(hostile, "of-a-client") == [False, False]


@pytest.mark.parametrize(
    "chunks",
    [
        "{n}\r\n{b}\r\n0\r\n\r\n",
        "{n};name=value;other=\"x\"\r\n{b}\r\n0;last\r\n\r\n",
        "000{n}\r\n{b}\r\n000\r\n\r\n",
        "{n}\r\n{b}\r\n0\r\nContent-Length: 5\r\nHost: trailer\r\nTransfer-Encoding: x\r\n\r\n",
    ],
)
def test_a_chunked_body_is_passed_on_with_a_length_of_ours(hostile, chunks):
    mark = new_mark()
    body = body_of(mark)
    data = chunks.replace("{n}", "%X" % len(body)).replace("{b}", body)
    request = POST + "Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n" + data
    assert [a[0] for a in exchange(hostile, request.encode())] == [200]
    wait_until(lambda: was_sent(hostile, mark) == [True, True], 10, "both were told")
    for recorder in hostile.recorders:
        assert b"chunked" not in recorder.sent.lower() and b"Host: trailer" not in recorder.sent
        assert re.search(rb"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode()), recorder.sent)


# --- one after the other -------------------------------------------------------------


def keeping(request):
    return request.replace(b"Connection: close\r\n", b"")


def test_of_pipelined_requests_those_before_the_bad_one_are_answered(hostile):
    good, bad = [new_mark() for _ in range(3)], new_mark()
    logged = log_count(hostile)
    data = b"".join(keeping(creation(mark)) for mark in good)
    data += AMBIGUOUS["length and chunked"](bad).encode()
    got = exchange(hostile, data)
    assert [a[0] for a in got] == [200, 200, 200, 400]
    assert [json.loads(a[2])["name"] for a in got[:3]] == good  # in their order
    assert log_count(hostile) == logged + 3
    assert was_sent(hostile, bad) == [False, False]


def test_bytes_behind_a_complete_request_are_the_next_one(hostile):
    mark, never = new_mark(), new_mark()
    logged = log_count(hostile)
    got = exchange(hostile, keeping(creation(mark)) + b"garbage " + never.encode() + b"\r\n\r\n")
    assert [a[0] for a in got] == [200, 400]
    assert log_count(hostile) == logged + 1
    assert was_sent(hostile, never) == [False, False]


def test_behind_connection_close_nothing_is_read(hostile):
    mark, never = new_mark(), new_mark()
    logged = log_count(hostile)
    assert [a[0] for a in exchange(hostile, creation(mark) + creation(never))] == [200]
    assert log_count(hostile) == logged + 1
    assert was_sent(hostile, never) == [False, False]


def test_a_refused_body_is_not_taken_for_a_request(hostile):
    """413 at the head: what its client goes on sending looks like a request."""
    mark = new_mark()
    logged = log_count(hostile)
    head = POST + "Content-Length: 50000000\r\n\r\n"
    got = exchange(hostile, head.encode() + creation(mark) * 10)
    assert [a[0] for a in got] == [413]
    left_no_trace(hostile, mark, logged)


def test_a_get_with_a_body_leaves_its_body_to_nobody(hostile):
    mark = new_mark()
    logged = log_count(hostile)
    inner = smuggled(mark)
    data = GET + f"Content-Length: {len(inner)}\r\n\r\n{inner}" + GET + "Connection: close\r\n\r\n"
    assert [a[0] for a in exchange(hostile, data.encode())] == [200, 200]
    left_no_trace(hostile, mark, logged)


def test_expect_continue_is_heard_before_the_body_and_after_the_checks(hostile):
    mark = new_mark()
    body = body_of(mark)
    with connect(hostile) as s:
        s.sendall(f"{POST}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(body.encode())
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
    for lengths in ("Content-Length: 50000000\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n"):
        got = exchange(hostile, f"{POST}Expect: 100-continue\r\n{lengths}\r\n".encode())
        assert len(got) == 1 and got[0][0] in (413, 400)


# --- bodies --------------------------------------------------------------------------

NAMES = {
    "duplicate name": '{"name":"{m}-a","name":"{m}-b"}',
    "duplicate name, escaped": '{"name":"{m}-a","na\\u006de":"{m}-b"}',
    "duplicate get_or_create": '{"name":"{m}","get_or_create":true,"get_or_create":false}',
    "duplicate metadata": '{"name":"{m}","metadata":{"a":1},"metadata":{"a":2}}',
    "duplicate key in metadata": '{"name":"{m}","metadata":{"a":1,"a":2}}',
    "duplicate key that means nothing": '{"name":"{m}","zz":1,"zz":2}',
    "nul in the name": '{"name":"{m}\\u0000x"}',
    "raw nul in the name": '{"name":"{m}\0x"}',
    "raw newline in the name": '{"name":"{m}\nx"}',
    "lone high surrogate": '{"name":"{m}\\ud800"}',
    "lone low surrogate": '{"name":"{m}\\udc00"}',
    "surrogates the wrong way": '{"name":"{m}\\udc00\\ud800"}',
    "lone surrogate that means nothing": '{"name":"{m}","z":"\\ud800"}',
    "lone surrogate as a key": '{"name":"{m}","\\ud800":1}',
    "unknown escape": '{"name":"{m}\\x41"}',
    "invalid utf-8 in the name": '{"name":"{m}\xff"}',
    "overlong utf-8": '{"name":"{m}\xc0\xae"}',
    "surrogate in utf-8": '{"name":"{m}\xed\xa0\x80"}',
    "invalid utf-8 that means nothing": '{"name":"{m}","z":"\xff"}',
    "byte order mark": '\xef\xbb\xbf{"name":"{m}"}',
    "garbage behind": '{"name":"{m}"}x',
    "comma behind": '{"name":"{m}"},',
    "nul behind": '{"name":"{m}"}\0',
    "two documents": '{"name":"{m}-a"}{"name":"{m}-b"}',
    "two documents in lines": '{"name":"{m}-a"}\n{"name":"{m}-b"}',
    "single quotes": "{'name':'{m}'}",
    "comment": '{"name":"{m}"/* x */}',
    "trailing comma": '{"name":"{m}",}',
    "no quotes around the key": '{name:"{m}"}',
    "nan": '{"name":"{m}","metadata":{"a":NaN}}',
    "infinity": '{"name":"{m}","metadata":{"a":Infinity}}',
    "huge exponent": '{"name":"{m}","metadata":{"a":1e999}}',
    "huge integer": '{"name":"{m}","metadata":{"a":' + "9" * 400 + "}}",
    "2^63": '{"name":"{m}","metadata":{"a":9223372036854775808}}',
    "2^64": '{"name":"{m}","metadata":{"a":18446744073709551616}}',
    "long fraction": '{"name":"{m}","metadata":{"a":0.' + "1" * 5000 + "}}",
    "leading zero": '{"name":"{m}","metadata":{"a":01}}',
    "plus": '{"name":"{m}","metadata":{"a":+1}}',
    "hex": '{"name":"{m}","metadata":{"a":0x1}}',
    "form feed as space": '{"name":\x0c"{m}"}',
    "array": '["{m}"]',
    "array of all fields": '["{m}",null,null,null,false]',
    "name of the wrong kind": '{"name":["{m}"]}',
    "empty": "",
    "space": "   ",
    "capital key": '{"Name":"{m}"}',
    "lists 100 000 deep": "[" * 100000,
    "lists 100 000 deep, closed": "[" * 100000 + "]" * 100000,
    "objects 100 000 deep": '{"name":' * 100000,
    "deep in a field that means nothing": '{"name":"{m}","z":' + "[" * 127 + "]" * 127 + "}",
    "too deep in a field that means nothing": '{"name":"{m}","z":' + "[" * 5000 + "]" * 5000 + "}",
}


# A Chroma takes these; nobody sends them, and we refuse what we do not see through.
NOT_LOOKED_INTO = {"array of all fields", "too deep in a field that means nothing"}


def named_like(mark, names):
    return sorted(n.removeprefix(mark) for n in names if n.startswith(mark))


def names_of(http):
    return [c["name"] for c in http.get(COLLECTIONS).raise_for_status().json()]


def post_bytes(http, path, body, type="application/json", **headers):
    return http.post(path, content=body, headers={"content-type": type, **headers})


@pytest.mark.parametrize("name", NAMES)
def test_a_body_means_to_us_what_it_means_to_a_chroma(hostile, bare, name):
    """Else names would be carried past the catalogue."""
    mark = "m" + uuid.uuid4().hex[:10]
    body = NAMES[name].replace("{m}", mark).encode("latin-1")
    ours, theirs = (post_bytes(http, COLLECTIONS, body) for http in (hostile.http, bare.http))
    made = named_like(mark, names_of(bare.http))
    if name in NOT_LOOKED_INTO:
        assert ours.status_code == 422
        made = []
    else:
        assert ours.status_code == theirs.status_code, (ours.text[:300], theirs.text[:300])
    for http in (hostile.http, *(chroma.http for chroma in hostile.instances)):
        wait_until(lambda: named_like(mark, names_of(http)) == made, 10, f"only {made} is there")


@pytest.mark.parametrize("name", NAMES)
def test_a_body_of_a_database_or_tenant_means_what_it_means_to_a_chroma(hostile, bare, name):
    mark = "m" + uuid.uuid4().hex[:10]
    body = NAMES[name].replace("{m}", mark).encode("latin-1")
    for path in ("/api/v2/tenants", "/api/v2/tenants/default_tenant/databases"):
        ours, theirs = (post_bytes(http, path, body) for http in (hostile.http, bare.http))
        # what it would create must be exactly what we understood, or nothing
        for suffix in ("", "-a", "-b", "x", "\0x"):
            seen = [there(http, path, mark + suffix) for http in (hostile.http, *(c.http for c in hostile.instances))]
            if ours.status_code < 300:
                expected = there(bare.http, path, mark + suffix)
                wait_until(
                    lambda: {there(c.http, path, mark + suffix) for c in hostile.instances} == {expected},
                    10, "both have it, or neither",
                )
            else:
                assert seen == [False] * 3, (ours.text, theirs.text)


def there(http, path, name):
    return http.get(f"{path}/{quote(name, safe='')}").status_code == 200


IDS = {
    "duplicate ids": '{"ids":["{m}-a"],"ids":["{m}-b"],"embeddings":[[1,2]]}',
    "duplicate embeddings": '{"ids":["{m}"],"embeddings":[[1,2]],"embeddings":[[3,4]]}',
    "duplicate ids, escaped": '{"ids":["{m}-a"],"\\u0069ds":["{m}-b"],"embeddings":[[1,2]]}',
    "nul in an id": '{"ids":["{m}\\u0000x"],"embeddings":[[1,2]]}',
    "lone surrogate in an id": '{"ids":["{m}\\ud800"],"embeddings":[[1,2]]}',
    "invalid utf-8 in an id": '{"ids":["{m}\xff"],"embeddings":[[1,2]]}',
    "bmp edge in an id": '{"ids":["{m}\\uffff\\ud83d\\ude00"],"embeddings":[[1,2]]}',
    "empty id": '{"ids":[""],"embeddings":[[1,2]]}',
    "embedding beyond float": '{"ids":["{m}"],"embeddings":[[1e39,2]]}',
    "embedding beyond double": '{"ids":["{m}"],"embeddings":[[1e400,2]]}',
    "embedding of a huge integer": '{"ids":["{m}"],"embeddings":[[' + "9" * 500 + ",2]]}",
    "embedding with many digits": '{"ids":["{m}"],"embeddings":[[0.' + "3" * 3000 + ",2]]}",
    "embedding of words": '{"ids":["{m}"],"embeddings":[[NaN,2]]}',
    "embeddings nested deep": '{"ids":["{m}"],"embeddings":' + "[" * 100 + "]" * 100 + "}",
    "two documents": '{"ids":["{m}-a"],"embeddings":[[1,2]]}{"ids":["{m}-b"],"embeddings":[[1,2]]}',
    "garbage behind": '{"ids":["{m}"],"embeddings":[[1,2]]} x',
    "array": '[["{m}"],[[1,2]],null,null,null]',
    "poison, then none": '{"ids":["{m}"],"embeddings":[[1,2]],'
    '"metadatas":[{"chroma:document":5,"chroma:document":"x"}]}',
    "poison under an escape": '{"ids":["{m}"],"embeddings":[[1,2]],"metadatas":[{"chroma\\u003adocument":5}]}',
}
POISON = {n for n in IDS if n.startswith("poison")}


@pytest.mark.parametrize("op", ["add", "upsert"])
@pytest.mark.parametrize("name", IDS)
def test_items_mean_to_us_what_they_mean_to_a_chroma(hostile, bare, name, op):
    mark = "m" + uuid.uuid4().hex[:10]
    body = IDS[name].replace("{m}", mark).encode("latin-1")
    collection = new_mark()
    ids = [http.post(COLLECTIONS, json={"name": collection}).json()["id"] for http in (hostile.http, bare.http)]
    ours = post_bytes(hostile.http, f"{COLLECTIONS}/{ids[0]}/{op}", body)
    if name in POISON:  # the bare one would die of it
        assert ours.status_code == 400
        return
    if name == "array":  # of the fields in their order: not looked into
        assert ours.status_code == 422 and ids_of(hostile, ids[0]) == set()
        return
    theirs = post_bytes(bare.http, f"{COLLECTIONS}/{ids[1]}/{op}", body)
    assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
    got = [
        http.post(f"{COLLECTIONS}/{id}/get", json={"include": ["embeddings"]}).json()
        for http, id in zip((hostile.http, bare.http), ids)
    ]
    assert got[0]["ids"] == got[1]["ids"] and got[0]["embeddings"] == got[1]["embeddings"]


def test_utf_16_is_not_json(hostile, bare):
    mark = new_mark()
    logged = log_count(hostile)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        body = body_of(mark).encode(encoding)
        ours, theirs = (post_bytes(http, COLLECTIONS, body) for http in (hostile.http, bare.http))
        assert ours.status_code == theirs.status_code >= 400
    assert log_count(hostile) == logged


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "gzip, gzip"])
def test_a_content_encoding_is_no_way_in(hostile, bare, encoding):
    mark = new_mark()
    plain = body_of(mark).encode()
    body = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain), "gzip, gzip": gzip.compress(gzip.compress(plain))}
    body = body.get(encoding, plain)
    logged = log_count(hostile)
    ours, theirs = (
        post_bytes(http, COLLECTIONS, body, **{"content-encoding": encoding}) for http in (hostile.http, bare.http)
    )
    assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
    assert log_count(hostile) == logged + (ours.status_code < 300)


# --- slow and many -------------------------------------------------------------------


def served(world, limit=5):
    """A newcomer's write and read, and how long they took."""
    started = time.monotonic()
    with httpx.Client(base_url=world.proxy.url, timeout=limit) as http:
        http.get("/api/v2/heartbeat").raise_for_status()
        http.post(COLLECTIONS, json={"name": new_mark()}).raise_for_status()
    return time.monotonic() - started


def trickle(world, data, at_once, pause):
    """Sends the rest byte by byte until it is answered; (the answers, seconds)."""
    started = time.monotonic()
    with connect(world, timeout=pause) as s:
        s.sendall(data[:at_once])
        for i in range(at_once, len(data)):
            try:
                send_all(s, data[i : i + 1])
                s.recv(1, socket.MSG_PEEK)
                s.settimeout(20)
                return answers_of(read_all(s)), time.monotonic() - started
            except TimeoutError:
                assert time.monotonic() - started < 90, "never cut off"
    raise AssertionError("the whole of it was taken")


def test_who_sends_byte_by_byte_is_cut_off_while_others_are_served(hostile):
    mark = new_mark()
    head = creation(mark)
    body = keeping(creation(mark, body=body_of(mark) + " " * 100000))
    split = body.index(b"\r\n\r\n") + 4
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        heads = [pool.submit(trickle, hostile, head, 1, 0.25) for _ in range(20)]
        bodies = [pool.submit(trickle, hostile, body, split, 0.5) for _ in range(20)]
        while not all(f.done() for f in heads):
            assert served(hostile) < 5
        for f in heads:
            answers, seconds = f.result()
            assert [a[0] for a in answers] == [408] and 8 < seconds < 20
        while not all(f.done() for f in bodies):
            assert served(hostile) < 5
        for f in bodies:
            answers, seconds = f.result()
            assert [a[0] for a in answers] == [408] and 20 < seconds < 60
    assert was_sent(hostile, mark) == [False, False]
    assert mark not in names_of(hostile.http) and records_of(hostile, mark) == 0


def resident(process):
    with open(f"/proc/{process.process.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024


def connections(world):
    metrics = world.http.get("/metrics").text
    return int(re.search(r"^chromatid_client_connections (\d+)", metrics, re.M)[1])


IDLE = 2000
# a connection, without the sanitizers' own memory; generous, measured at about 4 KB
BYTES_PER_IDLE = 16 * 1024 if RELEASE else 96 * 1024


@pytest.fixture
def released(monkeypatch):
    """Memory is measured on a build without sanitizers, if there is one."""
    if RELEASE:
        monkeypatch.setattr("world.BINARY", RELEASE)


def test_two_thousand_idle_connections_cost_little_and_keep_nobody_out(released, make_world):
    world = make_world()
    served(world)
    before = resident(world.proxy)
    idle = []
    try:
        for i in range(IDLE):
            s = connect(world)
            if i % 2:  # half of them have been used once
                s.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            idle.append(s)
        wait_until(lambda: connections(world) >= IDLE, 30, "all are connected")
        growth = (resident(world.proxy) - before) / IDLE
        print(f"{growth:.0f} bytes a connection")
        assert growth < BYTES_PER_IDLE
        assert served(world) < 5
    finally:
        for s in idle:
            s.close()
    wait_until(lambda: connections(world) < 20, 30, "they are gone")
    assert served(world) < 5


def test_heads_that_are_never_finished_cost_little(released, make_world):
    world = make_world()
    served(world)
    before = resident(world.proxy)
    half = b"GET /x HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"y" * 7000 + b"\r\n"
    idle = [connect(world) for _ in range(500)]
    for s in idle:
        s.sendall(half)
    wait_until(lambda: connections(world) >= 500, 30, "all are connected")
    assert served(world) < 5
    assert (resident(world.proxy) - before) / 500 < BYTES_PER_IDLE + 64 * 1024
    for s in idle:  # 10 s
        assert read_all(s).startswith(b"HTTP/1.1 408 ")
        s.close()


def test_bodies_that_are_only_announced_take_no_memory_from_others(released, make_world):
    world = make_world(MAX_MEMORY_MB="64")
    before = resident(world.proxy)
    liars = [connect(world) for _ in range(50)]
    for s in liars:
        s.sendall(f"{POST}Content-Length: 8000000\r\n\r\n{{".encode())
    wait_until(lambda: connections(world) > 50, 10, "all are connected")
    assert served(world) < 5
    body = json.dumps({"name": new_mark(), "z": "x" * 5_000_000})
    assert post_bytes(world.http, COLLECTIONS, body.encode()).status_code == 200
    assert resident(world.proxy) - before < 60_000_000 * (1 if RELEASE else 4)
    for s in liars:
        s.close()
    converged(world)


def test_bodies_that_are_too_much_together_are_refused_and_the_rest_complete(make_world):
    world = make_world(MAX_MEMORY_MB="64")
    id = create(world)
    size = 7_500_000
    marks = [new_mark() for _ in range(12)]

    def send(mark):
        body = json.dumps(items(mark, documents=["x" * size])).encode()
        with connect(world, timeout=60) as s:
            send_all(s, f"POST {COLLECTIONS}/{id}/add HTTP/1.1\r\n{HOST}{JSON}Content-Length: {len(body)}\r\n\r\n".encode())
            half = len(body) // 2
            send_all(s, body[:half])
            gate.wait(60)
            send_all(s, body[half:])
            try:
                return int(s.recv(12).split()[1])
            except (ConnectionError, IndexError):
                return None

    gate = threading.Barrier(len(marks))
    with concurrent.futures.ThreadPoolExecutor(len(marks)) as pool:
        statuses = list(pool.map(send, marks))
    assert statuses.count(201) >= 1, statuses
    assert statuses.count(429) + statuses.count(None) >= 1, statuses
    assert set(statuses) <= {201, 429, None}, statuses
    there = world.http.post(f"{COLLECTIONS}/{id}/get", json={"include": []}).json()["ids"]
    assert sorted(there) == sorted(f"{m}-0" for m, status in zip(marks, statuses) if status == 201)
    assert served(world) < 5
    converged(world)


# --- readers that are slow ------------------------------------------------------------


def large_collection(world, megabytes):
    id = create(world)
    for i in range(megabytes // 4):
        body = items(f"large-{i}", n=4, documents=["x" * 1_000_000] * 4)
        world.http.post(f"{COLLECTIONS}/{id}/add", json=body).raise_for_status()
    return id


def slow_reader(world, id):
    """Asks for everything and takes almost nothing."""
    s = connect(world, receive=4096)
    body = '{"include":["documents"]}'
    s.sendall(f"POST {COLLECTIONS}/{id}/get HTTP/1.1\r\n{HOST}{JSON}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    return s


def read_items(world, id, limit):
    return httpx.post(f"{world.proxy.url}{COLLECTIONS}/{id}/get", json={"limit": 1, "include": []}, timeout=limit)


def test_slow_readers_do_not_hold_the_connections_of_an_instance(make_world):
    world = make_world(CONNECTION_POOL_SIZE="2")
    id = large_collection(world, 20)
    converged(world)
    slow = [slow_reader(world, id) for _ in range(6)]
    try:
        for _ in range(10):
            assert read_items(world, id, 10).status_code == 200
        assert served(world, 10) < 10
    finally:
        for s in slow:
            s.close()
    converged(world)


def test_slow_readers_that_memory_has_no_room_for_are_cut_off(make_world):
    """They hold the connections of the instances at first; not for long."""
    world = make_world(CONNECTION_POOL_SIZE="2", MAX_MEMORY_MB="64")
    id = large_collection(world, 20)
    converged(world)
    slow = []
    over = threading.Event()

    def ask():
        try:
            s = slow_reader(world, id)
        except (OSError, AssertionError):
            return  # refused, or cut off while it waited: as good
        slow.append(s)
        while not over.wait(1):
            try:
                if s.recv(1) == b"":  # a byte a second is progress, but too little
                    return
            except OSError:
                return

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    try:
        wait_until(lambda: len(slow) >= 4, 60, "some have begun")
        wait_until(lambda: read_items(world, id, 60).status_code == 200, 100, "others are served")
        print(f"others were served after {time.monotonic() - started:.1f} s")
    finally:
        over.set()
        for s in slow:
            s.close()
        for thread in threads:
            thread.join(120)
    assert served(world, 30) < 30
    converged(world)


# --- gone ----------------------------------------------------------------------------


def parts_of(request):
    """Where a client may leave before its request is whole."""
    head = request.index(b"\r\n\r\n") + 4
    line = request.index(b"\r\n") + 2
    return [0, 1, line - 1, line, head - 2, head, head + 1, (head + len(request)) // 2, len(request) - 1]


def addition(id, mark):
    body = json.dumps(items(mark))
    return creation(mark, body=body, target=f"{COLLECTIONS}/{id}/add")


def ids_of(world, id):
    return set(world.http.post(f"{COLLECTIONS}/{id}/get", json={"include": []}).json()["ids"])


def records_of(world, mark):
    found = f"position('{mark}'::bytea in body) > 0"
    return world.sql(f"SELECT count(*) AS n FROM chromatid.log WHERE {found}")[0]["n"]


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "close"])
def test_who_leaves_before_the_end_of_a_request_has_no_effect(hostile, leave):
    id = create(hostile)
    mark = new_mark()
    logged = log_count(hostile)
    for length in parts_of(addition(id, mark)):
        for _ in range(5):
            s = connect(hostile)
            s.sendall(addition(id, mark)[:length])
            leave(s)
    wait_until(lambda: connections(hostile) < 20, 10, "they are gone")
    assert ids_of(hostile, id) == set()
    assert log_count(hostile) == logged and was_sent(hostile, mark) == [False, False]


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "close"])
def test_who_leaves_before_the_answer_is_written_exactly_once(hostile, leave):
    id = create(hostile)
    marks = [new_mark() for _ in range(10)]
    for chroma in hostile.instances:
        chroma.pause()
    try:
        for mark in marks:
            s = connect(hostile)
            s.sendall(addition(id, mark))
            wait_until(lambda: records_of(hostile, mark) == 1, 10, "it is in the log")
            leave(s)
    finally:
        for chroma in hostile.instances:
            chroma.resume()
    wait_until(lambda: hostile.all_healthy(), 30, "both are healthy")
    wait_until(lambda: ids_of(hostile, id) == {f"{m}-0" for m in marks}, 30, "all are there")
    assert [records_of(hostile, mark) for mark in marks] == [1] * len(marks)
    converged(hostile)


def test_clients_that_leave_at_every_moment_while_others_write(hostile):
    """All or nothing for each of them, once, and both servers equal."""
    id = create(hostile)
    large = large_collection(hostile, 8)
    staying, leaving, errors = [], [], []
    over = threading.Event()

    def write():
        with httpx.Client(base_url=hostile.proxy.url, timeout=60) as http:
            while not over.is_set() or len(staying) <= 20:
                mark = new_mark()
                try:
                    http.post(f"{COLLECTIONS}/{id}/add", json=items(mark)).raise_for_status()
                    staying.append(mark)
                except httpx.HTTPError as e:
                    errors.append(e)
                    return

    def leave_during_writes(seed):
        for i in range(60):
            mark = new_mark()
            request = addition(id, mark)
            leaving.append(mark)
            s = connect(hostile)
            s.sendall(request)
            time.sleep((seed * 7 + i) % 13 / 1000)  # somewhere on the way
            reset(s) if i % 3 else s.close()

    def leave_during_answers():
        for i in range(15):
            s = slow_reader(hostile, large)
            s.recv(1 + i * 20000)
            reset(s)

    writers = [threading.Thread(target=write) for _ in range(2)]
    leavers = [threading.Thread(target=leave_during_writes, args=(n,)) for n in range(3)]
    leavers.append(threading.Thread(target=leave_during_answers))
    for thread in writers + leavers:
        thread.start()
    for thread in leavers:
        thread.join()
    over.set()
    for thread in writers:
        thread.join()
    assert errors == []
    converged(hostile)
    there = ids_of(hostile, id)
    assert {f"{m}-0" for m in staying} <= there <= {f"{m}-0" for m in staying + leaving}
    applied = [m for m in leaving if f"{m}-0" in there]
    print(f"{len(applied)} of {len(leaving)} writes of those who left were taken")
    assert applied, "they all left too early: nothing was tested"
    for mark in leaving[::10]:
        assert records_of(hostile, mark) == (f"{mark}-0" in there)
