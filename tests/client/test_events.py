import json
from datetime import UTC, datetime

import pytest

from kaspi_delivery_django.client import MalformedEvent, read_event
from kaspi_delivery_django.client.webhooks import ascii_text

DATA = {
    "deliveryId": "dlv_1",
    "externalOrderId": "order-742",
    "status": "in_transit",
    "timestamp": "2026-03-01T12:00:00Z",
}
EVENT = {"eventId": "wh_1", "type": "delivery.in_transit", "attempt": 2, "data": DATA}


def body(*, data=None, **changes):
    return json.dumps({**EVENT, "data": {**DATA, **(data or {})}, **changes}).encode()


def body_with(text):
    """Return an event that has this JSON text as a field of its own."""
    return body(x=0).replace(b'"x": 0', b'"x": ' + text)


def reason(raw):
    with pytest.raises(MalformedEvent) as caught:
        read_event(raw)
    return str(caught.value)


def test_reads_an_event():
    """Every field of a webhook is read; fields we do not know stay in raw."""
    event = read_event(body(courier={"name": "x"}, data={"zone": 7}))
    assert (event.event_id, event.type, event.attempt) == ("wh_1", "delivery.in_transit", 2)
    assert (event.delivery_id, event.external_order_id) == ("dlv_1", "order-742")
    assert event.status == "in_transit"
    assert event.occurred_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (event.raw["courier"], event.raw["data"]["zone"]) == ({"name": "x"}, 7)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\xef\xbb\xbf" + body(), "body is not strict JSON"),
        (b"", "body is not strict JSON"),
        (b"{", "body is not strict JSON"),
        (body() + b"x", "body is not strict JSON"),
        (body().replace(b'"', b"'"), "body is not strict JSON"),
        (body().replace(b"}}", b",}}"), "body is not strict JSON"),
        (body().replace(b"wh_1", b"wh_\x00"), "body is not strict JSON"),
        (body().replace(b"wh_1", b"wh\n1"), "body is not strict JSON"),
        (b'{"a":' * 100_000, "body is not strict JSON"),
        (body().decode().encode("utf-16"), "body is not UTF-8"),
        (body().replace(b"wh_1", "é".encode("latin-1")), "body is not UTF-8"),
        (body().replace(b"wh_1", b"\xed\xa0\x80"), "body is not UTF-8"),  # an encoded surrogate
        (body().replace(b"wh_1", b"\xc0\xaf"), "body is not UTF-8"),  # an overlong form
        (body_with(b"NaN"), "NaN is not JSON"),
        (body_with(b"-Infinity"), "-Infinity is not JSON"),
        (b"null", "body must be an object"),
        (b"[" + body() + b"]", "body must be an object"),
    ],
)
def test_strict_json(raw, why):
    """What is no object in strict JSON is malformed, and no other error escapes."""
    assert reason(raw) == why


@pytest.mark.parametrize(
    ("number", "read"),
    [("1e999", str), ("-1e999", str), ("1" * 4301, str), ("1e300", float), ("1" * 4300, int), ("-0.0", float)],
)
def test_numbers(number, read):
    """JSON has no largest number: one that Python cannot read stays a text, and costs no event."""
    event = read_event(body_with(number.encode()))
    assert (event.raw["x"], event.problem) == (read(number), "")


@pytest.mark.parametrize(
    "raw",
    [
        body()[:-1] + b', "type": "delivery.delivered"}',
        body()[:-1] + b', "typ\\u0065": "delivery.delivered"}',
        body().replace(b"}}", b', "status": "delivered"}}'),
        body_with(b'[[{"a": 1, "a": 1}]]'),
        body_with(b'{"eventId": 1, "eventId": 2}'),
    ],
)
def test_duplicate_keys(raw):
    """A key that stands twice, at any depth, is a problem: two readers could differ."""
    event = read_event(raw)
    assert (event.event_id, event.problem) == ("wh_1", "a key stands twice")


@pytest.mark.parametrize("key", [b"eventId", b"event\\u0049d"])
def test_two_event_ids(key):
    """Neither can be taken for the event's."""
    assert reason(body()[:-1] + b', "' + key + b'": "wh_2"}') == "eventId stands twice"


@pytest.mark.parametrize("content", [b"", b"1", b'"x", null'])
def test_depth_32(content):
    """32 containers deep is still read, whatever is in the last one."""
    event = read_event(body_with(b"[" * 31 + content + b"]" * 31))
    assert (event.event_id, event.problem) == ("wh_1", "")


@pytest.mark.parametrize("depth", [32, 33, 200, 100_000])
@pytest.mark.parametrize("content", [b"", b'"] [{"'])
def test_too_deep(depth, content):
    """What is nested deeper is left out of `raw`, and is a problem; also where it exhausts the parser."""
    event = read_event(body_with(b"[" * depth + content + b"]" * depth))
    assert (event.event_id, event.status, event.problem) == ("wh_1", "in_transit", "nested deeper than 32")
    assert json.dumps(event.raw["x"]) == "[" * 31 + "null" + "]" * 31


