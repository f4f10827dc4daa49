"""An ERP that listens on a socket, and verifies what it gets with the library of Standard Webhooks."""

import threading
from collections import deque

from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import PATIENCE_S
from tests.http_server import answering

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_5dzNYgxhQRcYCYTgvEiq4kFLqXGgYlbN"


class ERP:
    """Keeps what arrives, in order: the webhook-ids, the events, the bodies and the paths.

    `answers` are the (status, headers) of the next requests; then it answers 204. While `is_open` is not set, it keeps
    every request waiting; `arrived` counts them.
    """

    def __init__(self, secret=SECRET):
        self.secret, self.port = secret, 0
        self.ids, self.events, self.bodies, self.paths, self.answers = [], [], [], [], deque()
        self.arrived, self.is_open = threading.Semaphore(0), threading.Event()
        self.is_open.set()

    def __enter__(self):
        """Listen, on the port that it had before if there was one."""
        self._serving = answering(lambda *request: (*self.take(*request), b""), port=self.port)
        self.port = self._serving.__enter__()
        return self

    def __exit__(self, *_error):
        self.is_open.set()
        self._serving.__exit__(None, None, None)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/kaspi/"

    def take(self, path, headers, body):
        """Verify a request, keep it, and return the status and headers of the answer."""
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
