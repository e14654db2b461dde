"""pass-through: what a proxy costs in front of servers that cost nothing.

The stub is an nginx that answers just enough to be two well "instances", with a fixed
count for every collection.
"""

from contextlib import ExitStack, contextmanager

import wrk
from contestants import NGINX, NGINX_LARGE, Chromatid, Contestant, Proxied, command_of
from measure import alternate
from ports import free_port
from world import DEFAULT, Process, World, wait_until

MOST_CLIENTS = 64
LARGE = 500_000
ID = "11111111-2222-4333-8444-555555555555"

STUB = """
	default_type application/json;
	sendfile on;
	tcp_nopush on;
	server {{
		listen 127.0.0.1:{ports[0]};
		listen 127.0.0.1:{ports[1]};
		root {directory}/stub;
		location = /api/v2/version {{ return 200 '"1.5.9"'; }}
		location = /api/v2/tenants {{ return 200 '{{}}'; }}
		location = /api/v2/tenants/default_tenant {{ return 200 '{{"name":"default_tenant"}}'; }}
		location ~ /databases$ {{ return 200 '{{}}'; }}
		location ~ /collections$ {{ return 200 '{{"id":"{id}","name":"bench"}}'; }}
		location ~ /upsert$ {{ return 201 '{{}}'; }}
		location ~ /count$ {{ return 200 '100'; }}
		location = /openapi.json {{ }}
		location / {{ return 404; }}
	}}
"""


class Stub(Process):
    def __init__(self, directory):
        super().__init__(directory, "stub")
        self.ports = [free_port(), free_port()]

    def start(self):
        large = self.directory / "stub/openapi.json"
        large.parent.mkdir()
        large.write_text('{"filler":"' + "x" * (LARGE - 13) + '"}')
        inner = STUB.format(ports=self.ports, directory=self.directory, id=ID)
        config = self.directory / "stub.conf"
        config.write_text(NGINX.format(inner=inner, directory=self.directory))
        self.spawn(command_of("nginx", config))


class StubWorld(World):
    """A world whose two instances are the stub."""

    def __init__(self, postgres, directory, stub, **settings):
        super().__init__(postgres, directory, start=False, **settings)
        for which, port in zip(("PRIMARY_URL", "REPLICA_URL"), stub.ports):
            self.proxy.settings[which] = f"http://127.0.0.1:{port}"

    def __enter__(self):
        super().__enter__()
        self.proxy.start()
        wait_until(self.all_healthy, 30, "both instances are healthy")
        return self


class StubbedChromatid(Chromatid):
    def settle(self):
        """Nothing is ever left to do."""


@contextmanager
def running(stub):
    stub.start()
    try:
        yield
    finally:
        stub.kill()


def run(bench):
    stub = Stub(bench.new_directory())
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(running(stub))
        direct = enter(Contestant("direct", stub.ports[0]))
        wait_until(lambda: direct.http.get("/api/v2/version").is_success, 10, "the stub answers")
        proxies = [enter(Proxied(n, direct, bench.new_directory())) for n in ("nginx", "haproxy")]
        buffers = Proxied("nginx", direct, bench.new_directory(), NGINX_LARGE, "nginx, large buffers")
        enter(buffers)
        world = enter(StubWorld(bench.postgres, bench.new_directory(), stub, **bench.settings))
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
