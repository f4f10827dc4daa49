"""Build requests and read answers of Kaspi's API. No I/O."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from kaspi_delivery_django.client import exceptions
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

API_VERSION = "1.0.0"  # of Kaspi's OpenAPI description: this module speaks it, another version is another module
API_PATH = "/v1"
REQUEST_ID = "X-Request-Id"
MAX_ANNOUNCEMENT = 500
LONGEST_RETRY_AFTER_S = 3600.0
SHORTEST_RETRY_AFTER_S = 1.0
Operation = Literal["create", "get", "cancel", "test_webhook"]
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_MISMATCH_CODES = {"conflict", "idempotency_conflict", "idempotency_key_reused"}
_CODE = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}[0-9]{0,4}")  # a word: no phone, no key that a gateway echoes
_ADDRESS = "no such address at Kaspi: correct BASE_URL"
_SUNSET = "Kaspi no longer serves this version of its API: upgrade kaspi-delivery-django"
_EXPLAINED: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: _ADDRESS,
    HTTPStatus.METHOD_NOT_ALLOWED: _ADDRESS,
    HTTPStatus.GONE: _SUNSET,
    HTTPStatus.UPGRADE_REQUIRED: _SUNSET,
}
_ASKED_FOR: Mapping[Operation, str] = {
    "create": "the booking",
    "get": "the status request",
    "cancel": "the cancellation",
    "test_webhook": "the request of a test webhook",
}
_ANNOUNCING = ("Deprecation", "Sunset", "Warning", "Link")
# Possessive, and up to the next "=": the time that it takes grows with the header, not with its square.
_LINK = re.compile(
    r"""rel\s*+=\s*+"?[^",;=]*?\b(deprecation|sunset|successor-version|latest-version)\b""", re.IGNORECASE
)
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
    """One HTTP answer; header names are lower-case. `request_id` names the exchange to Kaspi's support."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    request_id: str = field(default="", compare=False)