def test_depth_counts_objects_too():
    """Objects nest as lists do."""
    assert read_event(body_with(b'{"a":' * 32 + b"1" + b"}" * 32)).problem == "nested deeper than 32"


@pytest.mark.parametrize(
    ("number", "attempts"),
    [
        (0, [0, -1, -(10**400), -1e300]),
        (1, [1, True, None, [], "", "x", "-2", "2.0", "\u0662", "9" * 5000]),
        (2, [2, 2.0, 2.9, "2", "002"]),
        (2**31 - 1, [2**31 - 1, 2**31, 10**400, 1e300, "9" * 20]),
    ],
)
def test_attempts(number, attempts):
    """An attempt is a number that a column holds; whatever is none counts as the first."""
    assert [read_event(body(attempt=attempt)).attempt for attempt in attempts] == [number] * len(attempts)


def test_an_attempt_that_is_missing_or_too_long():
    """Python does not convert 5,000 digits; the event is read all the same."""
    document = {key: value for key, value in EVENT.items() if key != "attempt"}
    assert read_event(json.dumps(document).encode()).attempt == 1
    assert read_event(body(attempt=0).replace(b'"attempt": 0', b'"attempt": ' + b"9" * 5000)).attempt == 1


BAD_IDS = ["", "x" * 129, "wh\0", "wh\ud800", "заказ", "wh_1\n", "wh\x7f", " wh", "wh ", 742.0, True, None, ["wh_1"]]


@pytest.mark.parametrize("value", ["x", "x" * 128, "wh 1", "order/742", "~!", "...", 742, -1, 10**127])
def test_ids(value):
    """An id is 1 to 128 printable ASCII characters; a number's digits are one."""
    event = read_event(body(eventId=value, data={"deliveryId": value, "externalOrderId": value}))
    assert (event.event_id, event.delivery_id, event.external_order_id) == (str(value),) * 3
    assert event.problem == ""


@pytest.mark.parametrize("value", [".", ".."])
def test_dots_are_an_event_id_and_no_delivery_id(value):
    """The event's stands in no address."""
    event = read_event(body(eventId=value, data={"deliveryId": value}))
    assert (event.event_id, event.delivery_id) == (value, "")


@pytest.mark.parametrize("value", BAD_IDS)
def test_unusable_ids(value):
    """Without an event's id there is no event; without a delivery's it cannot be applied, but is read all the same."""
    assert reason(body(eventId=value)) == "eventId is missing or unusable"
    event = read_event(body(data={"deliveryId": value}))
    assert (event.event_id, event.delivery_id) == ("wh_1", "")
    assert event.problem == "data.deliveryId is missing or unusable"
    event = read_event(body(data={"externalOrderId": value}))
    assert event.external_order_id == ""
    assert event.problem == ("" if value is None else "data.externalOrderId is unusable")


@pytest.mark.parametrize("value", ["", "in transit", "x" * 65, "x\0", "\ud800", "жолда", 5, None])
def test_unusable_words(value):
    """A status and a type are one word of printable ASCII; a missing status is no problem."""
    event = read_event(body(data={"status": value}))
    assert (event.status, event.problem) == ("", "" if value is None else "data.status is unusable")
    event = read_event(body(type=value))
    assert (event.type, event.problem) == ("", "the type is missing or unusable")


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_data_must_be_an_object(data):
    """An event about a delivery names it; an event of another family may have any data."""
    event = read_event(json.dumps({**EVENT, "data": data}).encode())
    assert (event.delivery_id, event.problem) == ("", "data is missing or no object")
    event = read_event(json.dumps({**EVENT, "type": "parcel.weighed", "data": data}).encode())
    assert (event.type, event.delivery_id, event.status, event.problem) == ("parcel.weighed", "", "", "")


def test_unknown_words_are_kept():
    """A status that is not documented is read as it is; what cannot be indexed reads as absent, and stays in raw."""
    assert read_event(body(data={"status": "at_the_depot"})).status == "at_the_depot"
    event = read_event(body(type="payout.made", data={"deliveryId": "dlv\0", "status": 5}))
    assert (event.delivery_id, event.status, event.raw["data"]["status"]) == ("", "", 5)


@pytest.mark.parametrize("text", ["plain", "Алматы", "\U0001f4e6 \u2028 é", "\x7f"])
def test_ascii_text_is_the_same_document(text):
    """Escaped, and nothing else: a column of any character set holds it."""
    raw = json.dumps({**EVENT, "note": text}, ensure_ascii=False).encode()
    found = ascii_text(raw)
    assert found.isascii()
    assert json.loads(found) == json.loads(raw)
