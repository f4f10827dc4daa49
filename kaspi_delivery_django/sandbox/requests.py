"""Read and validate requests: the HTTP body, the operation, and the JSON document of Kaspi's OpenAPI description."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from io import BufferedIOBase
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from kaspi_delivery_django.sandbox.deliveries import STATUSES
from kaspi_delivery_django.sandbox.responses import Response, error_response

OPERATIONS = ("create", "get", "cancel", "test_webhook")
EVENT_TYPES = tuple(f"delivery.{status}" for status in STATUSES)
MAX_BODY = 10 * 1024 * 1024
MAX_DISCARDED = 8 * MAX_BODY
MAX_DEPTH = 64

# A schema maps field names to the allowed JSON type or types, or to another schema.
# A trailing "?" marks an optional field; fields that the schema does not name are allowed.
Schema = Mapping[str, Any]

LOCATION: Schema = {"address": str, "contact": {"name": str, "phone": str}, "notes?": str}
DELIVERY_REQUEST: Schema = {
    "externalOrderId": str,
    "pickup": LOCATION,
    "dropoff": LOCATION,
    "parcel": {"description": str, "weightGrams": int, "valueKzt": int},
}
CANCEL: Schema = {"reason?": str}
WEBHOOK_TEST: Schema = {"url?": str, "type?": str}

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_BOOLEANS = {"true": True, "false": False}
_ROUTES = (
    ("create", "POST", re.compile(r"/v1/deliveries")),
    ("get", "GET", re.compile(r"/v1/deliveries/([^/]+)")),
    ("cancel", "POST", re.compile(r"/v1/deliveries/([^/]+)/cancel")),
    ("test_webhook", "POST", re.compile(r"/v1/webhooks/test")),
)
_BLOCK_SIZE = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 4096
_TYPE_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; `operation` is None for a path that the API does not have."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, list[str]]
    operation: str | None = None
    allowed_method: str | None = None
    delivery_id: str = ""

    @property
    def api_key(self) -> str:
        return self.headers.get("x-api-key", "")

    @property
    def idempotency_key(self) -> str | None:
        """The key of a POST; the header is ignored on a GET."""
        return (self.method == "POST" and self.headers.get("idempotency-key")) or None

    @property
    def include_history(self) -> bool:
        return _BOOLEANS.get(self.query.get("includeHistory", ["false"])[-1], False)

    @property
    def query_errors(self) -> list[str]:
        """List the errors in the operation's query parameters."""
        values = self.query.get("includeHistory", []) if self.operation == "get" else []
        is_wrong = any(value not in _BOOLEANS for value in values)
        return ["includeHistory: must be true or false"] if is_wrong else []

    @property
    def is_json(self) -> bool:
        media_type = self.headers.get("content-type", "").partition(";")[0]
        return media_type.strip().lower() == "application/json"


def parse_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Find the operation of a request target, served as /v1/… and as /delivery/v1/…."""
    path, _, query = _without_origin(target.partition("#")[0]).partition("?")
    path = path.removeprefix("/delivery")
    operation, allowed_method, delivery_id = _route(path)
    return Request(
        method=method,
        path=path,
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        query=parse_qs(query, keep_blank_values=True),
        operation=operation,
        allowed_method=allowed_method,
        delivery_id=delivery_id,
    )


def _route(path: str) -> tuple[str | None, str | None, str]:
    for operation, method, pattern in _ROUTES:
        if match := pattern.fullmatch(path):
            return operation, method, unquote(match[1]) if pattern.groups else ""
    return None, None, ""


def _without_origin(target: str) -> str:
    """Return the path of a request target, which a proxy's client sends as a whole URL."""
    origin = _ORIGIN.match(target)
    return target[origin.end() :] if origin else target


def read_body(headers: Message, stream: BufferedIOBase) -> bytes | Response:
    """Read the body as the headers announce it; return an error response if it cannot be read.

    The caller closes the connection after an error: the rest of the stream is unread.
    """
    lengths = {length.strip() for length in headers.get_all("Content-Length", [])}
    codings = [coding.strip().lower() for coding in headers.get_all("Transfer-Encoding", [])]
    if codings:
        is_clear = codings == ["chunked"] and not lengths
        return _read_chunks(stream) if is_clear else _bad_body("Send a Content-Length, or Transfer-Encoding: chunked.")
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        return _bad_body("Content-Length must be one whole number.")
    return _read_exactly(stream, int(next(iter(lengths), "0")))


