"""Webhooks: sign and verify hex HMAC-SHA256 over `<timestamp>.<raw body>`, and read their events."""

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kaspi_delivery_django.client.exceptions import MalformedEvent, WebhookRejected
from kaspi_delivery_django.client.types import MAX_INT, RemoteEvent, is_identifier, is_word, read_time

TOLERANCE_S = 300
_TIMESTAMP = re.compile(r"[0-9]{10}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the lower-case hex signature of a body at a timestamp (Unix seconds, as text)."""
    return _mac(secret, timestamp.encode() + b"." + body).hex()


def check_form(timestamp: str, signature: str) -> None:
    """Raise `WebhookRejected` unless both headers have exactly the form Kaspi sends."""
    if not _TIMESTAMP.fullmatch(timestamp):
        raise WebhookRejected("timestamp is not ten digits" if timestamp else "no timestamp")
    if not _SIGNATURE.fullmatch(signature):
        raise WebhookRejected("signature is not 64 hex digits" if signature else "no signature")


def verify(body: bytes, *, timestamp: str, signature: str, secrets: Sequence[str], now: float) -> None:
    """Return when the body is signed with one of the secrets within ±300 s of `now`.

    `now` is in Unix seconds. Raises `WebhookRejected` otherwise. Every secret is tried in constant
    time, without an early exit.
    """
    check_form(timestamp, signature)
    if abs(int(timestamp) - int(now)) > TOLERANCE_S:
        raise WebhookRejected("timestamp is more than 300 s away from our clock")
    given = bytes.fromhex(signature)
    message = timestamp.encode() + b"." + body
    if not _any_matches(given, message, secrets):
        if _any_matches(given, body, secrets):
            raise WebhookRejected("signed over the body alone, without the timestamp")
        raise WebhookRejected("signature does not match")


def _mac(secret: str, message: bytes) -> bytes:
    return hmac.digest(secret.encode(), message, hashlib.sha256)


def _any_matches(given: bytes, message: bytes, secrets: Sequence[str]) -> bool:
    matches = [hmac.compare_digest(_mac(secret, message), given) for secret in secrets]
    return any(matches)


MAX_DEPTH = 32
DELIVERY_PREFIX = "delivery."
_ESCAPED = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]|[^"\[\]{}]+', re.DOTALL)


def read_event(body: bytes) -> RemoteEvent:
    """Return the event in a webhook's raw body.

    Raises `MalformedEvent` only when the body is not JSON in UTF-8 without a BOM, not an object, or has no
    usable eventId. Other missing or unusable fields read as absent; `problem` is the reason why such an event
    cannot be applied.
    """
    document = _Document(_decode(body))
    raw = document.raw
    data = raw["data"] if isinstance(raw.get("data"), dict) else {}
    event_type, status = raw.get("type"), data.get("status")
    return RemoteEvent(
        event_id=document.event_id(),
        type=str(event_type) if is_word(event_type) else "",
        attempt=_attempt(raw.get("attempt", 1)),
        delivery_id=_identifier(data.get("deliveryId")),
        external_order_id=_identifier(data.get("externalOrderId")),
        status=str(status) if is_word(status) else "",
        occurred_at=read_time(data.get("timestamp")),
        problem=document.problem or _problem(raw),
        raw=raw,
    )


def ascii_text(body: bytes) -> str:
    """Return a JSON body as ASCII: the same document, which a column of any character set can hold."""
    return "".join(sign if sign.isascii() else json.dumps(sign)[1:-1] for sign in body.decode())


def readable_text(text: str) -> str:
    """Return a JSON text with its letters as people read them; escapes that JSON needs, or that show nothing, stay."""
    return _ESCAPED.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    letters = found[0]
    if letters.startswith("\\u"):
        read = str(json.loads(f'"{letters}"'))
        return read if read.isprintable() and not read.isascii() else letters
    return letters


def _problem(raw: Mapping[str, Any]) -> str:
    """Return why the event cannot be applied; an event of another family has no problem."""
    if not is_word(raw.get("type")):
        return "the type is missing or unusable"
    if not raw["type"].startswith(DELIVERY_PREFIX):
        return ""
    data = raw.get("data")
    return _problem_of_data(data) if isinstance(data, dict) else "data is missing or no object"


def _problem_of_data(data: Mapping[str, Any]) -> str:
    order, status = data.get("externalOrderId"), data.get("status")
    if not _identifier(data.get("deliveryId")):
        return "data.deliveryId is missing or unusable"
    if order is not None and not _identifier(order):
        return "data.externalOrderId is unusable"
    return "" if status is None or is_word(status) else "data.status is unusable"


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise MalformedEvent("body is not UTF-8") from err


class _Document:
    """A parsed body: at most MAX_DEPTH containers deep, with the reason why it is ambiguous or cut."""

    def __init__(self, text: str) -> None:
        self.problem = ""
        self._twice: set[str] = set()
        self.raw = self._object(text)
        if not self._is_shallow():
            self.raw = self._object(_cut(text))
            self.problem = f"nested deeper than {MAX_DEPTH}"

    def event_id(self) -> str:
        """Return the id. Raises `MalformedEvent` when there is no usable one, or more than one."""
        event_id = self.raw.get("eventId")
        if "eventId" in self._twice:
            raise MalformedEvent("eventId stands twice")
        if not (_identifier(event_id) or event_id in (".", "..")):
            raise MalformedEvent("eventId is missing or unusable")
        return str(event_id)

    def _object(self, text: str) -> dict[str, Any]:
        try:
            raw = json.loads(
                text,
                object_pairs_hook=self._pairs,
                parse_constant=_refuse,
                parse_float=_read_float,
                parse_int=_read_int,
            )
        except RecursionError:
            self.problem = f"nested deeper than {MAX_DEPTH}"
            return self._object(_cut(text))
        except ValueError as err:
            raise MalformedEvent("body is not strict JSON") from err
        if not isinstance(raw, dict):
            raise MalformedEvent("body must be an object")
        return raw

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Build an object, and remember the keys that stand twice in it: the outermost one comes last."""
        found = dict(pairs)
        counts = Counter(key for key, _value in pairs) if len(found) != len(pairs) else {}
        self._twice = {key for key, count in counts.items() if count > 1}
        if self._twice:
            self.problem = "a key stands twice"
        return found

    def _is_shallow(self) -> bool:
        level: list[Any] = [self.raw]
        for _ in range(MAX_DEPTH):
            level = [child for parent in level for child in _children(parent)]
        return not any(isinstance(node, dict | list) for node in level)


def _cut(text: str) -> str:
    """Replace what is nested too deep with null, so that the rest can be parsed."""
    depth, kept = 0, list[str]()
    for part in _TOKEN.findall(text):
        depth += part in "[{"
        if depth <= MAX_DEPTH:
            kept.append(part)
        elif depth == MAX_DEPTH + 1 and part in "[{":
            kept.append("null")
        depth -= part in "]}"
    return "".join(kept)


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _refuse(constant: str) -> None:
    raise MalformedEvent(f"{constant} is not JSON")


def _read_float(text: str) -> float | str:
    """Read a number; one that is out of range stays a text."""
    number = float(text)
    return text if number in {float("inf"), float("-inf")} else number


def _read_int(text: str) -> int | str:
    """Read a number; one with more digits than Python converts stays a text."""
    try:
        return int(text)
    except ValueError:
        return text


def _identifier(value: Any) -> str:
    """Return a usable id, a number's digits too; empty for anything else."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return str(text) if is_identifier(text) else ""


def _attempt(value: Any) -> int:
    """Return the attempt's number within what a column holds; 1 when it is none."""
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
    number = _read_int(value) if is_digits else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return 1
    return int(min(max(number, 0), MAX_INT))
