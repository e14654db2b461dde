"""A real pgbouncer between the proxy and PostgreSQL."""

import os
import subprocess
import tempfile

from ports import free_port
from world import Process, wait_until

NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"]


class Pooler(Process):
    """with Pooler(postgres, "session") as pooler: ... (or "transaction")."""

    def __init__(self, postgres, mode, **options):
        # not below pytest's directory: it does not run as root, and others may not enter that
        self.place = tempfile.TemporaryDirectory()
        os.chmod(self.place.name, 0o755)
        super().__init__(self.place.name, "pooler")
        self.port = free_port()
        self.postgres = postgres
        self.config = self.directory / "pgbouncer.ini"
        self.configure(mode, **options)

    def configure(self, mode, **options):
        more = "".join(f"{name} = {value}\n" for name, value in options.items())
        self.config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.postgres.port} user=chromatid\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = 20\n{more}"
        )

    def start(self):
        who = NOBODY if os.getuid() == 0 else []
        self.spawn(["setpriv", *who, "/usr/sbin/pgbouncer", str(self.config)])
        wait_until(self.answers, 10, "pgbouncer answers")

    def answers(self):
        assert self.running(), self.log()
        asked = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked).returncode == 0

    def url_of(self, database):
        return f"postgresql://chromatid@127.0.0.1:{self.port}/{database}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self.place.cleanup()
