"""A fault relay: stands between the proxy and a Chroma and does what networks, edge proxies
and half-dead servers do. It understands HTTP/1.1, so that it can hit single requests.

    relay = world.relay_of(world.primary)       # World(..., relays=True)
    relay.fault("lose", match=writes, times=3)  # executed, but the answer never arrives
    ...
    relay.counts["lose"]                        # how many it has hit so far
    relay.clear()

All relays live in one event loop in one thread. Bodies pass through piece by piece; only what
a fault has to hold is held. When the Chroma behind it is dead, a connection to the relay is
accepted and then reset: that is what a relay can do ("refuse" is what a dead host does).
"""

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter, deque

from ports import free_port

CHANGES = re.compile(r"/(add|upsert|update|delete|fork)$|/(tenants|databases|collections)$|/reset$")
PROBE = "/api/v2/tenants/default_tenant"
PIECE = 256 * 1024
# what may be said about each kind, and its default (None: must be said)
KINDS = {
    "refuse": {},
    "silence": {},
    "hang_after": {},
    "reset": {},
    "reset_after": {},
    "lose": {},
    "cut": {"where": "any"},  # "head", "body", or one after the other
    "wrong_length": {"extra": 100},
    "error": {"status": 500, "body": b'{"error":"InternalError","message":"planted"}'},
    "error_after": {"status": 500, "body": b'{"error":"InternalError","message":"planted"}'},
    "delay": {"seconds": None, "after": False},  # after: executed at once, answered late
    "slow": {"rate": None},  # bytes of the answer per second
    "late": {"seconds": None},
    "garbage": {"bytes": b"\x00\x01 this is not HTTP \xff\r\n\r\n"},
    "half_open": {},
}


def is_canary(path):
    """What the proxy does for itself, in a tenant that clients never see."""
    return "/tenants/ctd-" in path


def writes(method, path):
    """Whatever changes something for a client."""
    return not is_canary(path) and all_writes(method, path)


def all_writes(method, path):
    """... and what the proxy writes to see whether it can be done."""
    return method in ("PUT", "PATCH", "DELETE") or (method == "POST" and bool(CHANGES.search(path)))


def not_probes(method, path):
    return not is_canary(path) and path != PROBE


def reads(method, path):
    return not_probes(method, path) and not writes(method, path)


class Gone(Exception):
    """This connection has ended."""


