"""Serve the sandbox's own endpoints under /_sandbox/, for tests and demos in other processes.

They require no API key, so the server belongs on a loopback address.
"""

import re
from collections.abc import Callable
from typing import Any

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.replay import StoryError
from kaspi_delivery_django.sandbox.requests import Schema, parse_json, read_json
from kaspi_delivery_django.sandbox.responses import Response, error_response, json_response, validation_error

PREFIX = "/_sandbox/"
LAST_SECOND = 253402300799
_STATUS = re.compile(r"[!-~]{1,64}")

_MOVE: Schema = {"status": str, "at?": float, "notes?": str}
_WEBHOOK_FAULTS: Schema = {"duplicate?": bool, "reorder?": int, "lose?": int, "delay_s?": float}


def handle_control(kaspi: FakeKaspi, method: str, path: str, body: bytes) -> Response:
    """Handle one control request."""
    allowed = []
    for route_method, pattern, handler in _ROUTES:
        match = re.fullmatch(pattern, path.partition("?")[0])
        if match and method == route_method:
            return _answer(handler, kaspi, body, *match.groups())
        allowed += [route_method] if match else []
    if not allowed:
        return error_response(404, "not_found", "No such control endpoint.")
    methods = ", ".join(allowed)
    return error_response(405, "method_not_allowed", f"Use {methods} here.", {"Allow": methods})


def _answer(handler: Callable[..., Response], kaspi: FakeKaspi, body: bytes, *args: str) -> Response:
    try:
        return handler(kaspi, body, *args)
    except StoryError as err:
        return error_response(409, "replayed", str(err))


def _list_deliveries(kaspi: FakeKaspi, _body: bytes) -> Response:
    with kaspi.lock:
        return json_response(200, {"deliveries": [_summary(r) for r in kaspi.deliveries.values()]})


def _move(kaspi: FakeKaspi, body: bytes, delivery_id: str) -> Response:
    options, errors = read_json(body, _MOVE)
    if errors:
        return validation_error(errors)
    if not _STATUS.fullmatch(options["status"]):
        return validation_error(["status: must be one word of 64 ASCII characters at most"])
    if not 0 <= options.get("at", 0) <= LAST_SECOND:
        return validation_error(["at: must be Unix seconds before the year 10000"])
    if delivery_id not in kaspi.deliveries:
        return error_response(404, "not_found", "No such delivery.")
    record = kaspi.move(delivery_id, options["status"], options.get("at"), options.get("notes", ""))
    return json_response(200, _summary(record))


def _add_fault(kaspi: FakeKaspi, body: bytes) -> Response:
    value, errors = parse_json(body)
    if errors:
        return validation_error(errors)
    try:
        fault = Fault.from_dict(value)
    except ValueError as err:
        return validation_error([str(err)])
    kaspi.faults.add(fault)
    return json_response(201, fault.to_dict())


def _clear_faults(kaspi: FakeKaspi, _body: bytes) -> Response:
    kaspi.faults.clear()
    return Response(204)


def _set_webhook_faults(kaspi: FakeKaspi, body: bytes) -> Response:
    options, errors = read_json(body, _WEBHOOK_FAULTS, closed=True)
    if errors:
        return validation_error(errors)
    for name, value in options.items():
        setattr(kaspi.webhooks, name, value)
    return json_response(200, options)


def _summary(record: DeliveryRecord) -> dict[str, Any]:
    return {**record.to_event(), "history": list(record.history)}


_ROUTES: tuple[tuple[str, str, Callable[..., Response]], ...] = (
    ("GET", r"/_sandbox/deliveries", _list_deliveries),
    ("POST", r"/_sandbox/deliveries/([^/]+)/move", _move),
    ("POST", r"/_sandbox/faults", _add_fault),
    ("DELETE", r"/_sandbox/faults", _clear_faults),
    ("POST", r"/_sandbox/webhooks", _set_webhook_faults),
)
