"""memory: what the proxy uses idle, at work, and with a long backlog of small records."""

import catch_up
import wrk
from contestants import Chromatid, memory_mb
from measure import Row, alternate


def run(bench):
    with bench.world() as world, Chromatid(world) as chromatid:
        chromatid.settle()
        idle = memory_mb(chromatid.pid)
        where = {"scenario": "memory", "who": chromatid.name}
        bench.add(Row(**where, what="idle", clients=None, peak_mb=idle))
        paths = chromatid.create("load", 16)
        for clients in bench.clients_up_to(256):
            alternate(
                bench,
                [chromatid],
                lambda _: wrk.writes(paths),
                scenario="memory",
                what="384 JSON, 16 collections",
                clients=clients,
            )
        catch_up.rows(bench, chromatid, "memory", bench.owed, max(bench.clients), 12)
