"""A server of the tests' own, for what we post to others; and free ports. It needs no Django."""

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def free_port():
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def answering(answer, *, port=0):
    """Serve POSTs: `answer(path, headers, body)` returns the status, headers and body. Yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            given = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, body = answer(self.path, dict(self.headers), given)
            with suppress(OSError):  # the sender may be gone
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args):
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
