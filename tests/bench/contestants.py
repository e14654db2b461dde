"""Who is measured: a bare Chroma, nginx and HAProxy in front of it, Chromatid with two others.

Each is awake only while it is measured. A bare Chroma is stopped (SIGSTOP) otherwise. The
proxies cannot be: Chromatid would lose its lease and see its instances go down; they idle,
after everything has been waited for that was still to be done.

nginx and HAProxy are plain reverse proxies: one worker, one thread, connections to the
upstream kept, no access log (nor has Chromatid one here), answers never written to disk.
"""

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from ports import free_port
from world import COLLECTIONS, Chroma, Process, wait_until

CLOCK = os.sysconf("SC_CLK_TCK")
IDLE = 0.02  # of a core
SETTLE = 1800  # seconds at most

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	client_body_temp_path {directory}/nginx-body;
	proxy_temp_path {directory}/nginx-proxy;
	fastcgi_temp_path {directory}/nginx-fastcgi;
	uwsgi_temp_path {directory}/nginx-uwsgi;
	scgi_temp_path {directory}/nginx-scgi;
	client_max_body_size 0;
	client_body_buffer_size 1m;
	keepalive_requests 1000000000;
	tcp_nodelay on;
{inner}
}}
"""

NGINX_PROXY = """
	upstream backend {{
		server 127.0.0.1:{backend};
		keepalive 256;
		keepalive_requests 1000000000;
	}}
	server {{
		listen 127.0.0.1:{port};
		location / {{
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_max_temp_file_size 0;
			{extra}
		}}
	}}
"""

# By default it has 8 of 4 KB for an answer, and is slow with large ones.
NGINX_LARGE = """proxy_buffers 16 32k;
			proxy_buffer_size 32k;
			proxy_busy_buffers_size 128k;"""

HAPROXY = """
global
	nbthread 1
	maxconn 2000
defaults
	mode http
	option http-keep-alive
	http-reuse always
	timeout connect 5s
	timeout client 1h
	timeout server 1h
frontend here
	bind 127.0.0.1:{port}
	default_backend there
backend there
	server one 127.0.0.1:{backend}
"""


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def memory_mb(pid, what="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(what)


def forget_peak(pid):
    """VmHWM begins anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def wait_idle(pids):
    """Until none of them has anything to do."""

    def idle():
        before = sum(map(cpu_seconds, pids))
        time.sleep(0.25)
        return sum(map(cpu_seconds, pids)) - before <= 0.25 * IDLE * len(pids) + 1 / CLOCK

    wait_until(idle, SETTLE, "the servers have nothing to do any more")


class Contestant:
    """process: whose CPU and memory are looked at; None: not of interest."""

    def __init__(self, name, port, process=None):
        self.name = name
        self.port = port
        self.process = process
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    @property
    def pid(self):
        return self.process.process.pid if self.process else None

    def wake(self):
        pass

    def settle(self):
        """Until what was asked of it is done."""

    def rest(self):
        pass

    @contextmanager
    def awake(self):
        self.wake()
        try:
            yield self
            self.settle()
        finally:
            self.rest()

    def owed(self):
        """Writes that were answered and are still to be done somewhere."""
        return None

    def post(self, path, body):
        answer = self.http.post(path, json=body)
        assert answer.is_success, f"{self.name}: {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def create(self, name, collections):
        """The paths of new collections."""
        names = (f"{name}-{n}" for n in range(collections))
        return [f"{COLLECTIONS}/{self.post(COLLECTIONS, {'name': n})['id']}" for n in names]

    def count(self, paths):
        return sum(self.http.get(p + "/count").raise_for_status().json() for p in paths)


class Bare(Contestant):
    """A Chroma alone."""

    def __init__(self, directory):
        self.chroma = Chroma(directory, "bare")
        super().__init__("bare Chroma", self.chroma.port)

    def __enter__(self):
        self.chroma.start()
        self.rest()
        return self

    def __exit__(self, *_):
        super().__exit__()
        self.chroma.kill()
        self.chroma.http.close()

    def wake(self):
        self.chroma.resume()

    def settle(self):
        wait_idle([self.chroma.process.pid])

    def rest(self):
        self.chroma.pause()


class Proxied(Contestant):
    """nginx or haproxy (its program) in front of `behind`; for nginx, settings more."""

    def __init__(self, program, behind, directory, extra="", name=None):
        self.program = program
        self.behind = behind
        self.extra = extra
        super().__init__(name or program, free_port(), Process(directory, program))

    def __enter__(self):
        directory = self.process.directory
        config = directory / f"{self.program}.conf"
        values = {"port": self.port, "backend": self.behind.port, "extra": self.extra}
        if self.program == "nginx":
            inner = NGINX_PROXY.format(**values)
            config.write_text(NGINX.format(inner=inner, directory=directory))
        else:
            config.write_text(HAPROXY.format(**values))
        self.process.spawn(command_of(self.program, config))
        with self.behind.awake():
            wait_until(self.answers, 10, f"{self.name} answers")
        return self

    def answers(self):
        assert self.process.running(), f"{self.name} ended:\n{self.process.log()[-2000:]}"
        return self.http.get("/api/v2/version").is_success

    def __exit__(self, *_):
        super().__exit__()
        self.process.kill()

    def wake(self):
        self.behind.wake()

    def settle(self):
        self.behind.settle()

    def rest(self):
        self.behind.rest()


def command_of(program, config):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    assert path, f"no {program} here (tests/bench/run.sh installs it)"
    return [path, *(["-c"] if program == "nginx" else ["-db", "-f"]), str(config)]


class Chromatid(Contestant):
    """Of a world that has been started."""

    def __init__(self, world, name="Chromatid"):
        super().__init__(name, world.proxy.port, world.proxy)
        self.world = world

    def owed(self):
        return self.world.proxy.status()["wal"]["pending_writes"]

    def settle(self):
        wait_until(lambda: self.owed() == 0, SETTLE, "nothing is owed")
        processes = [self.world.proxy, *self.world.instances]
        wait_idle([p.process.pid for p in processes if p.running()])
