"""The world of an end-to-end test: PostgreSQL, two Chroma servers and the proxy.

Plain objects, each of which starts, stops and kills one process. Everything lives in a
directory of its own on free ports, and dies with us (setpriv --pdeathsig).

    with World(postgres, directory) as world:
        world.client().create_collection("x", embedding_function=None)
        world.primary.kill()
        ...
        world.primary.start()
        converged(world)            # in compare.py: waits, then compares every record
"""

import functools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import chromadb
import httpx

from ports import free_port
from relay import Relay

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CHROMATID_BINARY", str(ROOT / "build/debug/chromatid"))
CHROMA = [sys.executable, str(ROOT / "tests/e2e/chroma_server.py")]
DEFAULT = "/api/v2/tenants/default_tenant/databases/default_database"
COLLECTIONS = DEFAULT + "/collections"
# Nobody speaks TLS here, but each client would read all certificates there are.
ssl.create_default_context = functools.cache(ssl.create_default_context)

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


def wait_until(condition, timeout, what):
    """Polls; returns what the condition returned. A refused connection means: not yet."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (httpx.HTTPError, OSError) as e:
            last = e
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {timeout} s (last: {last!r})")


class Process:
    """One child process, its output in a file that grows over restarts."""

    def __init__(self, directory, name):
        self.name = name
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / f"{name}.log"
        self.process = None

    def spawn(self, command, env=None):
        assert not self.running(), f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and gone when this returns."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_contains(self, text):
        return text in self.log()


class Postgres:
    """A private cluster by tests/tools/run-postgres.sh."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.port = free_port()
        self.url = None

    def control(self, *command):
        script = str(ROOT / "tests/tools/run-postgres.sh")
        done = subprocess.run(
            [script, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"run-postgres.sh {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        self.url = self.control("start", self.directory, self.port).split()[-1]

    def stop(self):
        self.control("stop", self.directory)

    def kill(self):
        self.control("kill", self.directory)

    def create_database(self, name):
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, name):
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url_of(self, database):
        return self.url.rsplit("/", 1)[0] + "/" + database

    def execute(self, sql, database=None):
        url = self.url_of(database) if database else self.url
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{sql}: {done.stderr}"
        return done.stdout

    def query(self, sql, database=None):
        """Rows as dictionaries."""
        rows = f"SELECT coalesce(json_agg(rows), '[]') FROM ({sql}) AS rows"
        return json.loads(self.execute(rows, database))


class Chroma(Process):
    """A Chroma server that keeps its port and its data over restarts."""

    def __init__(self, directory, name):
        super().__init__(directory, name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = self.directory / f"{name}-data"
        self.config = self.directory / f"{name}.yaml"
        self.config.write_text(
            f"port: {self.port}\nlisten_address: 127.0.0.1\n"
            f"persist_path: {self.data}\nallow_reset: true\n"
        )
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def start(self, wait=True):
        self.spawn([*CHROMA, "run", str(self.config)])
        if wait:
            self.wait()

    def wait(self):
        wait_until(self.answers, 30, f"Chroma {self.name} answers")

    def answers(self):
        assert self.running(), f"Chroma {self.name} ended:\n{self.log()[-2000:]}"
        return self.http.get("/api/v2/heartbeat").status_code == 200

    def pause(self):
        """Accepts connections, never answers."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def wipe(self):
        shutil.rmtree(self.data)

    def client(self, **options):
        return chromadb.HttpClient(host="127.0.0.1", port=self.port, **options)


class Proxy(Process):
    """build/.../chromatid. Its settings are its environment and nothing else."""

    def __init__(self, directory, settings, name="proxy", binary=BINARY):
        super().__init__(directory, name)
        self.binary = binary
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {"PORT": str(self.port), "LOG_FORMAT": "json", **settings}
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.clients = []

    def start(self, wait="leads"):
        """wait: "leads", "ready" (or follows another), "listening" (whatever the state of the others),
        or None."""
        env = {
            "PATH": os.environ["PATH"],
            "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:handle_abort=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            **self.settings,
        }
        self.spawn([self.binary], env)
        if wait == "leads":
            wait_until(self.leads, 30, f"{self.name} leads")
        elif wait == "ready":
            wait_until(lambda: self.ready() == 200, 30, f"{self.name} is ready")
        elif wait == "listening":
            wait_until(lambda: self.ready() is not None, 30, f"{self.name} listens")

    def leads(self):
        return self.ready() == 200 and self.status()["leader"]

    def ready(self):
        assert self.running(), f"{self.name} ended:\n{self.log()[-3000:]}"
        return self.http.get("/ready").status_code

    def terminate(self, timeout=60):
        """SIGTERM; fails on a bad exit status and on anything a sanitizer has found."""
        self.signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.check_sanitizers()
        assert status == 0, f"{self.name} exited with {status}:\n{self.log()[-3000:]}"

    def restart(self, **options):
        self.terminate()
        self.start(**options)

    def check_sanitizers(self):
        log = self.log()
        for report in SANITIZER_REPORTS:
            at = log.find(report)
            assert at < 0, f"{self.name}: {log[max(at - 500, 0) : at + 5000]}"

    def status(self):
        return self.http.get("/status").raise_for_status().json()

    def instance(self, name):
        return next(i for i in self.status()["instances"] if i["name"] == name)

    def client(self, **options):
        self.clients.append(chromadb.HttpClient(host="127.0.0.1", port=self.port, **options))
        return self.clients[-1]

    def dismiss(self):
        """All clients go: one of several proxies that ends waits for those it has."""
        self.http.close()
        for client in self.clients:
            for api in (client, client._admin_client):  # each has connections of its own
                api._server._session.close()


class World:
    """All of it. Keyword arguments are settings of the proxy: World(..., WRITE_WAIT="1s").

    relays: the proxy reaches each Chroma through a relay that can do harm (relay.py).
    proxies: so many, side by side; world.proxy is the first of them.
    """

    counter = 0

    def __init__(self, postgres, directory, start=True, relays=False, proxies=1, **settings):
        World.counter += 1
        self.postgres = postgres
        self.database = f"world_{os.getpid()}_{World.counter}"
        self.start_at_once = start
        self.primary = Chroma(directory, "primary")
        self.replica = Chroma(directory, "replica")
        self.instances = [self.primary, self.replica]
        self.relays = [Relay(chroma.port) for chroma in self.instances] if relays else []
        reached = self.relays or self.instances
        settings = {
            "DATABASE_URL": postgres.url_of(self.database),
            "PRIMARY_URL": reached[0].url,
            "REPLICA_URL": reached[1].url,
            "CHECK_INTERVAL": "500ms",
            **settings,
        }
        names = ["proxy", *(f"proxy{k}" for k in range(2, proxies + 1))]
        self.proxies = [Proxy(directory, settings, name) for name in names]
        self.proxy = self.proxies[0]
        self.http = self.proxy.http

    def __enter__(self):
        self.postgres.create_database(self.database)
        for relay in self.relays:
            relay.start()
        if self.start_at_once:
            self.start()
        return self

    def start(self):
        for chroma in self.instances:
            chroma.start(wait=False)
        for chroma in self.instances:
            chroma.wait()
        for k, proxy in enumerate(self.proxies):
            proxy.start(wait="ready" if k > 0 else "leads")
        wait_until(self.all_healthy, 30, "both instances are healthy")

    def __exit__(self, kind, *_):
        try:
            self.calm()
            for proxy in self.proxies:
                proxy.dismiss()
                if proxy.running():
                    proxy.terminate() if kind is None else proxy.kill()
                proxy.check_sanitizers()
        finally:
            for process in (*self.proxies, *self.instances):
                process.kill()
                process.http.close()
            for relay in self.relays:
                relay.stop()
            self.postgres.drop_database(self.database)

    def all_healthy(self):
        return all(i["healthy"] for i in self.proxy.status()["instances"])

    def revive(self):
        """Starts what is not running, and ends what a relay still does."""
        self.calm()
        for process in (*self.instances, *self.proxies):
            if not process.running():
                process.start()
        wait_until(self.all_healthy, 30, "both instances are healthy")

    def leader(self):
        """The proxy that executes; the first one, while none says so."""
        if len(self.proxies) == 1:
            return self.proxy
        leads = (p for p in self.proxies if p.running() and p.status()["leader"])
        return next(leads, self.proxy)

    def calm(self):
        for relay in self.relays:
            relay.clear()

    def wait_down(self, chroma):
        wait_until(
            lambda: not self.proxy.instance(chroma.name)["healthy"], 30, f"{chroma.name} is seen down"
        )

    def other(self, chroma):
        return self.replica if chroma is self.primary else self.primary

    def relay_of(self, chroma):
        return self.relays[self.instances.index(chroma)]

    def client(self, **options):
        return self.proxy.client(**options)

    def sql(self, query):
        return self.postgres.query(query, self.database)

    def metric(self, name):
        """Its value, or the sum over its labels."""
        lines = self.http.get("/metrics").raise_for_status().text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[{{ ]", line))