def _read_exactly(stream: BufferedIOBase, length: int) -> bytes | Response:
    if length > MAX_BODY:
        _discard(stream, min(length, MAX_DISCARDED))
        return _too_large()
    body = stream.read(length)
    return body if len(body) == length else _bad_body("The body ended before its Content-Length.")


def _read_chunks(stream: BufferedIOBase) -> bytes | Response:
    body = b""
    while chunk := _CHUNK.fullmatch(stream.readline(_MAX_LINE)):
        size = int(chunk[1], 16)
        if size == 0:
            _skip_trailers(stream)
            return body
        if len(body) + size > MAX_BODY:
            _discard(stream, MAX_DISCARDED)
            return _too_large()
        body += stream.read(size)
        if stream.readline(_MAX_LINE).strip(b"\r\n"):
            break
    return _bad_body("The chunks of the body cannot be read.")


def _skip_trailers(stream: BufferedIOBase) -> None:
    while stream.readline(_MAX_LINE).strip():
        pass


def _discard(stream: BufferedIOBase, length: int) -> None:
    """Read and drop the rest of a body: a client that is still sending would get a reset, not the response."""
    while length > 0 and (block := stream.read(min(length, _BLOCK_SIZE))):
        length -= len(block)


def _too_large() -> Response:
    return error_response(413, "too_large", "Send a body of 10 MiB at most.")


def _bad_body(message: str) -> Response:
    return error_response(400, "bad_request", message)


def read_json(body: bytes, schema: Schema, *, closed: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Parse a body; return it with its errors, which name the field and never its value."""
    value, errors = parse_json(body)
    errors = errors or schema_errors(value, schema, closed=closed)
    return ({}, errors) if errors else (value, [])


def read_webhook_test(body: bytes) -> tuple[dict[str, Any], list[str]]:
    """Parse the body of a webhook test, whose `url` and `type` are narrower than strings."""
    value, errors = read_json(body, WEBHOOK_TEST)
    if errors:
        return value, errors
    if "url" in value and not _is_http_url(value["url"]):
        errors.append("url: must be an http or https URL")
    if value.get("type", EVENT_TYPES[0]) not in EVENT_TYPES:
        errors.append("type: must be one of " + ", ".join(EVENT_TYPES))
    return value, errors


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """Parse JSON that can be encoded again as UTF-8; return None with the errors if it cannot.

    1200.0 and 1.2e3 are the integer 1200, as in JSON Schema. NaN, Infinity and 1e999 are refused.
    """
    try:
        value = json.loads(body.decode(), parse_float=_parse_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None, ["body: must be JSON in UTF-8"]
    errors = _encoding_errors(value)
    return (None, errors) if errors else (value, [])


def schema_errors(value: object, schema: Schema, path: str = "", *, closed: bool = False) -> list[str]:
    """List how a parsed value violates the schema; a closed schema refuses unknown fields."""
    if not isinstance(value, dict):
        return [f"{path or 'body'}: must be an object"]
    known = {name.removesuffix("?") for name in schema}
    errors = [f"{key}: is unknown" for key in sorted(set(value) - known)] if closed else []
    for name, expected in schema.items():
        key = name.removesuffix("?")
        if key in value:
            errors += _field_errors(value[key], expected, f"{path}.{key}".lstrip("."))
        elif key == name:
            errors.append(f"{path}.{key}: is required".lstrip("."))
    return errors


def _field_errors(value: object, expected: Any, path: str) -> list[str]:
    if isinstance(expected, Mapping):
        return schema_errors(value, expected, path)
    allowed = expected if isinstance(expected, tuple) else (expected,)
    kind = type(value)  # isinstance() would accept True as an integer
    if kind in allowed or (kind is int and float in allowed):
        return []
    return [f"{path}: must be " + " or ".join(_TYPE_NAMES.get(each, "null") for each in allowed)]


def _parse_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("the number is out of range")
    return int(number) if number.is_integer() else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encoding_errors(value: object) -> list[str]:
    """List what the response that repeats this value could not encode."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one)]
    if level:
        return [f"body: must not be nested deeper than {MAX_DEPTH} levels"]
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return ["body: must not contain lone surrogates"]
    return []


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
