"""An ERP that listens on a socket, and verifies what it gets with the library of Standard Webhooks."""

import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import PATIENCE_S

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_5dzNYgxhQRcYCYTgvEiq4kFLqXGgYlbN"


class ERP:
    """Keeps what arrives, in order: the webhook-ids, the events, the bodies and the paths.

    `answers` are the (status, headers) of the next requests; then it answers 204. While `is_open` is not set, it keeps
    every request waiting; `arrived` counts them.
    """

    def __init__(self, secret=SECRET):
        self.secret = secret
        self.ids, self.events, self.bodies, self.paths, self.answers = [], [], [], [], deque()
        self.arrived, self.is_open = threading.Semaphore(0), threading.Event()
        self.is_open.set()
        self.port = 0

    def __enter__(self):
        """Listen, on the port that it had before if there was one."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self._server.erp, self._server.daemon_threads = self, True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error):
        """Close the port."""
        self.is_open.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self):
        """Where events are posted to."""
        return f"http://127.0.0.1:{self.port}/kaspi/"

    def take(self, path, headers, body):
        """Verify a request, keep it, and return the answer."""
        self.paths.append(path)
        try:
            event = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return 401, {}
        self.bodies.append(body)
        self.events.append(event)
        self.ids.append(headers["webhook-id"])
        self.arrived.release()
        assert self.is_open.wait(PATIENCE_S)
        return self.answers.popleft() if self.answers else (204, {})


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self.server.erp.take(self.path, dict(self.headers), body)
        with suppress(OSError):  # the sender may be gone
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    def log_message(self, *_args):
        """Keep quiet."""
