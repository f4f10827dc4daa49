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


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1.0e400", "1" * 4301])
def test_numbers_out_of_range_stay_texts(number):
    """JSON has no largest number: one that Python cannot read costs no event."""
    event = read_event(body(x=0).replace(b'"x": 0', f'"x": {number}'.encode()))
    assert (event.raw["x"], event.problem) == (number, "")


@pytest.mark.parametrize("number", ["1e300", "1" * 4300, "-0.0"])
def test_numbers_in_range(number):
    """Any number that can be read is kept."""
    event = read_event(body(x=0).replace(b'"x": 0', f'"x": {number}'.encode()))
    assert event.raw["x"] == json.loads(number)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body()[:-1] + b', "type": "delivery.delivered"}', id="at the top"),
        pytest.param(body()[:-1] + b', "typ\\u0065": "delivery.delivered"}', id="spelt otherwise"),
        pytest.param(body().replace(b"}}", b', "status": "delivered"}}'), id="in data"),
        pytest.param(body(x=[]).replace(b"[]", b'[[{"a": 1, "a": 1}]]'), id="deep in a list"),
    ],
)
def test_duplicate_keys(raw):
    """A key that stands twice, at any depth, is a problem: two readers could differ."""
    event = read_event(raw)
    assert (event.event_id, event.problem) == ("wh_1", "a key stands twice")


@pytest.mark.parametrize("key", [b"eventId", b"event\\u0049d"])
def test_two_event_ids(key):
    """Neither can be taken for the event's."""
    assert why(body()[:-1] + b', "' + key + b'": "wh_2"}') == "eventId stands twice"


def test_an_event_id_inside_of_data_is_another():
    """Only the outermost object names the event."""
    raw = body(x=0).replace(b'"x": 0', b'"x": {"eventId": 1, "eventId": 2}')
    assert read_event(raw).event_id == "wh_1"


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"', b"true", b"[" + body() + b"]"])
def test_not_an_object(raw):
    """The body must be an object."""
    assert why(raw) == "body must be an object"


@pytest.mark.parametrize("content", ["", "1", '"x", null'])
def test_depth_32(content):
    """32 containers deep is still read, whatever is in the last one."""
    assert read_event(nested(32, content)).event_id == "wh_1"


@pytest.mark.parametrize("depth", [33, 34, 200, 30_000])
@pytest.mark.parametrize("content", ["", '"] [{"'])
def test_too_deep(depth, content):
    """What is nested deeper is left out of `raw`, and is a problem."""
    raw = body(deep=0).replace(b'"deep": 0', b'"deep": ' + b"[" * (depth - 1) + content.encode() + b"]" * (depth - 1))
    event = read_event(raw)
    assert (event.event_id, event.status, event.problem) == ("wh_1", "in_transit", "nested deeper than 32")
    assert json.dumps(event.raw["deep"]) == "[" * 31 + "null" + "]" * 31


def test_depth_counts_objects_too():
    """Objects nest as lists do."""
    raw = body(x=1).replace(b": 1}", b": " + b'{"a":' * 32 + b"1" + b"}" * 33)
    assert read_event(raw).problem == "nested deeper than 32"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_hundred_thousand_deep(opening, closing):
    """A depth that exhausts the parser is read all the same; what never ends is no JSON."""
    deep = opening * 100_000 + b"1" + closing * 100_000
    assert read_event(body(x=0).replace(b'"x": 0', b'"x": ' + deep)).problem == "nested deeper than 32"
    assert why(opening * 100_000) == "body is not strict JSON"


@pytest.mark.parametrize(
    ("attempt", "number"),
    [
        *((same, same) for same in (0, 1, 2, 2**31 - 1)),
        *((clipped, 0) for clipped in (-1, -(10**400), -1e300)),
        *((clipped, 2**31 - 1) for clipped in (2**31, 10**400, 1e300, "9" * 20)),
        *((read, 2) for read in (2.0, 2.9, "2", "002")),
        *((none, 1) for none in (True, False, None, [], {}, "", "x", "-2", "2.0", "\u0662", "9" * 5000)),
    ],
    ids=str,
)
def test_attempts(attempt, number):
    """An attempt is a number that a column holds; whatever is none counts as the first."""
    assert read_event(body(attempt=attempt)).attempt == number


def test_a_number_of_5000_digits_is_no_attempt():
    """Python does not convert it; the event is read all the same."""
    assert read_event(body(attempt=0).replace(b'"attempt": 0', b'"attempt": ' + b"9" * 5000)).attempt == 1


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
        "fraction": 742.0,
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


@pytest.mark.parametrize("value", [742, 0, -1, 10**127])
def test_numbers_as_ids(value):
    """Their digits are the id."""
    event = read_event(body(eventId=value, data={"deliveryId": value, "externalOrderId": value}))
    assert (event.event_id, event.delivery_id, event.external_order_id) == (str(value),) * 3
    assert event.problem == ""


@pytest.mark.parametrize("value", [".", ".."])
def test_dots_are_an_event_id_and_no_delivery_id(value):
    """The event's stands in no address."""
    event = read_event(body(eventId=value, data={"deliveryId": value}))
    assert (event.event_id, event.delivery_id) == (value, "")


@pytest.mark.parametrize("value", BAD_IDS)
def test_unusable_delivery_ids(value):
    """Without one nothing can be applied; the event is read all the same."""
    event = read_event(body(data={"deliveryId": value}))
    assert (event.event_id, event.delivery_id) == ("wh_1", "")
    assert event.problem == "data.deliveryId is missing or unusable"


@pytest.mark.parametrize("value", BAD_IDS)
def test_unusable_order_ids(value):
    """One that other software gave is a problem; the delivery's id alone is enough."""
    event = read_event(body(data={"externalOrderId": value}))
    assert event.external_order_id == ""
    assert event.problem == ("" if value is None else "data.externalOrderId is unusable")


@pytest.mark.parametrize("value", ["", "in transit", "x" * 65, "x\0", "\ud800", "жолда", 5, None])
def test_unusable_statuses(value):
    """A status is one word; a missing one is no problem of the reader's."""
    event = read_event(body(data={"status": value}))
    assert (event.status, event.problem) == ("", "" if value is None else "data.status is unusable")


@pytest.mark.parametrize("kind", ["", "a b", "x" * 65, "delivery.\0", "достигнут", 7, None])
def test_unusable_types(kind):
    """A type is one word of 1 to 64 printable ASCII characters."""
    event = read_event(body(type=kind))
    assert (event.type, event.problem) == ("", "the type is missing or unusable")


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_data_of_a_delivery_event_must_be_an_object(data):
    """An event about a delivery says which one."""
    event = read_event(json.dumps({**EVENT, "data": data}).encode())
    assert (event.delivery_id, event.problem) == ("", "data is missing or no object")


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


@pytest.mark.parametrize("text", ["plain", "Алматы", "\U0001f4e6 \u2028 é", "\x7f"])
def test_ascii_text_is_the_same_document(text):
    """Escaped, and nothing else: a column of any character set holds it."""
    raw = json.dumps({**EVENT, "note": text}, ensure_ascii=False).encode()
    found = ascii_text(raw)
    assert found.isascii()
    assert json.loads(found) == json.loads(raw)
