"""Build a request, read an answer: Kaspi's HTTP without any I/O."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from kaspi_delivery_django.client.exceptions import (
    ConfigurationFault,
    Conflict,
    ForeignDelivery,
    InProgress,
    KaspiError,
    NotFound,
    OutcomeUnknown,
    PayloadMismatch,
    RateLimited,
    Refused,
    ServerFault,
    UnusableAnswer,
    UsageError,
)
from kaspi_delivery_django.client.retries import read_retry_after
from kaspi_delivery_django.client.types import (
    DeliveryRequest,
    RemoteDelivery,
    TestWebhook,
    check_reason,
    check_text,
    is_identifier,
    is_word,
    read_text,
)

Operation = Literal["create", "get", "cancel", "test_webhook"]
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_MISMATCH_CODES = {"conflict", "idempotency_conflict", "idempotency_key_reused"}
_CODE = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}[0-9]{0,4}")  # a word: no phone, no key that a gateway echoes
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to Kaspi, the key apart. `body` is sent byte for byte."""

    operation: Operation
    method: Literal["GET", "POST"]
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    external_order_id: str = ""
    delivery_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def dump(document: Mapping[str, Any]) -> str:
    """Return the JSON text that is frozen and sent: compact, UTF-8, keys in their given order."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def digest(payload: str) -> str:
    """Return the SHA-256 of a payload, in hex."""
    return hashlib.sha256(payload.encode()).hexdigest()


def check_header(value: str, name: str) -> str:
    """Return a value that can stand in a header; raise `UsageError` for CR, LF, or nothing."""
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise UsageError(f"{name} must be 1 to 255 printable ASCII characters")
    return value


def create(request: DeliveryRequest, idempotency_key: str) -> Request:
    """Build `POST /v1/deliveries`."""
    if not request.external_order_id:
        raise UsageError("DeliveryRequest.external_order_id must be set")
    return create_from_text(dump(request.to_json()), idempotency_key, request.external_order_id)


def create_from_text(payload: str, idempotency_key: str, external_order_id: str) -> Request:
    """Build `POST /v1/deliveries` from a payload that was frozen before."""
    return Request(
        operation="create",
        method="POST",
        path="/v1/deliveries",
        headers=_write_headers(idempotency_key),
        body=payload.encode(),
        external_order_id=external_order_id,
    )


def get(delivery_id: str, *, include_history: bool = False, external_order_id: str = "") -> Request:
    """Build `GET /v1/deliveries/{deliveryId}`; an answer about another order than this is refused."""
    query = f"?includeHistory={'true' if include_history else 'false'}"
    path = _delivery_path(delivery_id) + query
    return Request(
        operation="get", method="GET", path=path, delivery_id=delivery_id, external_order_id=external_order_id
    )


def cancel(delivery_id: str, reason: str, idempotency_key: str) -> Request:
    """Build `POST /v1/deliveries/{deliveryId}/cancel`. The reason is part of the payload."""
    check_reason(reason)
    return cancel_from_text(delivery_id, cancel_text(reason), idempotency_key)


def cancel_text(reason: str) -> str:
    """Return a cancel's payload; an empty reason is left out."""
    return dump({"reason": reason} if reason else {})


def cancel_from_text(delivery_id: str, payload: str, idempotency_key: str) -> Request:
    """Build the cancel from a payload that was frozen before."""
    return Request(
        operation="cancel",
        method="POST",
        path=_delivery_path(delivery_id) + "/cancel",
        headers=_write_headers(idempotency_key),
        body=payload.encode(),
        delivery_id=delivery_id,
    )


def test_webhook(url: str, event_type: str) -> Request:
    """Build `POST /v1/webhooks/test`."""
    if not is_word(event_type):
        raise UsageError("the event type must be one word such as delivery.created")
    check_text(url, "the URL")
    return Request(
        operation="test_webhook",
        method="POST",
        path="/v1/webhooks/test",
        headers={"Content-Type": "application/json"},
        body=dump({"url": url, "type": event_type}).encode(),
    )


def read_delivery(request: Request, answer: Answer, now: datetime) -> RemoteDelivery:
    """Return the delivery in an answer, or raise the `KaspiError` that says what to do next."""
    _raise_for_status(request, answer, now)
    replayed = _is_replay(answer)
    delivery = RemoteDelivery.from_json(_document(answer), replayed=replayed)
    if not delivery.delivery_id:
        raise UnusableAnswer("a success without a usable deliveryId", status=answer.status)
    order_differs = _differs(request.external_order_id, delivery.external_order_id)
    if order_differs or _differs(request.delivery_id, delivery.delivery_id):
        raise ForeignDelivery("a success that names another order", status=answer.status)
    return delivery


def read_test_webhook(request: Request, answer: Answer, now: datetime) -> TestWebhook:
    """Return the event id that Kaspi gave the test webhook."""
    _raise_for_status(request, answer, now)
    return TestWebhook.from_json(_document(answer))


def _delivery_path(delivery_id: str) -> str:
    if not is_identifier(delivery_id):
        raise UsageError("a delivery id must be 1 to 128 printable ASCII characters")
    return f"/v1/deliveries/{quote(delivery_id, safe='')}"


def _write_headers(idempotency_key: str) -> dict[str, str]:
    key = check_header(idempotency_key, "the idempotency key")
    return {"Content-Type": "application/json", "Idempotency-Key": key}


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as err:
        raise OutcomeUnknown("the body cannot be read", status=answer.status) from err
    if not isinstance(document, dict):
        raise OutcomeUnknown("the body is not an object", status=answer.status)
    return document


def _differs(asked: str, named: str) -> bool:
    return bool(asked and named and asked != named)


def _is_replay(answer: Answer) -> bool:
    return answer.headers.get("x-idempotent-replay", "").strip().lower() == "true"


def _raise_for_status(request: Request, answer: Answer, now: datetime) -> None:
    status = answer.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    code, message = _error_words(answer)
    kind = _kind_of(request.operation, status, code)
    raise kind(
        f"Kaspi answered {request.operation} with an error",
        status=status,
        code=code,
        message=message,
        retry_after_s=read_retry_after(answer.headers.get("retry-after"), now),
        replayed=_is_replay(answer),
    )


def _error_words(answer: Answer) -> tuple[str, str]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    code, message = document.get("code"), document.get("message")
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return str(code) if is_code else "", read_text(message)[:1000]


def _kind_of(operation: Operation, status: int, code: str) -> type[KaspiError]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT:
        return ServerFault
    if status == HTTPStatus.CONFLICT:
        return _conflict_of(operation, code)
    if status == HTTPStatus.NOT_FOUND and operation in {"get", "cancel"}:
        return NotFound
    faults = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED}
    if status in faults or status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.NOT_FOUND:
        return ConfigurationFault
    return Refused


def _conflict_of(operation: Operation, code: str) -> type[KaspiError]:
    if operation != "create":
        return Conflict
    return PayloadMismatch if code in _MISMATCH_CODES or "mismatch" in code else InProgress
