"""memory: what the proxy uses idle, at work, with a long backlog of small records, and started
again with it."""

import time

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

        def start_again(where):
            chromatid.world.proxy.terminate()
            begun = time.monotonic()
            chromatid.world.proxy.start()
            took = f"started again in {time.monotonic() - begun:.1f} s"
            bench.add(Row(**where, who=took, peak_mb=memory_mb(chromatid.pid, "VmHWM")))

        most = max(bench.clients)
        catch_up.rows(bench, chromatid, "memory", bench.owed, most, 12, start_again)
