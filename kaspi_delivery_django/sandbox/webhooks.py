"""Sign, send and retry webhooks; duplicate, reorder, delay and lose them on demand."""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import requests
from urllib3.exceptions import HTTPError

LOG = logging.getLogger(__name__)
POST_TIMEOUT_S = 5
FIRST_RETRY_S = 60.0
ABANDON_AFTER_S = 24 * 60 * 60
NO_RESPONSE = 0

Post = Callable[[str, dict[str, str], bytes], int]


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Sign `<timestamp>.<raw body>`: lower-case hex HMAC-SHA256."""
    message = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def post_over_http(url: str, headers: dict[str, str], body: bytes) -> int:
    """Send one webhook as Kaspi does: 5 seconds, no redirects; return the HTTP status."""
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, data=body, headers=headers, timeout=POST_TIMEOUT_S, allow_redirects=False)
        return response.status_code


@dataclass
class Event:
    """A pending webhook; `attempt` counts the attempts that were made."""

    event_id: str
    url: str
    type: str
    data: Mapping[str, str]
    queued_at: float
    due_at: float = 0.0
    attempt: int = 0

    def body(self) -> bytes:
        head = {"eventId": self.event_id, "type": self.type, "attempt": self.attempt}
        return json.dumps({**head, "data": dict(self.data)}).encode()


class Attempt(NamedTuple):
    """One attempt to send a webhook; status 0 if there was no response."""

    event_id: str
    type: str
    attempt: int
    status: int
    headers: dict[str, str]
    body: bytes


class WebhookQueue:
    """The webhooks of one merchant; thread-safe, and posts without holding a lock.

    Options for the events that are queued next: `duplicate` sends each twice; `reorder` is a
    number of events to hold and send in reverse; `lose` is a number of events to drop into
    `lost`; `delay_s` delays each one. `sent` lists every attempt; `before_post` is called before each.
    """

    def __init__(
        self,
        secret: str,
        *,
        clock: Callable[[], float],
        new_event_id: Callable[[], str],
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        if first_retry_s <= 0:
            raise ValueError("first_retry_s must be positive")
        self.duplicate, self.reorder, self.lose, self.delay_s = False, 0, 0, 0.0
        self.pending: list[Event] = []
        self.sent: list[Attempt] = []
        self.lost: list[Event] = []
        self.before_post: Callable[[Event], None] | None = None
        self._held: list[Event] = []
        self._secret = secret
        self._clock = clock
        self._new_event_id = new_event_id
        self._first_retry_s = first_retry_s
        self._lock = threading.RLock()

    def queue(self, url: str, event_type: str, data: Mapping[str, str]) -> str:
        """Queue an event for its first attempt at once; return its id."""
        with self._lock:
            event = Event(self._new_event_id(), url, event_type, data, self._clock())
            self._enqueue(event)
            return event.event_id

    def queue_after_others(self, event: Event, due_at: float) -> None:
        """Queue an event for `due_at`, but not before the events that are pending already."""
        with self._lock:
            event.due_at = max([due_at, *(other.due_at for other in self.pending)])
            self.pending.append(event)

    def due(self, now: float) -> list[Event]:
        """List the events that are due, in the order of sending."""
        with self._lock:
            return [event for event in self.pending if event.due_at <= now]

    def deliver_due(self, now: float, post: Post = post_over_http) -> list[Attempt]:
        """Send each event that is due, once; return the attempts."""
        attempts: list[Attempt] = []
        while attempt := self.deliver_next(now, post):
            attempts.append(attempt)
        return attempts

    def deliver_next(self, now: float, post: Post = post_over_http) -> Attempt | None:
        """Send the first event that is due; return None if there is none."""
        with self._lock:
            due = self.due(now)
            if not due:
                return None
            event = due[0]
            self.pending = [other for other in self.pending if other is not event]
        return self._attempt(event, max(now, self._clock()), post)

    def _enqueue(self, event: Event) -> None:
        if self.lose > 0:
            self.lose -= 1
            self.lost.append(event)
            return
        self._held = [event, *([replace(event)] if self.duplicate else []), *self._held]
        self.reorder = max(0, self.reorder - 1)
        if self.reorder == 0:
            self._release_held(event.queued_at + self.delay_s)

    def _release_held(self, due_at: float) -> None:
        for event in self._held:
            event.due_at = due_at
        self.pending += self._held
        self._held = []

    def _attempt(self, event: Event, now: float, post: Post) -> Attempt:
        event.attempt += 1
        if self.before_post:
            self.before_post(event)
        body, status = event.body(), NO_RESPONSE
        headers = self._headers(body, str(int(now)))
        try:
            with suppress(OSError, HTTPError):  # no response, or an invalid host
                status = post(event.url, headers, body)
        finally:
            self._record_outcome(event, status, now)
        sent = Attempt(event.event_id, event.type, event.attempt, status, headers, body)
        self.sent.append(sent)
        LOG.info("webhook %s %s attempt=%s status=%s", *sent[:3], status or "no response")
        return sent

    def _headers(self, body: bytes, timestamp: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "kaspi-sandbox",
            "X-Kaspi-Timestamp": timestamp,
            "X-Kaspi-Signature": sign(self._secret, timestamp, body),
        }

    def _record_outcome(self, event: Event, status: int, now: float) -> None:
        if 200 <= status <= 299:  # noqa: PLR2004 - any 2xx ends the retries
            return
        event.due_at = now + self._first_retry_s * 2 ** (event.attempt - 1)
        with self._lock:
            is_abandoned = event.due_at > event.queued_at + ABANDON_AFTER_S
            (self.lost if is_abandoned else self.pending).append(event)
