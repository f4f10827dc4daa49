"""Handle requests as Kaspi does, in memory: keys, idempotent replays, deliveries and their webhooks."""

import logging
import random
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.deliveries import CANCELLABLE, DeliveryRecord, rfc3339
from kaspi_delivery_django.sandbox.faults import Faults
from kaspi_delivery_django.sandbox.requests import (
    CANCEL,
    DELIVERY_REQUEST,
    EVENT_TYPES,
    Request,
    parse_request,
    read_json,
    read_webhook_test,
)
from kaspi_delivery_django.sandbox.responses import Response, error_response, json_response, validation_error
from kaspi_delivery_django.sandbox.webhooks import FIRST_RETRY_S, WebhookQueue

LOG = logging.getLogger(__name__)
DROPPED = 0
KEY_LIFETIME_S = 24 * 60 * 60
_ID_LETTERS = string.ascii_lowercase + string.digits


class LoggedRequest(NamedTuple):
    """One received request; status 0 if a fault dropped the connection."""

    method: str
    path: str
    idempotency_key: str | None
    body: bytes
    status: int


class _Stored(NamedTuple):
    payload: tuple[str, bytes]
    response: Response
    stored_at: float


class IdempotencyStore:
    """Responses by API key and idempotency key, for 24 hours."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str | None], _Stored] = {}

    def store(self, request: Request, response: Response, now: float) -> None:
        """Store the response; a key that has not expired keeps the time of its first use."""
        key, payload = (request.api_key, request.idempotency_key), (request.path, request.body)
        before = self._unexpired(key, now)
        if before is None:
            self._stored[key] = _Stored(payload, response, now)
        elif before.payload == payload:
            self._stored[key] = before._replace(response=response)

    def replay(self, request: Request, now: float) -> Response | None:
        """Return the stored response of a known key, 409 for another payload, None for a new key."""
        stored = self._unexpired((request.api_key, request.idempotency_key), now)
        if stored is None:
            return None
        if stored.payload != (request.path, request.body):
            message = "This Idempotency-Key was already used with another payload."
            return error_response(409, "conflict", message)
        headers = {**stored.response.headers, "X-Idempotent-Replay": "true"}
        return replace(stored.response, headers=headers)

    def _unexpired(self, key: tuple[str, str | None], now: float) -> _Stored | None:
        stored = self._stored.get(key)
        if stored is None or now - stored.stored_at >= KEY_LIFETIME_S:
            return None
        return stored


class FakeKaspi:
    """Kaspi's API for one merchant; thread-safe.

    `clock` returns Unix seconds and times everything; `seed` makes ids and faults repeatable;
    without a `webhook_url` no webhooks are sent; `strict` refuses requests that Kaspi accepts and
    asks partners to avoid: a create or cancel without an Idempotency-Key, and a body with another
    Content-Type than JSON.
    Options for tests: `disabled_keys` (403), `cancel_is_slow` (a cancel is accepted, and the
    courier's next step cancels), `faults`, and the attributes of `webhooks`.
    """

    def __init__(  # noqa: PLR0913 - options, each with its default
        self,
        *,
        api_key: str = defaults.API_KEY,
        webhook_secret: str = defaults.WEBHOOK_SECRET,
        webhook_url: str | None = None,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        first_retry_s: float = FIRST_RETRY_S,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.api_key = api_key
        self.webhook_url = webhook_url
        self.clock = clock
        self.lock = threading.RLock()
        self.deliveries: dict[str, DeliveryRecord] = {}
        self.requests: list[LoggedRequest] = []
        self.disabled_keys: set[str] = set()
        self.cancel_is_slow = False
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        self.faults = Faults(self._random)
        self.webhooks = WebhookQueue(
            webhook_secret, clock=clock, new_event_id=self._new_event_id, first_retry_s=first_retry_s
        )
        self._idempotency = IdempotencyStore()

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Handle one request; `path` is the request target with its query."""
        request = parse_request(method, path, headers, body)
        with self.lock:
            response = self._respond(request)
            status = DROPPED if response.drop else response.status
            logged = LoggedRequest(request.method, path, request.idempotency_key, body, status)
            self.requests.append(logged)
        line = (request.method, request.path, request.idempotency_key, status or "dropped")
        LOG.info("%s %r key=%r status=%s", *line)
        return response

    def deliveries_for(self, external_order_id: str) -> list[DeliveryRecord]:
        """List every delivery of an order; Kaspi does not guarantee a single one."""
        with self.lock:
            records = list(self.deliveries.values())
        return [record for record in records if record.external_order_id == external_order_id]

    def move(self, delivery_id: str, status: str, at: float | None = None, notes: str = "") -> DeliveryRecord:
        """Set any status and queue its webhook; `at` is Unix seconds."""
        with self.lock:
            record = self.deliveries[delivery_id]
            record.change(status, self.clock() if at is None else at, notes)
            if self.webhook_url:
                self.webhooks.queue(self.webhook_url, f"delivery.{status}", record.to_event())
            return record

    def _respond(self, request: Request) -> Response:
        if request.operation is None:
            return error_response(404, "not_found", "No such endpoint.")
        if request.method != request.allowed_method:
            message = f"Use {request.allowed_method} here."
            return error_response(405, "method_not_allowed", message, {"Allow": request.allowed_method or ""})
        fault = self.faults.next_for(request.operation)
        if fault is None:
            return self._process(request)
        response = fault.replace_response(self._process(request) if fault.is_processed else None)
        if fault.stored and request.idempotency_key:
            self._idempotency.store(request, response, self.clock())
        return fault.add_network_faults(response)

    def _process(self, request: Request) -> Response:
        refused = self._authenticate(request) or self._validate(request)
        if refused:
            return refused
        replayed = request.idempotency_key and self._idempotency.replay(request, self.clock())
        if replayed:
            return replayed
        response = self._operate(request)
        if request.idempotency_key and response.status < 300:  # noqa: PLR2004 - 2xx
            self._idempotency.store(request, response, self.clock())
        return response

    def _authenticate(self, request: Request) -> Response | None:
        if request.api_key in self.disabled_keys:
            return error_response(403, "forbidden", "This API key is disabled.")
        if request.api_key != self.api_key:
            return error_response(401, "unauthorized", "The x-api-key header is missing or wrong.")
        return None

    def _validate(self, request: Request) -> Response | None:
        if request.query_errors:
            return validation_error(request.query_errors)
        return self._validate_strictly(request) if self.strict else None

    def _validate_strictly(self, request: Request) -> Response | None:
        if request.operation in {"create", "cancel"} and not request.idempotency_key:
            message = "Send an Idempotency-Key header with this request."
            return error_response(400, "idempotency_key_required", message)
        if request.body and not request.is_json:
            return error_response(415, "unsupported_media_type", "Send Content-Type: application/json.")
        return None

    def _operate(self, request: Request) -> Response:
        if request.operation == "create":
            return self._create(request)
        if request.operation == "test_webhook":
            return self._test_webhook(request)
        record = self.deliveries.get(request.delivery_id)
        if record is None:
            return Response(404)
        if request.operation == "cancel":
            return self._cancel(request, record)
        return json_response(200, record.to_delivery(include_history=request.include_history))

    def _create(self, request: Request) -> Response:
        body, errors = read_json(request.body, DELIVERY_REQUEST)
        if errors:
            return validation_error(errors)
        return json_response(201, self._book(body).to_created())

    def _book(self, body: dict[str, Any]) -> DeliveryRecord:
        delivery_id = self._new_delivery_id(body["externalOrderId"])
        self.deliveries[delivery_id] = DeliveryRecord(delivery_id, body, self.clock())
        return self.move(delivery_id, "created")

    def _cancel(self, request: Request, record: DeliveryRecord) -> Response:
        options, errors = read_json(request.body or b"{}", CANCEL)
        if errors:
            return validation_error(errors)
        if record.status == "cancelled":
            return error_response(409, "conflict", "The delivery is already cancelled.")
        if record.status not in CANCELLABLE:
            return error_response(409, "conflict", "The delivery is already in transit.")
        reason = options.get("reason", "")
        if self.cancel_is_slow:
            record.pending_cancel = reason
        else:
            self.move(record.delivery_id, "cancelled", notes=reason)
        return json_response(200, record.to_delivery())

    def _test_webhook(self, request: Request) -> Response:
        options, errors = read_webhook_test(request.body)
        if errors:
            return validation_error(errors)
        url, event_type = options.get("url", self.webhook_url), options.get("type", EVENT_TYPES[0])
        if url is None:
            return validation_error(["url: is required, because the sandbox has no webhook URL of its own"])
        data = {
            "deliveryId": "dlv_test",
            "externalOrderId": "test",
            "status": event_type.removeprefix("delivery."),
            "timestamp": rfc3339(self.clock()),
        }
        event_id = self.webhooks.queue(url, event_type, data)
        return json_response(202, {"eventId": event_id, "status": "queued"})

    def _new_delivery_id(self, external_order_id: str) -> str:
        """Return a new id; the order of Kaspi's guide gets the id of the guide."""
        example = defaults.EXAMPLE_DELIVERY_ID
        if external_order_id == defaults.EXAMPLE_ORDER_ID and example not in self.deliveries:
            return example
        return "dlv_" + "".join(self._random.choices(_ID_LETTERS, k=14))

    def _new_event_id(self) -> str:
        return f"wh_{self._random.getrandbits(64):016x}"
