"""Kaspi's side of the API, in memory: deliveries, keys, replays, and no sockets."""

import logging
import random
import string
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kaspi_delivery_django.sandbox import schema, wellknown
from kaspi_delivery_django.sandbox.answers import Answer, invalid, json_answer, refusal
from kaspi_delivery_django.sandbox.calls import Call, read_call
from kaspi_delivery_django.sandbox.deliveries import CANCELLABLE, DeliveryRecord, rfc3339
from kaspi_delivery_django.sandbox.faults import Faults
from kaspi_delivery_django.sandbox.idempotency import IdempotencyStore
from kaspi_delivery_django.sandbox.webhooks import FIRST_RETRY_S, Mailbox

LOG = logging.getLogger(__name__)
DROPPED = 0
_ID_LETTERS = string.ascii_lowercase + string.digits


class LoggedRequest(NamedTuple):
    """One request as it came in; status 0 when the connection was dropped on purpose."""

    method: str
    path: str
    idempotency_key: str | None
    body: bytes
    status: int


class World:
    """A Kaspi of one merchant, safe to share between threads.

    `clock` gives Unix seconds and rules everything that takes time; `seed` makes ids and dice
    repeatable; without a `webhook_url` status changes are not announced; `strict` refuses
    what Kaspi accepts and asks partners to avoid: a create or cancel without an Idempotency-Key,
    and a body under another Content-Type than JSON.
    Switches: `disabled_keys` (answered 403), `cancel_is_slow` (a cancel is accepted, and the
    courier's next step carries it out), `faults`, and those of the `mailbox`.
    """

    def __init__(  # noqa: PLR0913 - options, each with its default
        self,
        *,
        api_key: str = wellknown.API_KEY,
        webhook_secret: str = wellknown.WEBHOOK_SECRET,
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
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and nothing hangs on it
        self.faults = Faults(self._random)
        self.mailbox = Mailbox(
            webhook_secret, clock=clock, new_event_id=self._new_event_id, first_retry_s=first_retry_s
        )
        self._idempotency = IdempotencyStore()

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; `path` is the request target with its query."""
        call = read_call(method, path, headers, body)
        with self.lock:
            answer = self._answer(call)
            status = DROPPED if answer.drop else answer.status
            logged = LoggedRequest(call.method, path, call.idempotency_key, body, status)
            self.requests.append(logged)
        line = (call.method, call.path, call.idempotency_key, status or "dropped")
        LOG.info("%s %r key=%r status=%s", *line)
        return answer

    def deliveries_for(self, external_order_id: str) -> list[DeliveryRecord]:
        """List every delivery booked for an order: Kaspi does not promise that it is one."""
        with self.lock:
            records = list(self.deliveries.values())
        return [record for record in records if record.external_order_id == external_order_id]

    def move(self, delivery_id: str, status: str, at: float | None = None, notes: str = "") -> DeliveryRecord:
        """Change a status, any to any, and queue the webhook about it; `at` is Unix seconds."""
        with self.lock:
            record = self.deliveries[delivery_id]
            record.change(status, self.clock() if at is None else at, notes)
            if self.webhook_url:
                self.mailbox.queue(self.webhook_url, f"delivery.{status}", record.to_event())
            return record

    def _answer(self, call: Call) -> Answer:
        if call.operation is None:
            return refusal(404, "not_found", "No such endpoint.")
        if call.method != call.allowed_method:
            message = f"Use {call.allowed_method} here."
            return refusal(405, "method_not_allowed", message, {"Allow": call.allowed_method or ""})
        fault = self.faults.take(call.operation)
        if fault is None:
            return self._true_answer(call)
        answer = fault.disguise(self._true_answer(call) if fault.takes_place else None)
        if fault.stored and call.idempotency_key:
            self._idempotency.keep(call, answer, self.clock())
        return fault.send(answer)

    def _true_answer(self, call: Call) -> Answer:
        refused = self._refuse_caller(call) or self._refuse_form(call)
        if refused:
            return refused
        replayed = call.idempotency_key and self._idempotency.recall(call, self.clock())
        if replayed:
            return replayed
        answer = self._operate(call)
        if call.idempotency_key and answer.status < 300:  # noqa: PLR2004 - 2xx
            self._idempotency.keep(call, answer, self.clock())
        return answer

    def _refuse_caller(self, call: Call) -> Answer | None:
        if call.api_key in self.disabled_keys:
            return refusal(403, "forbidden", "This API key is disabled.")
        if call.api_key != self.api_key:
            return refusal(401, "unauthorized", "The x-api-key header is missing or wrong.")
        return None

    def _refuse_form(self, call: Call) -> Answer | None:
        if call.query_faults:
            return invalid(call.query_faults)
        return self._refuse_carelessness(call) if self.strict else None

    def _refuse_carelessness(self, call: Call) -> Answer | None:
        if call.operation in {"create", "cancel"} and not call.idempotency_key:
            message = "Send an Idempotency-Key header with this request."
            return refusal(400, "idempotency_key_required", message)
        if call.body and not call.is_json:
            return refusal(415, "unsupported_media_type", "Send Content-Type: application/json.")
        return None

    def _operate(self, call: Call) -> Answer:
        if call.operation == "create":
            return self._create(call)
        if call.operation == "test_webhook":
            return self._test_webhook(call)
        record = self.deliveries.get(call.delivery_id)
        if record is None:
            return Answer(404)
        if call.operation == "cancel":
            return self._cancel(call, record)
        return json_answer(200, record.to_delivery(include_history=call.include_history))

    def _create(self, call: Call) -> Answer:
        request, wrong = schema.read(call.body, schema.DELIVERY_REQUEST)
        if wrong:
            return invalid(wrong)
        return json_answer(201, self._book(request).to_created())

    def _book(self, request: dict[str, Any]) -> DeliveryRecord:
        delivery_id = self._new_delivery_id(request["externalOrderId"])
        self.deliveries[delivery_id] = DeliveryRecord(delivery_id, request, self.clock())
        return self.move(delivery_id, "created")

    def _cancel(self, call: Call, record: DeliveryRecord) -> Answer:
        options, wrong = schema.read(call.body or b"{}", schema.CANCEL)
        if wrong:
            return invalid(wrong)
        if record.status == "cancelled":
            return refusal(409, "conflict", "The delivery is already cancelled.")
        if record.status not in CANCELLABLE:
            return refusal(409, "conflict", "The delivery is already in transit.")
        reason = options.get("reason", "")
        if self.cancel_is_slow:
            record.pending_cancel = reason
        else:
            self.move(record.delivery_id, "cancelled", notes=reason)
        return json_answer(200, record.to_delivery())

    def _test_webhook(self, call: Call) -> Answer:
        wanted, wrong = schema.read_webhook_test(call.body)
        if wrong:
            return invalid(wrong)
        url, event_type = wanted.get("url", self.webhook_url), wanted.get("type", schema.EVENT_TYPES[0])
        if url is None:
            return invalid(["url: is required, because the sandbox has no webhook URL of its own"])
        data = {
            "deliveryId": "dlv_test",
            "externalOrderId": "test",
            "status": event_type.removeprefix("delivery."),
            "timestamp": rfc3339(self.clock()),
        }
        event_id = self.mailbox.queue(url, event_type, data)
        return json_answer(202, {"eventId": event_id, "status": "queued"})

    def _new_delivery_id(self, external_order_id: str) -> str:
        """Return a new id; the order of Kaspi's guide gets the id that the guide goes on with."""
        example = wellknown.EXAMPLE_DELIVERY_ID
        if external_order_id == wellknown.EXAMPLE_ORDER_ID and example not in self.deliveries:
            return example
        return "dlv_" + "".join(self._random.choices(_ID_LETTERS, k=14))

    def _new_event_id(self) -> str:
        return f"wh_{self._random.getrandbits(64):016x}"
