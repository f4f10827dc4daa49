import json
from datetime import UTC, datetime

import pytest

from kaspi_delivery_django.client import MalformedEvent, read_event

DATA = {
    "deliveryId": "dlv_1",
    "externalOrderId": "order-742",
    "status": "in_transit",
    "timestamp": "2026-03-01T12:00:00Z",
}
EVENT = {"eventId": "wh_1", "type": "delivery.in_transit", "attempt": 2, "data": DATA}


def body(*, data=None, **changes):
    return json.dumps({**EVENT, "data": {**DATA, **(data or {})}, **changes}).encode()


def nested(depth, content=""):
    """Return an event that is `depth` containers deep, its own object being the first."""
    return body(deep=json.loads("[" * (depth - 1) + content + "]" * (depth - 1)))


def why(raw):
    with pytest.raises(MalformedEvent) as caught:
        read_event(raw)
    return str(caught.value)


def test_reads_an_event():
    """Every field of a webhook is read."""
    event = read_event(body())
    assert (event.event_id, event.type, event.attempt) == ("wh_1", "delivery.in_transit", 2)
    assert (event.delivery_id, event.external_order_id) == ("dlv_1", "order-742")
    assert event.status == "in_transit"
    assert event.occurred_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_keeps_unknown_fields():
    """Fields we do not know stay in raw."""
    event = read_event(body(courier={"name": "x"}, data={"zone": 7}))
    assert (event.raw["courier"], event.raw["data"]["zone"]) == ({"name": "x"}, 7)


def test_attempt_defaults_to_one():
    """A body without `attempt` is a first attempt."""
    document = {key: value for key, value in EVENT.items() if key != "attempt"}
    assert read_event(json.dumps(document).encode()).attempt == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xef\xbb\xbf" + body(), id="BOM"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(body() + b"x", id="something behind it"),
        pytest.param(body().replace(b'"', b"'"), id="single quotes"),
        pytest.param(body().replace(b"}}", b",}}"), id="trailing comma"),
        pytest.param(b"/**/" + body(), id="comment"),
        pytest.param(body().replace(b"wh_1", b"wh_\x00"), id="raw NUL"),
        pytest.param(body().replace(b"wh_1", b"wh\n1"), id="raw newline in a string"),
        pytest.param(body(huge=1).replace(b'"huge": 1', b'"huge": ' + b"1" * 4301), id="4301 digits"),
        pytest.param(body().decode().encode("utf-16"), id="UTF-16"),
    ],
)
def test_strict_json(raw):
    """What is not strict JSON is malformed, and nothing else escapes."""
    assert why(raw) in {"body is not strict JSON", "body is not UTF-8"}


@pytest.mark.parametrize("raw", ["é".encode("latin-1"), b"\xed\xa0\x80", b"\xc0\xaf", b"\xff"])
def test_only_utf_8(raw):
    """Latin-1, encoded surrogates and overlong forms are not UTF-8."""
    assert why(body().replace(b"wh_1", raw)) == "body is not UTF-8"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json(constant):
    """Python's NaN and Infinity are refused, and named."""
    assert why(body(x=0).replace(b'"x": 0', f'"x": {constant}'.encode())) == (f"{constant} is not JSON")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1.0e400"])
def test_numbers_out_of_range(number):
    """A number that reads as infinite is refused."""
    assert why(body(x=0).replace(b'"x": 0', f'"x": {number}'.encode())) == "a number is out of range"


@pytest.mark.parametrize("number", ["1e300", "1" * 4300, "-0.0"])
def test_numbers_in_range(number):
    """Any number that can be read is kept."""
    event = read_event(body(x=0).replace(b'"x": 0', f'"x": {number}'.encode()))
    assert event.raw["x"] == json.loads(number)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body()[:-1] + b', "eventId": "wh_2"}', id="at the top"),
        pytest.param(body()[:-1] + b', "event\\u0049d": "wh_2"}', id="spelt otherwise"),
        pytest.param(body().replace(b"}}", b', "status": "delivered"}}'), id="in data"),
        pytest.param(body(x=[]).replace(b"[]", b'[[{"a": 1, "a": 1}]]'), id="deep in a list"),
    ],
)
def test_duplicate_keys(raw):
    """A key that stands twice, at any depth, is refused: two readers could differ."""
    assert why(raw) == "a key stands twice"


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"', b"true", b"[" + body() + b"]"])
def test_not_an_object(raw):
    """The body must be an object."""
    assert why(raw) == "body must be an object"


@pytest.mark.parametrize("content", ["", "1", '"x", null'])
def test_depth_32(content):
    """32 containers deep is still read, whatever is in the last one."""
    assert read_event(nested(32, content)).event_id == "wh_1"


@pytest.mark.parametrize("depth", [33, 34, 200])
def test_too_deep(depth):
    """33 containers deep is refused."""
    assert why(nested(depth)) == "nested deeper than 32"


