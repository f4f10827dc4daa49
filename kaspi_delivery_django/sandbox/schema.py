"""What a request body must look like, as Kaspi's OpenAPI description has it."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

STATUSES = ("created", "accepted", "in_transit", "out_for_delivery", "delivered", "cancelled")
EVENT_TYPES = tuple(f"delivery.{status}" for status in STATUSES)

# A shape maps field names to a type or types JSON may bring, or to another shape.
# A trailing "?" marks an optional field; fields a shape does not name are welcome.
Shape = Mapping[str, Any]

LOCATION: Shape = {"address": str, "contact": {"name": str, "phone": str}, "notes?": str}
DELIVERY_REQUEST: Shape = {
    "externalOrderId": str,
    "pickup": LOCATION,
    "dropoff": LOCATION,
    "parcel": {"description": str, "weightGrams": int, "valueKzt": int},
}
CANCEL: Shape = {"reason?": str}
WEBHOOK_TEST: Shape = {"url?": str, "type?": str}

MAX_DEPTH = 64
_TYPE_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def read(body: bytes, shape: Shape, *, closed: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Parse a body; return it with its faults, which name the field and never its value."""
    value, wrong = parse(body)
    wrong = wrong or faults(value, shape, closed=closed)
    return ({}, wrong) if wrong else (value, [])


def parse(body: bytes) -> tuple[Any, list[str]]:
    """Parse JSON that can be written again as UTF-8; return None with its faults if it cannot.

    1200.0 and 1.2e3 are the integer 1200, as in JSON Schema. NaN, Infinity and 1e999 are refused.
    """
    try:
        value = json.loads(body.decode(), parse_float=_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None, ["body: must be JSON in UTF-8"]
    wrong = _unwritable(value)
    return (None, wrong) if wrong else (value, [])


def read_webhook_test(body: bytes) -> tuple[dict[str, Any], list[str]]:
    """Parse the body of a webhook test, whose url and type are narrower than strings."""
    value, wrong = read(body, WEBHOOK_TEST)
    if wrong:
        return value, wrong
    if "url" in value and not _is_http_url(value["url"]):
        wrong.append("url: must be an http or https URL")
    if value.get("type", EVENT_TYPES[0]) not in EVENT_TYPES:
        wrong.append("type: must be one of " + ", ".join(EVENT_TYPES))
    return value, wrong


def faults(value: object, shape: Shape, path: str = "", *, closed: bool = False) -> list[str]:
    """List what keeps a parsed value from fitting; a closed shape refuses unknown fields."""
    if not isinstance(value, dict):
        return [f"{path or 'body'}: must be an object"]
    known = {name.removesuffix("?") for name in shape}
    found = [f"{key}: is unknown" for key in sorted(set(value) - known)] if closed else []
    for name, expected in shape.items():
        key = name.removesuffix("?")
        if key in value:
            found += _faults_of_field(value[key], expected, f"{path}.{key}".lstrip("."))
        elif key == name:
            found.append(f"{path}.{key}: is required".lstrip("."))
    return found


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("the number is out of range")
    return int(number) if number.is_integer() else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unwritable(value: object) -> list[str]:
    """Name what would break the answer that repeats this value."""
    layer = [value]
    for _ in range(MAX_DEPTH):
        if any(isinstance(one, str) and not _is_encodable(one) for one in layer):
            return ["body: must not contain lone surrogates"]
        layer = [inner for one in layer for inner in _children(one)]
        if not layer:
            return []
    return [f"body: must not be nested deeper than {MAX_DEPTH} levels"]


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _faults_of_field(value: object, expected: Any, path: str) -> list[str]:
    if isinstance(expected, Mapping):
        return faults(value, expected, path)
    allowed = expected if isinstance(expected, tuple) else (expected,)
    kind = type(value)  # isinstance() would take True for an integer
    if kind in allowed or (kind is int and float in allowed):
        return []
    return [f"{path}: must be " + " or ".join(_TYPE_NAMES.get(each, "null") for each in allowed)]


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
