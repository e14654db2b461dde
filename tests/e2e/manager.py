"""What a service manager is to the proxy: a socket that hears what it tells (sd_notify)."""

import socket
import threading
import time


class Manager:
    """with Manager(path) as manager: manager.settings are for the proxy's environment.

    `address`: a path, or "@name" for an abstract one.
    """

    def __init__(self, address, watchdog="200000"):
        self.settings = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": watchdog}
        self.heard = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def listen(self):
        while what := self.socket.recv(4096).decode():
            if what == "over":
                return
            self.heard.append((time.monotonic(), what))

    def said(self, what):
        return [at for at, line in list(self.heard) if line == what]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.socket.getsockname())
            s.send(b"over")
        self.thread.join()
        self.socket.close()