def test_depth_counts_objects_too():
    """Objects nest as lists do."""
    assert why(body(x=1).replace(b": 1}", b": " + b'{"a":' * 32 + b"1" + b"}" * 33)) == ("nested deeper than 32")


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("closed", [True, False])
def test_a_hundred_thousand_deep(opening, closing, closed):
    """A depth that exhausts the parser is malformed, not a crash."""
    raw = opening * 100_000 + (b"1" + closing * 100_000 if closed else b"")
    assert why(raw) == "nested deeper than 32"


@pytest.mark.parametrize("attempt", [1, 2, 2**31 - 1])
def test_attempts(attempt):
    """An attempt is a whole number from 1."""
    assert read_event(body(attempt=attempt)).attempt == attempt


@pytest.mark.parametrize("attempt", [True, False, 0, -1, 1.0, "1", None, [], 2**31])
def test_unusable_attempts(attempt):
    """A bool, a fraction, a text, or what no column can hold is no attempt."""
    assert why(body(attempt=attempt)) == "attempt must be a whole number from 1"


INCOMPLETE = "data needs a usable deliveryId, externalOrderId and status"
GOOD_IDS = ["x", "x" * 128, "wh 1", "order/742", "~!", "..."]
BAD_IDS = [
    pytest.param(value, id=name)
    for name, value in {
        "empty": "",
        "129 characters": "x" * 129,
        "NUL": "wh\0",
        "lone surrogate": "wh\ud800",
        "Cyrillic": "заказ",
        "newline": "wh_1\n",
        "DEL": "wh\x7f",
        "space in front": " wh",
        "space behind": "wh ",
        "dots": "..",
        "number": 742,
        "true": True,
        "null": None,
        "list": ["wh_1"],
    }.items()
]


@pytest.mark.parametrize("value", GOOD_IDS)
def test_ids(value):
    """An id is 1 to 128 printable ASCII characters."""
    event = read_event(body(eventId=value, data={"deliveryId": value, "externalOrderId": value}))
    assert (event.event_id, event.delivery_id, event.external_order_id) == (value,) * 3


@pytest.mark.parametrize("value", BAD_IDS)
def test_unusable_event_ids(value):
    """Anything else is no eventId."""
    assert why(body(eventId=value)) == "eventId is missing or unusable"


@pytest.mark.parametrize("key", ["deliveryId", "externalOrderId"])
@pytest.mark.parametrize("value", BAD_IDS)
def test_unusable_ids_in_data(key, value):
    """A delivery event needs both ids in a usable form."""
    assert why(body(data={key: value})) == INCOMPLETE


@pytest.mark.parametrize("value", ["", "in transit", "x" * 65, "x\0", "\ud800", "жолда", 5, None])
def test_unusable_statuses(value):
    """A delivery event needs a status of one word."""
    assert why(body(data={"status": value})) == INCOMPLETE


@pytest.mark.parametrize("key", ["deliveryId", "externalOrderId", "status"])
def test_a_delivery_event_of_an_unknown_kind(key):
    """A `delivery.` type that nobody knows yet needs the three fields as well."""
    assert why(body(type="delivery.returned", data={key: None})) == INCOMPLETE


@pytest.mark.parametrize("kind", ["", "a b", "x" * 65, "delivery.\0", "достигнут", 7, None])
def test_unusable_types(kind):
    """A type is one word of 1 to 64 printable ASCII characters."""
    assert why(body(type=kind)) == "type is missing or unusable"


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_data_of_a_delivery_event_must_be_an_object(data):
    """An event about a delivery says which one."""
    assert "usable deliveryId" in why(json.dumps({**EVENT, "data": data}).encode())


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_data_of_an_unknown_type_may_be_anything(data):
    """Kaspi may invent events; refusing one would have it repeated for a day."""
    document = {**EVENT, "type": "parcel.weighed", "data": data}
    assert read_event(json.dumps(document).encode()).delivery_id == ""


def test_an_unknown_status_is_kept():
    """A status that nobody knows yet is read as it is."""
    assert read_event(body(data={"status": "at_the_depot"})).status == "at_the_depot"


def test_an_unknown_type_needs_no_fields():
    """An event of another family may have any data."""
    event = read_event(json.dumps({"eventId": "wh_1", "type": "payout.made", "data": {}}).encode())
    assert (event.type, event.delivery_id, event.status) == ("payout.made", "", "")


def test_an_unknown_type_with_unusable_fields():
    """What cannot be indexed reads as absent, and stays in raw."""
    event = read_event(body(type="payout.made", data={"deliveryId": "dlv\0", "status": 5}))
    assert (event.delivery_id, event.status) == ("", "")
    assert event.raw["data"]["status"] == 5


@pytest.mark.parametrize("stamp", ["yesterday", "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", 5, None])
def test_a_time_that_cannot_be_read(stamp):
    """A naive, impossible or absent time is None, and the event is still read."""
    assert read_event(body(data={"timestamp": stamp})).occurred_at is None


def test_no_data_in_the_error():
    """The error's text never repeats what the body said."""
    raw = body(eventId="+7 701 222 0000 \0", data={"name": "Айгерим"})
    assert not any(secret in why(raw) for secret in ("701", "Айгерим"))
