"""proxies: what it costs to go through a proxy that follows, and what several make of one load.

One world with four proxies. Two are asked directly: the one that leads and one that follows. Then HAProxy
deals the same load out to one, two and four of them, the one that leads among them.
"""

import itertools
from contextlib import ExitStack

import wrk
from contestants import HAPROXY, SETTLE, Contestant, command_of, wait_idle
from measure import alternate, written
from ports import free_port
from reads import DIMENSION, RECORDS, fill
from world import Process, wait_until

PROXIES = 4
MOST_CLIENTS = 16
names = itertools.count(1)


class Through(Contestant):
    """One proxy of the world, or HAProxy in front of some."""

    def __init__(self, name, world, port, process):
        super().__init__(name, port, process)
        self.world = world

    def owed(self):
        return self.world.leader().status()["wal"]["pending_writes"]

    def settle(self):
        wait_until(lambda: self.owed() == 0, SETTLE, "nothing is owed")
        wait_idle([p.process.pid for p in (*self.world.proxies, *self.world.instances)])


class Dealt(Through):
    def __init__(self, world, n, directory):
        super().__init__(f"dealt to {n}", world, free_port(), None)
        self.haproxy = Process(directory, "haproxy")
        self.proxies = world.proxies[:n]

    def __enter__(self):
        config = self.haproxy.directory / "haproxy.cfg"
        text = HAPROXY.format(port=self.port, backend=self.proxies[0].port)
        more = [f"\tserver p{p.port} 127.0.0.1:{p.port}\n" for p in self.proxies[1:]]
        config.write_text(text + "".join(more))
        self.haproxy.spawn(command_of("haproxy", config))
        wait_until(lambda: self.http.get("/api/v2/version").is_success, 10, "haproxy answers")
        return self

    def __exit__(self, *_):
        super().__exit__()
        self.haproxy.kill()


def run(bench):
    with ExitStack() as stack:
        enter = stack.enter_context
        world = enter(bench.world(proxies=PROXIES))
        leads, follows = world.proxies[:2]
        assert world.leader() is leads
        direct = [
            enter(Through("the leader", world, leads.port, leads)),
            enter(Through("a follower", world, follows.port, follows)),
        ]
        dealt = [enter(Dealt(world, n, bench.new_directory())) for n in (1, 2, PROXIES)]
        paths = fill(direct[0])

        def add(contestant):
            return wrk.writes(contestant.create(f"writes-{next(names)}", 1), DIMENSION, "JSON", 1)

        def get(_):
            return wrk.reads("get", paths, "item", RECORDS, DIMENSION)

        def query(_):
            return wrk.reads("query", paths, "item", RECORDS, DIMENSION)

        for clients in bench.clients_up_to(MOST_CLIENTS):
            for what, plan, counted in (("add", add, written), ("get", get, None), ("query", query, None)):
                where = {"scenario": "proxies", "what": what, "clients": clients}
                more = [counted] if counted else []
                for contestants in (direct, dealt):
                    alternate(bench, contestants, plan, *more, **where)
