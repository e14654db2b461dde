"""Ports for the processes and relays of a test."""

import random
import socket

used_ports = set()


def free_port():
    """Below the range of outgoing connections, so that a restart finds it free again."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            if port in used_ports or s.connect_ex(("127.0.0.1", port)) == 0:
                continue
        used_ports.add(port)
        return port
