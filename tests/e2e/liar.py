"""A proxy between a client and the system, which lies: how a broken system looks from outside."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class Liar:
    """lie(method, path, body, forward) -> httpx.Response; forward() asks the system."""

    def __init__(self, url, lie=None):
        self.lie = lie or (lambda method, path, body, forward: forward())
        self.seen = []
        liar, client = self, httpx.Client(base_url=url, timeout=60)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                keep = {k: v for k, v in self.headers.items() if k.lower() in ("authorization", "content-type")}
                liar.seen.append((self.command, self.path))
                forward = lambda: client.request(self.command, self.path, content=body, headers=keep)
                answer = liar.lie(self.command, self.path, body, forward)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.startswith("x-chromatid-"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
