"""What each answer of Kaspi means: the table of statuses, and the bodies."""

import json
from datetime import UTC, datetime

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
from tests.client.conftest import BOOKED, PERSONAL, request

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPERATIONS = {
    "create": protocol.create(request(), "order-742"),
    "get": protocol.get("dlv_1"),
    "cancel": protocol.cancel("dlv_1", "changed mind", "order-742-cancel"),
    "test_webhook": protocol.test_webhook("https://shop.kz/kaspi/", "delivery.created"),
}
DELIVERIES = ["create", "get", "cancel"]


def answer(status, document=None, *, body=None, **headers):
    content = json.dumps(document).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return protocol.Answer(status=status, headers=named, body=content)


def read(operation, reply):
    reader = protocol.read_test_webhook if operation == "test_webhook" else protocol.read_delivery
    return reader(OPERATIONS[operation], reply, NOW)


def error(operation, reply):
    with pytest.raises(KaspiError) as caught:
        read(operation, reply)
    return caught.value


# status: create, get, cancel, test_webhook
TABLE = {
    300: [ConfigurationFault] * 4,
    301: [ConfigurationFault] * 4,
    302: [ConfigurationFault] * 4,
    304: [ConfigurationFault] * 4,
    307: [ConfigurationFault] * 4,
    308: [ConfigurationFault] * 4,
    400: [Refused] * 4,
    401: [ConfigurationFault] * 4,
    402: [Refused] * 4,
    403: [ConfigurationFault] * 4,
    404: [ConfigurationFault, NotFound, NotFound, ConfigurationFault],
    405: [ConfigurationFault] * 4,
    406: [Refused] * 4,
    408: [ServerFault] * 4,
    409: [InProgress, Conflict, Conflict, Conflict],
    410: [ConfigurationFault] * 4,
    413: [Refused] * 4,
    415: [Refused] * 4,
    418: [Refused] * 4,
    422: [Refused] * 4,
    425: [ServerFault] * 4,
    426: [ConfigurationFault] * 4,
    429: [RateLimited] * 4,
    451: [Refused] * 4,
    499: [Refused] * 4,
    500: [ServerFault] * 4,
    501: [ServerFault] * 4,
    502: [ServerFault] * 4,
    503: [ServerFault] * 4,
    504: [ServerFault] * 4,
    599: [ServerFault] * 4,
}
ROWS = [
    pytest.param(operation, status, kind, id=f"{status} {operation}")
    for status, kinds in TABLE.items()
    for operation, kind in zip(OPERATIONS, kinds, strict=True)
]
OUTCOME_KNOWN = {ServerFault: False, InProgress: False}


@pytest.mark.parametrize(("operation", "status", "kind"), ROWS)
def test_errors(operation, status, kind):
    """Each status has one class for each operation, and the class says if Kaspi may have acted."""
    caught = error(operation, answer(status))
    assert (type(caught), caught.status) == (kind, status)
    assert caught.outcome_known is OUTCOME_KNOWN.get(kind, True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("conflict", PayloadMismatch),
        ("idempotency_conflict", PayloadMismatch),
        ("idempotency_key_reused", PayloadMismatch),
        ("payload_mismatch", PayloadMismatch),
        ("idempotency_mismatch", PayloadMismatch),
        ("in_progress", InProgress),
        ("locked", InProgress),
        ("", InProgress),
        ("Conflict of some kind", InProgress),
        (None, InProgress),
        (5, InProgress),
    ],
)
def test_conflicts_of_a_create(code, kind):
    """The documented code means another payload; anything else may still be under way."""
    caught = error("create", answer(409, {"code": code, "message": "m"}))
    assert (type(caught), caught.outcome_known) == (kind, False)


