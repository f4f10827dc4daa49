"""What each answer of Kaspi means: the table of statuses, and the bodies."""

import json
from dataclasses import replace

import pytest

from kaspi_delivery_django.client import (
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
    protocol,
)
from tests.client.conftest import BOOKED, OPERATIONS, read_answer

DELIVERIES = ["create", "get", "cancel"]


def answer(status, document=None, *, body=None, **headers):
    content = json.dumps(document).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return protocol.Answer(status=status, headers=named, body=content)


def error(operation, reply):
    with pytest.raises(KaspiError) as caught:
        read_answer(operation, reply)
    return caught.value


STATUSES = {
    ConfigurationFault: [300, 301, 302, 304, 307, 308, 401, 403, 405, 410, 426],
    Refused: [400, 402, 406, 413, 415, 418, 422, 451, 499],
    RateLimited: [429],
    ServerFault: [408, 425, 500, 501, 502, 503, 504, 599],
}
ROWS = [(status, [kind] * 4) for kind, statuses in STATUSES.items() for status in statuses] + [
    (404, [ConfigurationFault, NotFound, NotFound, ConfigurationFault]),
    (409, [InProgress, Conflict, Conflict, Conflict]),
]


@pytest.mark.parametrize(("status", "kinds"), ROWS, ids=[str(status) for status, _kinds in ROWS])
def test_errors(status, kinds):
    """Each status has one class for each operation, and the class names if Kaspi may have acted."""
    for operation, kind in zip(OPERATIONS, kinds, strict=True):
        caught = error(operation, answer(status))
        assert (type(caught), caught.status) == (kind, status)
        assert caught.outcome_known is (kind not in {ServerFault, InProgress})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("conflict", PayloadMismatch),
        ("idempotency_conflict", PayloadMismatch),
        ("idempotency_key_reused", PayloadMismatch),
        ("payload_mismatch", PayloadMismatch),
        ("in_progress", InProgress),
        ("", InProgress),
        ("Conflict of some kind", InProgress),
        (5, InProgress),
    ],
)
def test_conflicts(code, kind):
    """A create's documented code means another payload; another call's conflict is an answer, whatever its code."""
    caught = error("create", answer(409, {"code": code, "message": "m"}))
    assert (type(caught), caught.outcome_known) == (kind, False)
    for operation in ("get", "cancel", "test_webhook"):
        caught = error(operation, answer(409, {"code": code}))
        assert (type(caught), caught.outcome_known) == (Conflict, True)


def test_retry_after():
    """An error has the seconds that Kaspi asked to wait, where it asked."""
    assert error("create", answer(429, retry_after="Sun, 01 Mar 2026 12:00:30 GMT")).retry_after_s == 30
    assert error("create", answer(503)).retry_after_s is None


@pytest.mark.parametrize(
    ("headers", "replayed"),
    [
        ({"x_idempotent_replay": "true"}, True),
        ({"x_idempotent_replay": " True "}, True),
        ({"x_idempotent_replay": "false"}, False),
        ({"x_idempotent_replay": "1"}, False),
        ({}, False),
    ],
)
def test_replays(headers, replayed):
    """X-Idempotent-Replay marks a stored answer, be it good or bad."""
    assert read_answer("create", answer(201, BOOKED, **headers)).replayed is replayed
    assert error("create", answer(500, **headers)).replayed is replayed


NO_JSON = [b"", b"<html>", b'{"deliveryId": "dlv_1"', b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"\0"]


@pytest.mark.parametrize("body", [*NO_JSON, b"[]", b"null"])
def test_errors_without_words(body):
    """An error whose body cannot be read is still that error."""
    caught = error("create", answer(422, body=body))
    assert (type(caught), caught.code, caught.message) == (Refused, "", "")


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        ({"code": "invalid", "message": "phone +7 701 …"}, "invalid", "phone +7 701 …"),
        ({"code": "a b", "message": 5}, "", ""),
        ({"code": "x" * 65, "message": None}, "", ""),
        ({"code": 5, "message": {}}, "", ""),
        ({"code": "order.not-found_404", "message": ""}, "order.not-found_404", ""),
        ({"code": "+77011234567", "message": ""}, "", ""),
        ({"code": "sk1234567890live", "message": ""}, "", ""),
        ({"code": "a\0", "message": "a\0b\ud83d"}, "", "a�b�"),
        ({"message": "м" * 2000}, "", "м" * 1000),
    ],
)
def test_the_words_of_an_error(document, code, message):
    """A code is one word, a message at most 1000 characters that a database can store; the text has the code alone."""
    caught = error("create", answer(400, document))
    assert (caught.code, caught.message) == (code, message)
    code_shown = code and f" code={code}"
    assert str(caught) == f"Kaspi answered the booking with an error (status=400{code_shown})"


