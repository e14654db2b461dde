"""What goes wrong, and when: a schedule made from the seed, and the hands that do it.

    for fault in schedule(seed, seconds): ...     pure
    Nemesis(world, history, seed, seconds).run()  does it, each fault in a thread of its own

Faults overlap, but never two on one target. A line of faults.jsonl:

    kind, targets, options   what, and to whom
    t0       it begins
    healed   it was taken back
    clear    everything is as it should be again: see clear()
    dead, down, up           servers whose process was away, and between which times
    proxy    which of the proxies, if it was one
"""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

import relay
from world import wait_until

EASE = 6  # seconds without a new fault at the end
CLEAR_MOST = 25  # seconds to wait for things to be as they should be
OWED_LITTLE = 20
NOTICED = 1.5  # seconds after which the proxy has seen that PostgreSQL was away

# kind: (weight, targets, least and most seconds)
INSTANCES = ["primary", "replica"]
KINDS = {
    "kill": (12, "one", (0.3, 6)),
    "pause": (8, "one", (1, 8)),
    "restart": (4, "one", (0, 0)),
    "kill_both": (3, "both", (0.3, 4)),
    "pause_both": (2, "both", (1, 5)),
    "kill_proxy": (7, "proxy", (0, 2)),
    "pause_proxy": (5, "proxy", (1, 8)),
    "restart_proxy": (4, "proxy", (0, 0)),
    "kill_postgres": (4, "postgres", (0, 4)),
    "stop_postgres": (3, "postgres", (0, 4)),
    "pause_postgres": (4, "postgres", (1, 8)),
    "crash_postgres": (3, "postgres", (0, 0)),  # one backend, by -9: PostgreSQL restarts all
    "terminate_sessions": (4, "postgres", (0, 0)),
    "relay": (40, "edge", (1, 8)),
    "relay_both": (5, "edges", (1, 4)),
}
# the relay's kinds: options from the random numbers
RELAY = {
    "refuse": lambda r: {},
    "silence": lambda r: {},
    "hang_after": lambda r: {},
    "reset": lambda r: {},
    "reset_after": lambda r: {},
    "lose": lambda r: {},
    "cut": lambda r: {},
    "wrong_length": lambda r: {},
    "error": lambda r: {"status": r.choice([500, 502, 503, 504])},
    "error_after": lambda r: {"status": r.choice([500, 502, 503, 504])},
    "delay": lambda r: {"seconds": round(r.uniform(0.05, 2), 2), "after": r.random() < 0.5},
    "slow": lambda r: {"rate": r.choice([200, 1000, 5000])},
    "late": lambda r: {"seconds": round(r.uniform(0.1, 3), 2)},
    "garbage": lambda r: {},
    "half_open": lambda r: {},
}
# A request that something on the way holds back until others have followed has its effect again, and
# is seen until the late look has found it: docs/GUARANTEES.md. tests/e2e/test_quarantine.py has it.
NOT_PROMISED = ("late",)
MATCHES = {"all": None, "writes": relay.writes, "no probes": relay.not_probes}


@dataclass
class Fault:
    number: int
    at: float
    kind: str
    targets: list
    seconds: float
    options: dict = field(default_factory=dict)

    def locks(self):
        """An edge and the server behind it may both be ill."""
        prefix = "edge " if self.kind.startswith("relay") else ""
        return [prefix + target for target in self.targets]

    def __str__(self):
        about = f" {self.options}" if self.options else ""
        return f"{self.kind} {' and '.join(self.targets)} for {self.seconds:.1f} s{about}"


def targets_of(what, r):
    if what in ("one", "edge"):
        return [r.choice(INSTANCES)]
    return INSTANCES if what in ("both", "edges") else [what]


def relay_options(r, both):
    kinds = [k for k in RELAY if k not in NOT_PROMISED and not (both and k.startswith("error"))]
    kind = r.choice(kinds)
    share, match = r.choice([0.1, 0.3, 1.0]), r.choice(list(MATCHES))
    if kind == "refuse":  # who is refused has not said yet what it wants
        share, match = 1.0, "all"
    return {"fault": kind, "share": share, "match": match, **RELAY[kind](r)}


def errors(fault):
    """A record that every server has answered 500 is given up: never on both at a time."""
    return fault.options.get("fault", "").startswith("error")


def schedule(seed, seconds):
    r = random.Random(f"{seed}/nemesis")
    busy = {}  # lock -> until
    found = []
    at = 2.0
    while at < seconds - EASE:
        kind = r.choices(list(KINDS), [weight for weight, *_ in KINDS.values()])[0]
        _, what, (least, most) = KINDS[kind]
        most = max(least, min(most, seconds - EASE / 2 - at))
        fault = Fault(len(found) + 1, round(at, 2), kind, targets_of(what, r), round(r.uniform(least, most), 2))
        if kind.startswith("relay"):
            fault.options = relay_options(r, kind == "relay_both")
        locks = fault.locks() + ["errors"] * errors(fault)
        if all(busy.get(lock, 0) <= at for lock in locks):
            busy.update(dict.fromkeys(locks, at + fault.seconds + 1))
            found.append(fault)
            overlapping = r.random() < 0.35
            at += r.uniform(0.2, 2) if overlapping else fault.seconds + r.uniform(1, 5)
        else:
            at += 0.5
    return found


