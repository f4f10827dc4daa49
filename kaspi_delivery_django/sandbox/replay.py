"""Record a story while the sandbox runs, and be the Kaspi of a recorded story."""

import json
import logging
from typing import Any

from kaspi_delivery_django.sandbox import cassettes
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.cassettes import Cassette, Entry
from kaspi_delivery_django.sandbox.deliveries import REQUEST_FIELDS, DeliveryRecord
from kaspi_delivery_django.sandbox.faults import Fault, Faults
from kaspi_delivery_django.sandbox.requests import Request
from kaspi_delivery_django.sandbox.responses import Response, error_response
from kaspi_delivery_django.sandbox.webhooks import Event

LOG = logging.getLogger(__name__)
NEVER_S = float("inf")


class StoryError(RuntimeError):
    """Something that a recorded story leaves no room for: a fault, or a status that a test sets."""


class RecordingKaspi(FakeKaspi):
    """A `FakeKaspi` that writes what happens into `cassette`: requests as they are answered, webhooks as they leave."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cassette = Cassette()
        self.webhooks.before_post = self._record_event

    def _respond(self, request: Request) -> Response:
        response = super()._respond(request)
        exchange = {
            "request": cassettes.describe_request(request),
            "response": cassettes.describe_response(response),
        }
        self.cassette.append(exchange, self.clock())
        return response

    def _record_event(self, event: Event) -> None:
        with self.lock:  # a request that is being answered comes before the webhook that it causes
            self.cassette.append({"webhook": cassettes.describe_event(event, self.webhook_url)}, self.clock())


class ReplayedKaspi(FakeKaspi):
    """Kaspi as a cassette has it; thread-safe.

    A request gets the response of the first equal request that was not made yet: method, path, idempotency key and
    body count. Any other request gets a 400, and its difference is in `unexpected`. A webhook is due when each
    request before it was made and its own time has come. Kaspi's times move with the clock: the story begins with
    its first request. Webhooks are signed with the current secret, sent once, and never again.
    """

    def __init__(self, cassette: Cassette, **options: Any) -> None:
        super().__init__(first_retry_s=NEVER_S, **options)
        self.faults = _NoFaults(self._random)
        self.unexpected: list[str] = []
        self._cassette = cassette
        self._left: list[Entry] = list(cassette.story)
        self._shift_s: float | None = None
        with self.lock:
            self._release_webhooks()

    def move(self, delivery_id: str, status: str, at: float | None = None, notes: str = "") -> DeliveryRecord:
        """Raise `StoryError`: the story moves its deliveries."""
        del delivery_id, status, at, notes
        raise StoryError("A replayed story moves its deliveries itself: make the requests that it has.")

    def unplayed(self) -> list[str]:
        """List the requests that were not made and the webhooks that were not sent, in order."""
        with self.lock:
            waiting = [f"webhook {event.type}" for event in self.webhooks.pending]
            return waiting + [_name(entry) for entry in self._left]

    def _respond(self, request: Request) -> Response:
        found = cassettes.describe_request(request)
        entry = next((one for one in self._left if one.get("request") == found), None)
        if entry is None:
            return self._refuse(found)
        self._left = [one for one in self._left if one is not entry]
        response = cassettes.to_response(entry["response"], self._start())
        self._mirror(request, response)
        self._release_webhooks()
        return response

    def _start(self) -> float:
        """Return by how much the story's times move; the first request or webhook decides."""
        if self._shift_s is None:
            self._shift_s = self.clock() - (self._cassette.began_at or 0.0)
        return self._shift_s

    def _refuse(self, found: Entry) -> Response:
        requests = [entry["request"] for entry in self._left if "request" in entry]
        alike = [one for one in requests if (one["method"], one["path"]) == (found["method"], found["path"])]
        text = cassettes.difference(next(iter(alike or requests), None), found)
        self.unexpected.append(text)
        LOG.error("not in the cassette:\n%s", text)
        message = "The cassette has no such request here. The sandbox shows the difference; record the story again."
        return error_response(400, "not_in_cassette", message)

    def _mirror(self, request: Request, response: Response) -> None:
        """Keep the story's deliveries, as a test and the control endpoint read them."""
        answer, sent = _document(response.body), _document(request.body)
        delivery_id, status = answer.get("deliveryId"), answer.get("status")
        if not isinstance(delivery_id, str) or not isinstance(status, str):
            return
        if request.operation == "create" and delivery_id not in self.deliveries and set(REQUEST_FIELDS) <= set(sent):
            self.deliveries[delivery_id] = DeliveryRecord(delivery_id, sent, self.clock())
        self._change(delivery_id, status)

    def _change(self, delivery_id: str, status: str) -> None:
        record = self.deliveries.get(delivery_id)
        if record and record.status != status:
            record.change(status, self.clock(), "")

    def _release_webhooks(self) -> None:
        """Queue the webhooks before the next request that the story waits for."""
        while self._left and "webhook" in self._left[0]:
            self._queue(self._left.pop(0)["webhook"])

    def _queue(self, entry: Entry) -> None:
        data = cassettes.shifted(entry["data"], self._start())
        self._change(str(data.get("deliveryId")), str(data.get("status")))
        if url := entry.get("url", self.webhook_url):
            event = Event(entry["eventId"], url, entry["type"], data, self.clock(), attempt=entry["attempt"] - 1)
            self.webhooks.queue_after_others(event, cassettes.seconds(data["timestamp"]))


class _NoFaults(Faults):
    """A recorded story has its own faults."""

    def add(self, fault: Fault) -> None:
        """Raise `StoryError`."""
        del fault
        raise StoryError("A replayed story has its own faults: record it with them.")


def _name(entry: Entry) -> str:
    if "webhook" in entry:
        return f"webhook {entry['webhook']['type']}"
    return f"{entry['request']['method']} {entry['request']['path']}"


def _document(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