@pytest.mark.parametrize("status", [200, 201, 202, 203, 299])
def test_successes(status):
    """Any 2xx with a usable body is a success."""
    assert [read_answer(operation, answer(status, BOOKED)).delivery_id for operation in DELIVERIES] == ["dlv_1"] * 3
    queued = read_answer("test_webhook", answer(status, {"eventId": "wh_1", "status": "queued"}))
    assert (queued.event_id, queued.status) == ("wh_1", "queued")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_successes_that_cannot_be_read(operation):
    """A 2xx whose body is not JSON, or no object, leaves the outcome open."""
    for body in NO_JSON:
        caught = error(operation, answer(200, body=body))
        assert (type(caught), str(caught)) == (OutcomeUnknown, "the body cannot be read (status=200)")
    for document in ([], [BOOKED], "dlv_1", 5, None, True):
        caught = error(operation, answer(200, document))
        assert (type(caught), str(caught)) == (OutcomeUnknown, "the body is not an object (status=200)")


@pytest.mark.parametrize("delivery_id", [None, "", 5, "x" * 129, "dlv\0", "..", ["dlv_1"]])
def test_successes_without_a_delivery_id(delivery_id):
    """So does a 2xx without a usable deliveryId."""
    for operation in DELIVERIES:
        caught = error(operation, answer(201, {**BOOKED, "deliveryId": delivery_id}))
        assert (type(caught), caught.outcome_known) == (UnusableAnswer, False)


@pytest.mark.parametrize(
    ("operation", "changes", "is_ours"),
    [
        ("create", {}, True),
        ("create", {"externalOrderId": "order-742"}, True),
        ("create", {"externalOrderId": None}, True),
        ("create", {"externalOrderId": "order-743"}, False),
        ("create", {"externalOrderId": "Order-742"}, False),
        ("get", {"externalOrderId": "order-of-another"}, True),
        ("get", {"deliveryId": "dlv_2"}, False),
        ("get", {"deliveryId": "DLV_1"}, False),
        ("cancel", {"externalOrderId": "order-of-another"}, True),
        ("cancel", {"deliveryId": "dlv_2"}, False),
    ],
)
def test_successes_about_another_order(operation, changes, is_ours):
    """A create is compared by order where Kaspi names one, the others by delivery; another one is not to be linked."""
    reply = answer(200, {**BOOKED, **changes})
    if is_ours:
        assert read_answer(operation, reply).delivery_id == "dlv_1"
    else:
        caught = error(operation, reply)
        assert (type(caught), caught.outcome_known) == (ForeignDelivery, False)


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_names_its_exchange(operation, status):
    """Of each operation, whether the answer is an error or one that cannot be read."""
    found = error(operation, replace(answer(status, body=b"{", deprecation="true"), request_id="kaspi-1"))
    assert (found.request_id, found.announcement) == ("kaspi-1", "Deprecation: true")


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ({}, ""),
        ({"link": '<https://kaspi.kz/next>; rel="next"'}, ""),
        ({"link": "<https://kaspi.kz/docs>; rel=deprecation"}, "Link: <https://kaspi.kz/docs>; rel=deprecation"),
        ({"sunset": "  "}, ""),
        ({"warning": "299 - a\nb\u0436"}, "Warning: 299 - a b "),
        ({"warning": "x" * 900}, "Warning: " + "x" * (protocol.MAX_ANNOUNCEMENT - 9)),
    ],
)
def test_an_announcement_is_one_short_line(headers, announced):
    """Printable ASCII; a link about another subject than the version is left out."""
    assert protocol.announcement(headers) == announced


@pytest.mark.parametrize("noise", ["rel = " * 50_000, "rel=" + " " * 300_000 + "x", 'rel="' + "sunset-" * 50_000])
def test_a_long_link_is_read_in_one_pass(noise):
    """A search that starts again at each "rel" would take minutes."""
    assert protocol.announcement({"link": noise}) in {"", f"Link: {noise}"[: protocol.MAX_ANNOUNCEMENT]}