class Nemesis:
    def __init__(self, world, history, seed, seconds, say):
        self.world = world
        self.history = history
        self.say = say
        self.faults = schedule(seed, seconds)
        self.locks = {lock: threading.Lock() for fault in self.faults for lock in fault.locks()}
        self.proxies = [httpx.Client(base_url=proxy.url, timeout=2) for proxy in world.proxies]
        self.crashes = []
        # a process that we start dies with the thread that started it (world.py): so there is
        # one thread that starts all of them, and stays
        self.starter = ThreadPoolExecutor(max_workers=1)

    def start(self, process, wait):
        self.starter.submit(process.start, wait=wait).result()

    def run(self):
        threads = []
        for fault in self.faults:
            time.sleep(max(fault.at - self.history.now(), 0))
            threads.append(threading.Thread(target=self.one, args=(fault,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        for http in self.proxies:
            http.close()
        assert not self.crashes, self.crashes

    def one(self, fault):
        try:
            for lock in sorted(fault.locks()):
                self.locks[lock].acquire()
            entry = {"n": fault.number, "kind": str(fault), "targets": fault.targets, "t0": self.history.now()}
            if "proxy" in fault.targets:
                entry["proxy"] = self.number_of(fault)
            try:
                getattr(self, "do_" + fault.kind)(fault, entry)
            finally:
                for lock in fault.locks():
                    self.locks[lock].release()
            entry["healed"] = self.history.now()
            self.clear(fault.targets)
            entry["clear"] = self.history.now()
            self.history.add("faults", entry)
            self.say(entry)
        except Exception as e:  # raised again at the end
            self.crashes.append(f"{fault}: {e!r}")

    # when is it over?

    def clear(self, targets):
        end = time.monotonic() + CLEAR_MOST
        if "postgres" in targets:
            time.sleep(NOTICED)
        while time.monotonic() < end:
            try:
                if self.is_clear(targets):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)

    def is_clear(self, targets):
        return all(self.is_clear_at(http, targets) for http in self.proxies)

    def is_clear_at(self, http, targets):
        if http.get("/ready").status_code != 200:
            return False
        if not set(targets) & set(INSTANCES):
            return True
        status = http.get("/status").json()
        mine = [i for i in status["instances"] if i["name"] in targets]
        return all(i["healthy"] and (i["pending_writes"] or 0) <= OWED_LITTLE for i in mine)

    def chromas(self, fault):
        return [getattr(self.world, name) for name in fault.targets]

    # the servers

    def do_kill(self, fault, entry):
        for chroma in self.chromas(fault):
            chroma.kill()
        entry.update(dead=fault.targets, down=self.history.now())
        time.sleep(fault.seconds)
        entry["up"] = self.history.now()
        for chroma in self.chromas(fault):
            self.start(chroma, wait=False)
        for chroma in self.chromas(fault):
            chroma.wait()

    do_restart = do_kill_both = do_kill

    def do_pause(self, fault, entry):
        for chroma in self.chromas(fault):
            chroma.pause()
        time.sleep(fault.seconds)
        for chroma in self.chromas(fault):
            chroma.resume()

    do_pause_both = do_pause

    def do_relay(self, fault, entry):
        options = dict(fault.options)
        kind, match = options.pop("fault"), MATCHES[options.pop("match")]
        relays = [self.world.relay_of(chroma) for chroma in self.chromas(fault)]
        before = sum(relay.counts[kind] for relay in relays)
        for each in relays:
            each.fault(kind, match=match, **options)
        time.sleep(fault.seconds)
        for each in relays:
            each.clear()
        entry["hits"] = sum(relay.counts[kind] for relay in relays) - before

    do_relay_both = do_relay

    # one of the proxies

    def number_of(self, fault):
        return fault.number % len(self.world.proxies)

    def proxy_of(self, fault):
        return self.world.proxies[self.number_of(fault)]

    def do_kill_proxy(self, fault, entry):
        self.proxy_of(fault).kill()
        time.sleep(fault.seconds)
        self.start(self.proxy_of(fault), wait=None)

    def do_pause_proxy(self, fault, entry):
        self.proxy_of(fault).signal(signal.SIGSTOP)
        time.sleep(fault.seconds)
        self.proxy_of(fault).signal(signal.SIGCONT)

    def do_restart_proxy(self, fault, entry):
        # one that was started a moment ago does not know yet what to do when it is told to stop
        wait_until(lambda: self.proxy_of(fault).ready() is not None, 10, "the proxy listens")
        self.proxy_of(fault).terminate()
        self.start(self.proxy_of(fault), wait=None)

    # PostgreSQL

    def postgres_pids(self):
        """The postmaster first, then its children."""
        data = Path(self.world.postgres.directory) / "data"
        master = int((data / "postmaster.pid").read_text().split()[0])
        return [master, *children_of(master)]

    def do_kill_postgres(self, fault, entry):
        for pid in self.postgres_pids():
            send(pid, signal.SIGKILL)
        time.sleep(fault.seconds)
        self.start_postgres()

    def do_stop_postgres(self, fault, entry):
        self.world.postgres.stop()
        time.sleep(fault.seconds)
        self.start_postgres()

    def start_postgres(self):
        """What was killed leaves its memory for a moment; then it starts."""
        for _ in range(20):
            try:
                return self.world.postgres.start()
            except AssertionError:
                time.sleep(0.5)
        raise AssertionError("PostgreSQL does not start again")

    def do_pause_postgres(self, fault, entry):
        pids = self.postgres_pids()
        for pid in pids:
            send(pid, signal.SIGSTOP)
        time.sleep(fault.seconds)
        for pid in pids:
            send(pid, signal.SIGCONT)

    def do_crash_postgres(self, fault, entry):
        backends = [pid for pid in self.postgres_pids()[1:] if "chromatid" in command_of(pid)]
        if backends:
            send(backends[-1], signal.SIGKILL)

    def do_terminate_sessions(self, fault, entry):
        for pid in self.postgres_pids()[1:]:
            if "chromatid" in command_of(pid):
                send(pid, signal.SIGTERM)  # what pg_terminate_backend sends


def children_of(parent):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(stat.parent.name))
        except (OSError, IndexError):
            pass  # it has just ended
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