class Loop:
    """The thread all relays share. It lives as long as the tests do."""

    loop = None

    @classmethod
    def run(cls, coroutine):
        if cls.loop is None:
            cls.loop = asyncio.new_event_loop()
            threading.Thread(target=cls.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result(30)


class Fault:
    def __init__(self, kind, share, times, match, options):
        known = KINDS[kind]
        assert set(options) <= set(known), f"{kind} knows {list(known)}, not {list(options)}"
        options = {**known, **options}
        assert None not in options.values(), f"{kind} must be told {list(known)}"
        self.kind = kind
        self.share = share
        self.times = times
        self.match = match
        self.__dict__.update(options)

    def hits(self, method, path, chance):
        if self.times == 0 or (self.match and not self.match(method, path)):
            return False
        if chance >= self.share:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Relay:
    def __init__(self, target_port):
        self.target_port = target_port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.counts = Counter()  # kind -> requests hit
        self.requests = 0
        self.seen = deque(maxlen=1000)  # (method, path, kind or None) of the last requests
        self.late = 0  # "late" requests whose client has gone, not yet executed
        self.faults = []
        self.random = random.Random()
        self.connections = set()
        self.crashes = []
        self.server = None

    # from any thread

    def start(self):
        Loop.run(self.listen())

    def stop(self):
        Loop.run(self.end())
        assert not self.crashes, self.crashes

    def fault(self, kind, share=1.0, times=None, match=None, **options):
        Loop.run(self.add(Fault(kind, share, times, match, options)))

    def clear(self):
        """Back to clean. What is held is dropped, but for what a "late" already owes."""
        Loop.run(self.clean())

    # in the loop

    async def listen(self):
        if self.server is None:
            self.server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self).protocol, "127.0.0.1", self.port, backlog=1024
            )

    async def close(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in list(self.connections):
            connection.reset()

    async def end(self):
        self.faults = []
        await self.close()

    async def add(self, fault):
        if fault.kind == "refuse":  # it hits everybody
            await self.close()
        else:
            self.faults.append(fault)

    async def clean(self):
        self.faults = []
        for connection in list(self.connections):
            if connection.held:
                connection.drop()
        await self.listen()

    def pick(self, method, path):
        self.requests += 1
        fault = next((f for f in self.faults if f.hits(method, path, self.random.random())), None)
        kind = fault.kind if fault else None
        if fault:
            self.counts[kind] += 1
        self.seen.append((method, path, kind))
        return fault


class Reader(asyncio.StreamReader):
    """Tells at once when the other side has gone, whoever is reading or not."""

    def __init__(self, on_gone):
        super().__init__(limit=PIECE)
        self.on_gone = on_gone

    def feed_eof(self):
        super().feed_eof()
        self.on_gone()

    def set_exception(self, error):
        super().set_exception(error)
        self.on_gone()


class Head:
    """The head of a request or of an answer, as bytes and as what matters in it."""

    def __init__(self, raw):
        self.raw = raw
        first, *fields = raw[:-4].decode("latin-1").split("\r\n")
        self.first = first.split(" ", 2)
        self.fields = {}
        for field in fields:
            name, _, value = field.partition(":")
            self.fields[name.strip().lower()] = value.strip()
        self.chunked = "chunked" in self.fields.get("transfer-encoding", "").lower()
        self.length = int(self.fields.get("content-length", 0))
        self.closes = self.fields.get("connection", "").lower() == "close"

    def until_close(self):
        """An answer without a length."""
        if self.chunked or "content-length" in self.fields:
            return False
        return self.first[1] not in ("204", "304")


async def read_head(reader):
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as e:
        raise Gone from e


async def read_body(reader, head, until_close=False):
    """Piece by piece, as it is on the wire."""
    try:
        if head.chunked:
            async for piece in read_chunks(reader):
                yield piece
        elif until_close:
            while piece := await reader.read(PIECE):
                yield piece
        else:
            left = head.length
            while left:
                piece = await reader.read(min(left, PIECE))
                if not piece:
                    raise Gone
                left -= len(piece)
                yield piece
    except (asyncio.IncompleteReadError, ValueError, OSError) as e:
        raise Gone from e


async def read_chunks(reader):
    while True:
        line = await reader.readuntil(b"\r\n")
        yield line
        left = int(line.split(b";")[0], 16)
        if left == 0:
            break
        left += 2
        while left:
            piece = await reader.readexactly(min(left, PIECE))
            left -= len(piece)
            yield piece
    while line != b"\r\n":  # trailers
        line = await reader.readuntil(b"\r\n")
        yield line


async def whole(pieces):
    return b"".join([piece async for piece in pieces])


class Connection:
    """One connection of a client, and the one to the Chroma that goes with it."""

    def __init__(self, relay):
        self.relay = relay
        self.reader = Reader(self.on_client_gone)
        self.protocol = asyncio.StreamReaderProtocol(self.reader, self.serve)
        self.writer = None
        self.server = None  # (reader, writer)
        self.gone = asyncio.Event()
        self.busy = False  # with a request
        self.held = False  # by a fault, until the client leaves
        self.dropped = False

    def on_client_gone(self):
        """What it asked for may be dropped by the server, as on a direct connection."""
        self.gone.set()
        self.drop_server()

    def on_server_gone(self):
        if not self.busy:
            self.reset()

    def drop_server(self):
        if self.server is not None:
            self.server[1].transport.abort()
            self.server = None

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.drop_server()

    def drop(self):
        """It was held, and clear() has been called."""
        self.dropped = True
        self.reset()

    async def serve(self, reader, writer):
        self.writer = writer
        self.relay.connections.add(self)
        try:
            while await self.one_request():
                self.busy = False
        except Gone:
            self.reset()
        except Exception as e:  # raised again by stop()
            self.relay.crashes.append(repr(e))
            self.reset()
        finally:
            self.relay.connections.discard(self)
            self.drop_server()
            writer.close()

    async def hold(self):
        """Until the client leaves, or is dropped."""
        self.held = True
        await self.gone.wait()
        raise Gone

    async def one_request(self):
        """True: the connection stays."""
        try:
            head = await read_head(self.reader)
        except Gone:
            return False
        self.busy = True
        method, path, _ = head.first
        fault = self.relay.pick(method, path.split("?")[0])
        do = getattr(self, "do_" + fault.kind) if fault else self.do_nothing
        stays = await do(fault, head, method)
        return stays and not head.closes

    # to the Chroma and back

    async def connect(self, on_gone):
        try:
            reader = Reader(on_gone)
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_connection(
                lambda: asyncio.StreamReaderProtocol(reader), "127.0.0.1", self.relay.target_port
            )
        except OSError as e:
            raise Gone from e
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def forward(self, head):
        """Sends the request on; the head of the answer."""
        if self.server is None:
            server = await self.connect(self.on_server_gone)
            if self.gone.is_set():
                server[1].transport.abort()
                raise Gone
            self.server = server
        reader, writer = self.server
        try:
            writer.write(head.raw)
            async for piece in read_body(self.reader, head):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass  # it may have answered before it closed
        answer = await read_head(reader)
        while answer.first[1].startswith("1"):
            answer = await read_head(reader)
        return answer

    def body_of(self, answer, method):
        if self.server is None:
            raise Gone
        if method == "HEAD":
            answer.length, answer.chunked = 0, False
            return read_body(self.server[0], answer)
        return read_body(self.server[0], answer, answer.until_close())

    async def send(self, data):
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as e:
            raise Gone from e

    async def pass_on(self, head, method):
        answer = await self.forward(head)
        await self.send(answer.raw)
        async for piece in self.body_of(answer, method):
            await self.send(piece)
        return self.stays_after(answer)

    def stays_after(self, answer):
        return not (answer.closes or answer.until_close())

    async def executed(self, head, method):
        """The answer, held here."""
        answer = await self.forward(head)
        return answer, await whole(self.body_of(answer, method))

    async def make_up(self, fault):
        """An answer of our own."""
        head = f"HTTP/1.1 {fault.status} Planted\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(fault.body)}\r\n\r\n"
        await self.send(head.encode() + fault.body)
        return True

    # the faults; each says whether the connection stays

    async def do_nothing(self, _, head, method):
        return await self.pass_on(head, method)

    async def do_silence(self, *_):
        await self.hold()

    async def do_hang_after(self, _, head, method):
        await self.executed(head, method)
        await self.hold()

    async def do_reset(self, *_):
        raise Gone

    async def do_reset_after(self, _, head, method):
        await self.executed(head, method)
        raise Gone

    async def do_lose(self, _, head, method):
        await self.executed(head, method)
        return False

    async def do_cut(self, fault, head, method):
        answer, body = await self.executed(head, method)
        where = fault.where
        if where == "any":
            where = ("body", "head")[self.relay.counts["cut"] % 2]
        if where == "head" or len(body) < 2:
            await self.send(answer.raw[: len(answer.raw) // 2])
        else:
            await self.send(answer.raw + body[: len(body) // 2])
        return False

    async def do_wrong_length(self, fault, head, method):
        answer, body = await self.executed(head, method)
        told = f"HTTP/1.1 {answer.first[1]} OK\r\ncontent-type: application/json\r\n"
        told += f"content-length: {len(body) + fault.extra}\r\n\r\n"
        await self.send(told.encode() + body)
        return False

    async def do_error(self, fault, head, _):
        await self.swallow(head)
        return await self.make_up(fault)

    async def do_error_after(self, fault, head, method):
        await self.executed(head, method)
        return await self.make_up(fault)

    async def do_delay(self, fault, head, method):
        if not fault.after:
            await self.sleep(fault.seconds)
            return await self.pass_on(head, method)
        answer, body = await self.executed(head, method)
        await self.sleep(fault.seconds)
        await self.send(answer.raw + body)
        return self.stays_after(answer)

    async def do_slow(self, fault, head, method):
        answer, body = await self.executed(head, method)
        data = answer.raw + body
        step = max(fault.rate // 10, 1)
        for at in range(0, len(data), step):
            await self.send(data[at : at + step])
            await self.sleep(step / fault.rate)
        return self.stays_after(answer)

    async def do_late(self, fault, head, _):
        """An edge proxy that had the whole request in its buffer when the client left."""
        body = await whole(read_body(self.reader, head))
        self.held = True
        await self.gone.wait()
        if self.dropped:
            return False
        self.relay.late += 1
        try:
            await asyncio.sleep(fault.seconds)
            reader, writer = await self.connect(lambda: None)
            writer.write(head.raw + body)
            await whole(read_body(reader, await read_head(reader)))
            writer.transport.abort()
        finally:
            self.relay.late -= 1
        return False

    async def do_garbage(self, fault, head, _):
        await self.swallow(head)
        await self.send(fault.bytes)
        return False

    async def do_half_open(self, _, head, method):
        answer, _body = await self.executed(head, method)
        await self.send(answer.raw)
        await self.hold()

    async def swallow(self, head):
        async for _ in read_body(self.reader, head):
            pass

    async def sleep(self, seconds):
        """As long as the client is there."""
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except TimeoutError:
            return
        raise Gone
