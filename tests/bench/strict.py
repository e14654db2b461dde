"""strict: a load that is not answered with 2xx must fail, else all other numbers are worth nothing."""

import http.server
import threading

import wrk


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path; 0: closes the connection."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = int(self.path.split("/")[1])
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """wrk closes its connections without asking."""


def is_accepted(bench, port, status):
    plan = wrk.writes([f"/{status}"], dimension=12)
    try:
        wrk.run(port, plan, 2, 1, bench.directory)
    except wrk.LoadFailed:
        return False
    return True


def run(bench):
    with Server(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for status in (200, 0, 302, 404, 503):
                accepted = is_accepted(bench, server.server_port, status)
                assert accepted == (status == 200), f"answers {status}: accepted: {accepted}"
        finally:
            server.shutdown()
            thread.join()
