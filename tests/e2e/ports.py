"""Ports for the processes and relays of a test."""

import os
import random
import socket

# Below the range of outgoing connections, so that a restart finds a port free again; and each of
# several test processes side by side has a part of its own.
FIRST, EACH, PARTS = 20000, 3000, 4
PART = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PARTS
used_ports = set()


def free_port():
    while True:
        port = FIRST + PART * EACH + random.randrange(EACH)
        with socket.socket() as s:
            if port in used_ports or s.connect_ex(("127.0.0.1", port)) == 0:
                continue
        used_ports.add(port)
        return port
