"""Stands in for Slack: takes messages, or does not.

    with Receiver(directory, tls=True) as slack:
        World(..., SLACK_WEBHOOK_URL=slack.url, SSL_CERT_FILE=slack.authority)
"""

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0000-a-secret-path"


def make_certificate(directory):
    """For localhost, signed by itself."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    return key, certificate


class Receiver:
    def __init__(self, directory, tls=False):
        self.texts = []
        self.tried = 0
        self.answer = 200
        self.hang = threading.Event()  # not set: hangs
        self.hang.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.authority = None
        if tls:
            key, self.authority = make_certificate(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.authority, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://localhost:{self.server.server_port}/services/{SECRET}"

    def take(self, request):
        body = request.rfile.read(int(request.headers["content-length"]))
        self.tried += 1
        self.hang.wait(60)
        if self.answer == 200:
            assert request.path == f"/services/{SECRET}"
            assert request.headers["content-type"] == "application/json"
            self.texts.append(json.loads(body)["text"])
        request.send_response(self.answer)
        request.send_header("content-length", "2")
        request.end_headers()
        request.wfile.write(b"ok")

    def heard(self, *words):
        """Texts in which all of the words are."""
        return [t for t in self.texts if all(w in t for w in words)]

    def wait(self, *words, timeout=15):
        end = time.monotonic() + timeout
        while not self.heard(*words):
            assert time.monotonic() < end, f"nobody said {words}: {self.texts}"
            time.sleep(0.05)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.hang.set()
        self.server.shutdown()
        self.server.server_close()