def dump(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return the JSON text that is sent: compact, UTF-8, keys in their given order.

    With `ascii_only` other letters are escaped, so that a table of any character set holds the text.
    """
    return json.dumps(document, ensure_ascii=ascii_only, separators=(",", ":"))


def check_header(value: str, name: str) -> str:
    """Return a value that can stand in a header; raise `UsageError` for CR, LF, or nothing."""
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise exceptions.UsageError(f"{name} must be 1 to 255 printable ASCII characters")
    return value


def create(request: DeliveryRequest, idempotency_key: str) -> Request:
    """Build `POST /v1/deliveries`."""
    if not request.external_order_id:
        raise exceptions.UsageError("DeliveryRequest.external_order_id must be set")
    return create_from_text(dump(request.to_json()), idempotency_key, request.external_order_id)


def create_from_text(payload: str, idempotency_key: str, external_order_id: str) -> Request:
    """Build `POST /v1/deliveries` from a payload that was frozen before."""
    return Request(
        operation="create",
        method="POST",
        path=f"{API_PATH}/deliveries",
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


def cancel_text(reason: str, *, ascii_only: bool = False) -> str:
    """Return a cancel's payload; an empty reason is left out."""
    return dump({"reason": reason} if reason else {}, ascii_only=ascii_only)


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
        raise exceptions.UsageError("the event type must be one word such as delivery.created")
    check_text(url, "the URL")
    return Request(
        operation="test_webhook",
        method="POST",
        path=f"{API_PATH}/webhooks/test",
        headers={"Content-Type": "application/json"},
        body=dump({"url": url, "type": event_type}).encode(),
    )


def read_delivery(request: Request, answer: Answer, now: datetime) -> RemoteDelivery:
    """Return the delivery in an answer, or raise the `KaspiError` for it."""
    with _identified_errors(answer):
        delivery = _read_delivery(request, answer, now)
    return replace(delivery, request_id=answer.request_id, announcement=announcement(answer.headers))


@contextmanager
def _identified_errors(answer: Answer) -> Iterator[None]:
    """Add the request's id, and what the answer announces, to an error that the answer means."""
    try:
        yield
    except exceptions.KaspiError as err:
        err.request_id, err.announcement = answer.request_id, announcement(answer.headers)
        raise


def announcement(headers: Mapping[str, str]) -> str:
    """Return what Kaspi announces of the API in its headers, such as the day of a sunset; empty for nothing."""
    found = {name: read_text(headers.get(name.lower())).strip() for name in _ANNOUNCING}
    if not _LINK.search(found["Link"]):
        found.pop("Link")
    text = "; ".join(f"{name}: {value}" for name, value in found.items() if value)
    return "".join(sign if " " <= sign <= "~" else " " for sign in text)[:MAX_ANNOUNCEMENT]


def request_id_of(headers: Mapping[str, str], sent: str) -> str:
    """Return the id by which Kaspi knows the exchange: its own if it names one, else the one that was sent."""
    named = headers.get(REQUEST_ID.lower(), "")
    return named if is_identifier(named) else sent


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for, clamped to 1 s … 1 h; None for garbage.

    Both forms of RFC 9110 are read: whole seconds and an HTTP date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return _clamped(float(text[:9]))
    date = read_date(text)
    return None if date is None else seconds_until(date, now)


def seconds_until(at: datetime, now: datetime) -> float:
    """Return the seconds to wait until a moment that Kaspi named, clamped to 1 s … 1 h."""
    return _clamped((at - now).total_seconds())


def read_date(value: str | None) -> datetime | None:
    """Return the moment that an HTTP date names, aware; None for anything else."""
    try:
        date = parsedate_to_datetime(value or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _clamped(seconds: float) -> float:
    return min(LONGEST_RETRY_AFTER_S, max(SHORTEST_RETRY_AFTER_S, seconds))


def _read_delivery(request: Request, answer: Answer, now: datetime) -> RemoteDelivery:
    _raise_for_status(request, answer, now)
    replayed = _is_replay(answer)
    delivery = RemoteDelivery.from_json(_document(answer), replayed=replayed)
    if not delivery.delivery_id:
        raise exceptions.UnusableAnswer("a success without a usable deliveryId", status=answer.status)
    order_differs = _differs(request.external_order_id, delivery.external_order_id)
    if order_differs or _differs(request.delivery_id, delivery.delivery_id):
        raise exceptions.ForeignDelivery("a success that names another order", status=answer.status)
    return delivery


def read_test_webhook(request: Request, answer: Answer, now: datetime) -> TestWebhook:
    """Return the event id that Kaspi gave the test webhook, or raise the `KaspiError` for the answer."""
    with _identified_errors(answer):
        _raise_for_status(request, answer, now)
        return TestWebhook.from_json(_document(answer))


def _delivery_path(delivery_id: str) -> str:
    if not is_identifier(delivery_id):
        raise exceptions.UsageError("a delivery id must be 1 to 128 printable ASCII characters")
    return f"{API_PATH}/deliveries/{quote(delivery_id, safe='')}"


def _write_headers(idempotency_key: str) -> dict[str, str]:
    key = check_header(idempotency_key, "the idempotency key")
    return {"Content-Type": "application/json", "Idempotency-Key": key}


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as err:
        raise exceptions.OutcomeUnknown("the body cannot be read", status=answer.status) from err
    if not isinstance(document, dict):
        raise exceptions.OutcomeUnknown("the body is not an object", status=answer.status)
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
    kind, wait = _kind_of(request.operation, status, code), answer.headers.get("retry-after")
    explained = _EXPLAINED.get(status, "") if kind is exceptions.ConfigurationFault else ""
    error = kind(
        f"Kaspi answered {_ASKED_FOR[request.operation]} with an error" + (explained and f", {explained}"),
        status=status,
        code=code,
        message=message,
        retry_after_s=read_retry_after(wait, now),
        replayed=_is_replay(answer),
    )
    error.retry_at = read_date(wait)
    raise error


def _error_words(answer: Answer) -> tuple[str, str]:
    try:
        document = _document(answer)
    except exceptions.OutcomeUnknown:
        return "", ""
    code, message = document.get("code"), document.get("message")
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return str(code) if is_code else "", read_text(message)[:1000]


def _kind_of(operation: Operation, status: int, code: str) -> type[exceptions.KaspiError]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return exceptions.RateLimited
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT:
        return exceptions.ServerFault
    if status == HTTPStatus.CONFLICT:
        return _conflict_of(operation, code)
    if status == HTTPStatus.NOT_FOUND and operation in {"get", "cancel"}:
        return exceptions.NotFound
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, *_EXPLAINED} or status < HTTPStatus.BAD_REQUEST:
        return exceptions.ConfigurationFault
    return exceptions.Refused


def _conflict_of(operation: Operation, code: str) -> type[exceptions.KaspiError]:
    if operation != "create":
        return exceptions.Conflict
    return exceptions.PayloadMismatch if code in _MISMATCH_CODES or "mismatch" in code else exceptions.InProgress
