"""The network between the services and the sandbox, which notes every request."""

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime

import requests
from django.db import connection

from kaspi_delivery_django.sandbox.adapter import SandboxAdapter

NOT_BOOKED = frozenset({302, 400, 401, 403, 404, 405, 413, 415, 422, 429})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request: when and with which API key; `status` is None when no answer came back.

    `word` is whether the order was paid, and whether it was cancelled, when a create was claimed.
    """

    at: datetime
    api_key: str
    method: str
    path: str
    key: str | None
    body: bytes = field(repr=False)
    status: int | None
    in_transaction: bool
    by_worker: bool
    word: tuple | None = None

    @property
    def is_create(self):
        return self.method == "POST" and self.path.endswith("/v1/deliveries")

    @property
    def may_have_booked(self):
        return self.status not in NOT_BOOKED


class Witness(SandboxAdapter):
    """Passes every request on, and keeps a note of it."""

    def __init__(self, kaspi, clock, word_of):
        super().__init__(kaspi)
        self.seen = []
        self.is_working = False
        self.word_when_claimed = None
        self._clock, self._word_of = clock, word_of

    def send(self, request, *args, **kwargs):
        """Respond as Kaspi does; what the sender learns is noted as well."""
        status, word = None, self._word(request)
        try:
            response = super().send(request, *args, **kwargs)
            status = response.status_code
        finally:
            self.seen.append(replace(self._note(request, status), word=word))
        return response

    def _word(self, request):
        """Ask before Kaspi is: a webhook may come at once."""
        if self.word_when_claimed is not None:
            return self.word_when_claimed
        name = json.loads(request.body or b"{}").get("externalOrderId")
        return self._word_of(name) if name else None

    def _note(self, request, status):
        return Seen(
            at=self._clock.now,
            api_key=request.headers.get("x-api-key", ""),
            method=request.method,
            path=requests.utils.urlparse(request.url).path,
            key=request.headers.get("Idempotency-Key"),
            body=request.body or b"",
            status=status,
            in_transaction=connection.in_atomic_block,
            by_worker=self.is_working,
        )


class Journal(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))
