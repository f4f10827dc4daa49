"""The sandbox's own endpoints under /_sandbox/: for tests and demos in other processes.

They ask for no API key, so the server belongs on a loopback address.
"""

import re
from collections.abc import Callable
from typing import Any

from kaspi_delivery_django.sandbox import schema
from kaspi_delivery_django.sandbox.answers import Answer, invalid, json_answer, refusal
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.world import World

PREFIX = "/_sandbox/"
LAST_SECOND = 253402300799
_STATUS = re.compile(r"[!-~]{1,64}")

_MOVE: schema.Shape = {"status": str, "at?": float, "notes?": str}
_DISTURB: schema.Shape = {"duplicate?": bool, "reorder?": int, "lose?": int, "delay_s?": float}


def handle_control(world: World, method: str, path: str, body: bytes) -> Answer:
    """Answer one control request."""
    allowed = []
    for wanted, pattern, answer in _ROUTES:
        match = re.fullmatch(pattern, path.partition("?")[0])
        if match and method == wanted:
            return answer(world, body, *match.groups())
        allowed += [wanted] if match else []
    if not allowed:
        return refusal(404, "not_found", "No such control endpoint.")
    methods = ", ".join(allowed)
    return refusal(405, "method_not_allowed", f"Use {methods} here.", {"Allow": methods})


def _list_deliveries(world: World, _body: bytes) -> Answer:
    with world.lock:
        return json_answer(200, {"deliveries": [_summary(r) for r in world.deliveries.values()]})


def _move(world: World, body: bytes, delivery_id: str) -> Answer:
    options, wrong = schema.read(body, _MOVE)
    if wrong:
        return invalid(wrong)
    if not _STATUS.fullmatch(options["status"]):
        return invalid(["status: must be one word of 64 ASCII characters at most"])
    if not 0 <= options.get("at", 0) <= LAST_SECOND:
        return invalid(["at: must be Unix seconds before the year 10000"])
    if delivery_id not in world.deliveries:
        return refusal(404, "not_found", "No such delivery.")
    record = world.move(delivery_id, options["status"], options.get("at"), options.get("notes", ""))
    return json_answer(200, _summary(record))


def _add_fault(world: World, body: bytes) -> Answer:
    value, wrong = schema.parse(body)
    if wrong:
        return invalid(wrong)
    try:
        fault = Fault.from_dict(value)
    except ValueError as err:
        return invalid([str(err)])
    world.faults.add(fault)
    return json_answer(201, fault.to_dict())


def _clear_faults(world: World, _body: bytes) -> Answer:
    world.faults.clear()
    return Answer(204)


def _disturb_webhooks(world: World, body: bytes) -> Answer:
    options, wrong = schema.read(body, _DISTURB, closed=True)
    if wrong:
        return invalid(wrong)
    for name, value in options.items():
        setattr(world.mailbox, name, value)
    return json_answer(200, options)


def _summary(record: DeliveryRecord) -> dict[str, Any]:
    return {**record.to_event(), "history": list(record.history)}


_ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", r"/_sandbox/deliveries", _list_deliveries),
    ("POST", r"/_sandbox/deliveries/([^/]+)/move", _move),
    ("POST", r"/_sandbox/faults", _add_fault),
    ("DELETE", r"/_sandbox/faults", _clear_faults),
    ("POST", r"/_sandbox/webhooks", _disturb_webhooks),
)