@pytest.mark.parametrize("operation", ["get", "cancel", "test_webhook"])
@pytest.mark.parametrize("code", ["conflict", "in_progress", "payload_mismatch", ""])
def test_conflicts_of_the_others(operation, code):
    """For a cancel a conflict is an answer, whatever its code: the parcel goes on."""
    caught = error(operation, answer(409, {"code": code}))
    assert (type(caught), caught.outcome_known) == (Conflict, True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("86400", 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("soon", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status, header, seconds):
    """Retry-After is read in seconds or as a date; garbage is None."""
    assert error("create", answer(status, retry_after=header)).retry_after_s == seconds


def test_no_retry_after():
    """Without the header there is no wait to obey."""
    assert error("create", answer(429)).retry_after_s is None


@pytest.mark.parametrize(
    ("header", "replayed"),
    [("true", True), ("True", True), (" true ", True), ("false", False), ("1", False), ("", False)],
)
def test_replays(header, replayed):
    """X-Idempotent-Replay marks a stored answer, be it good or bad."""
    assert read("create", answer(201, BOOKED, x_idempotent_replay=header)).replayed is replayed
    assert error("create", answer(500, x_idempotent_replay=header)).replayed is replayed


def test_no_replay():
    """Without the header the answer is fresh."""
    assert read("create", answer(201, BOOKED)).replayed is False
    assert error("create", answer(500)).replayed is False


def test_the_words_of_an_error():
    """Kaspi's code and message are kept apart from the text that may be shown."""
    caught = error("create", answer(400, {"code": "invalid", "message": "phone +7 701 …"}))
    assert (caught.code, caught.message) == ("invalid", "phone +7 701 …")
    assert str(caught) == "Kaspi answered the booking with an error (status=400 code=invalid)"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"code": '],
)
def test_errors_without_words(body):
    """An error whose body cannot be read is still that error."""
    caught = error("create", answer(422, body=body))
    assert (type(caught), caught.code, caught.message) == (Refused, "", "")


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
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
def test_odd_words(document, code, message):
    """A code is one word, a message at most 1000 characters that a database can store."""
    caught = error("create", answer(400, document))
    assert (caught.code, caught.message) == (code, message)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500])
def test_no_error_shows_personal_data(operation, status):
    """Whatever Kaspi writes into its message, no text of ours repeats it."""
    caught = error(operation, answer(status, {"code": "c", "message": " ".join(PERSONAL)}))
    assert not any(personal in f"{caught} {caught!r}" for personal in PERSONAL)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 299])
@pytest.mark.parametrize("operation", DELIVERIES)
def test_successes(operation, status):
    """Any 2xx with a usable body is a success."""
    assert read(operation, answer(status, BOOKED)).delivery_id == "dlv_1"


def test_a_test_webhook_is_queued():
    """The answer of a test webhook names the event."""
    queued = read("test_webhook", answer(202, {"eventId": "wh_1", "status": "queued"}))
    assert (queued.event_id, queued.status) == ("wh_1", "queued")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"deliveryId": "dlv_1"', b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"\0"],
)
def test_successes_that_cannot_be_read(operation, body):
    """A 2xx whose body is not JSON leaves the outcome open."""
    caught = error(operation, answer(200, body=body))
    assert (type(caught), caught.status) == (OutcomeUnknown, 200)
    assert str(caught) == "the body cannot be read (status=200)"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("document", [[], [BOOKED], "dlv_1", 5, None, True])
def test_successes_that_are_no_object(operation, document):
    """So does a 2xx whose body is not an object."""
    caught = error(operation, answer(200, document))
    assert (type(caught), str(caught)) == (
        OutcomeUnknown,
        "the body is not an object (status=200)",
    )


@pytest.mark.parametrize("operation", DELIVERIES)
@pytest.mark.parametrize("delivery_id", [None, "", 5, "x" * 129, "dlv\0", "..", ["dlv_1"]])
def test_successes_without_a_delivery_id(operation, delivery_id):
    """So does a 2xx without a usable deliveryId."""
    caught = error(operation, answer(201, {**BOOKED, "deliveryId": delivery_id}))
    assert (type(caught), caught.outcome_known) == (UnusableAnswer, False)


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        ("create", {"externalOrderId": "order-743"}),
        ("create", {"externalOrderId": "Order-742"}),
        ("get", {"deliveryId": "dlv_2"}),
        ("get", {"deliveryId": "DLV_1"}),
        ("cancel", {"deliveryId": "dlv_2"}),
    ],
)
def test_successes_about_another_order(operation, changes):
    """A 2xx that names another order or delivery is not to be linked."""
    caught = error(operation, answer(200, {**BOOKED, **changes}))
    assert (type(caught), caught.outcome_known) == (ForeignDelivery, False)


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        ("create", {}),
        ("create", {"externalOrderId": "order-742"}),
        ("create", {"externalOrderId": None}),
        ("get", {"externalOrderId": "order-of-somebody"}),
        ("cancel", {"externalOrderId": "order-of-somebody"}),
    ],
)
def test_successes_about_this_order(operation, changes):
    """A create is compared by order where Kaspi names one, the others by delivery."""
    assert read(operation, answer(200, {**BOOKED, **changes})).delivery_id == "dlv_1"
