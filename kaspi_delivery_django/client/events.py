"""Read a webhook's body: strictly, because it changes what customers see."""

import json
from typing import Any

from kaspi_delivery_django.client.exceptions import MalformedEvent
from kaspi_delivery_django.client.types import MAX_INT, RemoteEvent, is_identifier, is_word, read_time

MAX_DEPTH = 32
DELIVERY_PREFIX = "delivery."


def read_event(body: bytes) -> RemoteEvent:
    """Return the event in a webhook's raw body.

    Raises `MalformedEvent` unless the body is UTF-8 without BOM, a JSON object without duplicate
    keys, NaN or Infinity, at most 32 deep, with a usable eventId and type; and, for a `delivery.`
    type, with a usable deliveryId, externalOrderId and status.
    """
    raw = _strict_object(body)
    data = raw["data"] if isinstance(raw.get("data"), dict) else {}
    event = RemoteEvent(
        event_id=_required(raw, "eventId", is_identifier),
        type=_required(raw, "type", is_word),
        attempt=_attempt(raw.get("attempt", 1)),
        delivery_id=_optional(data, "deliveryId", is_identifier),
        external_order_id=_optional(data, "externalOrderId", is_identifier),
        status=_optional(data, "status", is_word),
        occurred_at=read_time(data.get("timestamp")),
        raw=raw,
    )
    if event.type.startswith(DELIVERY_PREFIX):
        _require_delivery(event)
    return event


def _require_delivery(event: RemoteEvent) -> None:
    if not (event.delivery_id and event.external_order_id and event.status):
        raise MalformedEvent("data needs a usable deliveryId, externalOrderId and status")


def _strict_object(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
        raw = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError as err:
        raise MalformedEvent("body is not UTF-8") from err
    except RecursionError as err:
        raise MalformedEvent(f"nested deeper than {MAX_DEPTH}") from err
    except ValueError as err:
        raise MalformedEvent("body is not strict JSON") from err
    if not isinstance(raw, dict):
        raise MalformedEvent("body must be an object")
    _check_depth(raw)
    return raw


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedEvent("a key stands twice")
    return found


def _refuse(constant: str) -> None:
    raise MalformedEvent(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise MalformedEvent("a number is out of range")
    return number


def _check_depth(raw: dict[str, Any]) -> None:
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    if any(isinstance(node, dict | list) for node in level):
        raise MalformedEvent(f"nested deeper than {MAX_DEPTH}")


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _required(raw: dict[str, Any], key: str, accepts: Any) -> str:
    value = raw.get(key)
    if not accepts(value):
        raise MalformedEvent(f"{key} is missing or unusable")
    return str(value)


def _optional(raw: dict[str, Any], key: str, accepts: Any) -> str:
    value = raw.get(key)
    return str(value) if accepts(value) else ""


def _attempt(value: Any) -> int:
    usable = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_INT
    if not usable:
        raise MalformedEvent("attempt must be a whole number from 1")
    return int(value)
