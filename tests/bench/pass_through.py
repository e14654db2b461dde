"""pass-through: what a proxy costs in front of servers that cost nothing.

The stub is an nginx before two Chromas. What is measured it answers itself: the version, a
fixed count for every collection, a large document. All else, the marker among it by which the
proxy knows its instances, comes from the Chromas, which have nothing to do meanwhile.
"""

from contextlib import ExitStack

import wrk
from contestants import NGINX, NGINX_LARGE, Chromatid, Contestant, Proxied, command_of
from measure import alternate
from ports import free_port
from world import Process, World

MOST_CLIENTS = 64
LARGE = 500_000

STUB = """
	default_type application/json;
	sendfile on;
	tcp_nopush on;
"""

STUB_SERVER = """
	server {{
		listen 127.0.0.1:{port};
		root {directory}/stub;
		location = /api/v2/version {{ return 200 '"1.5.9"'; }}
		location ~ /count$ {{ return 200 '100'; }}
		location = /openapi.json {{ }}
		location / {{ proxy_pass http://127.0.0.1:{chroma}; }}
	}}
"""


class Stub(Process):
    """In front of these Chromas, on a port for each."""

    def __init__(self, directory, chromas):
        super().__init__(directory, "stub")
        self.ports = {free_port(): chroma.port for chroma in chromas}
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]

    def start(self):
        large = self.directory / "stub/openapi.json"
        large.parent.mkdir()
        large.write_text('{"filler":"' + "x" * (LARGE - 13) + '"}')
        inner = STUB + "".join(
            STUB_SERVER.format(port=port, chroma=chroma, directory=self.directory)
            for port, chroma in self.ports.items()
        )
        config = self.directory / "stub.conf"
        config.write_text(NGINX.format(inner=inner, directory=self.directory))
        self.spawn(command_of("nginx", config))


class StubWorld(World):
    """A world in which the proxy sees its instances through the stub."""

    def __init__(self, postgres, directory, **settings):
        super().__init__(postgres, directory, **settings)
        self.stub = Stub(directory, self.instances)
        primary, replica = self.stub.urls
        self.proxy.settings |= {"PRIMARY_URL": primary, "REPLICA_URL": replica}

    def start(self):
        self.stub.start()
        super().start()

    def __exit__(self, *error):
        try:
            super().__exit__(*error)
        finally:
            self.stub.kill()


class StubbedChromatid(Chromatid):
    def settle(self):
        """Nothing is ever left to do."""


def run(bench):
    with ExitStack() as stack:
        enter = stack.enter_context
        world = enter(StubWorld(bench.postgres, bench.new_directory(), **bench.settings))
        direct = enter(Contestant("direct", next(iter(world.stub.ports))))
        proxies = [enter(Proxied(n, direct, bench.new_directory())) for n in ("nginx", "haproxy")]
        buffers = Proxied("nginx", direct, bench.new_directory(), NGINX_LARGE, "nginx, large buffers")
        enter(buffers)
        chromatid = enter(StubbedChromatid(world))
        count = f"{chromatid.create('bench', 1)[0]}/count"
        everybody = [direct, *proxies, chromatid]
        for what, path, size, contestants in (
            ("version", "/api/v2/version", 7, everybody),
            ("count", count, 3, everybody),
            ("500 KB", "/openapi.json", LARGE, [*everybody, buffers]),
        )[: bench.variants]:
            check(contestants, path, size)
            for clients in bench.clients_up_to(MOST_CLIENTS):
                where = {"scenario": "pass-through", "what": what, "clients": clients}
                alternate(bench, contestants, lambda _: wrk.fixed(path), **where)


def check(contestants, path, size):
    """wrk does not look at each of these answers."""
    for contestant in contestants:
        answer = contestant.http.get(path)
        found = (answer.status_code, len(answer.content))
        assert found == (200, size), f"{contestant.name}: {path}: {found}"
