import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kaspi_delivery_django.client import (
    Contact,
    DeliveryRequest,
    Eta,
    HistoryEntry,
    Location,
    Parcel,
    RemoteDelivery,
    RemoteEvent,
    TestWebhook,
    UsageError,
    protocol,
)
from kaspi_delivery_django.client.types import MAX_INT, read_time
from tests.client.conftest import BOOKED, PERSONAL, request, request_to

CONTACT = Contact(name="Aigerim", phone="+7 727 111 0000")
PLACE = Location(address="Almaty, Abay 1", contact=CONTACT)
PARCEL = Parcel(description="Books", weight_grams=1, value_kzt=0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHOLE = {**BOOKED, **request().to_json()}


TEXTS = {
    "the sender's address (pickup.address)": lambda value: request(pickup=replace(PLACE, address=value)),
    "the recipient's name (dropoff.contact.name)": lambda value: request_to(name=value),
    "the recipient's address (dropoff.address)": lambda value: request(dropoff=replace(PLACE, address=value)),
    "Parcel.description": lambda value: Parcel(description=value, weight_grams=1, value_kzt=0),
}


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["", " \n\t", "\N{NO-BREAK SPACE}", None, b"bytes"])
def test_required_texts(field, value):
    """A required text is a str with something in it, and the message names the side and the field."""
    with pytest.raises(UsageError, match=f"^{re.escape(field)} must be a text that is not empty$"):
        TEXTS[field](value)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("bad", ["\0", "\ud800", "x\udfff"])
def test_texts_that_cannot_be_sent(field, bad):
    """NUL and lone surrogates are refused before they can be sent or stored; the text is not repeated."""
    with pytest.raises(UsageError, match=f"^{re.escape(field)} must not contain NUL") as caught:
        TEXTS[field](PERSONAL[0] + bad)
    assert PERSONAL[0] not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("field", TEXTS)
def test_texts_of_any_language(field):
    """Any other character is welcome."""
    for value in ("Қазақ", "🎁", "a\nb", "'; --", "\ue000\ud7ff"):
        assert json.dumps(value) in json.dumps(TEXTS[field](value).to_json())


def test_notes_are_a_text():
    """Notes are optional, but a text that can be sent."""
    for notes in (None, 5, "a\0"):
        with pytest.raises(UsageError, match=r"the notes about the recipient \(dropoff\.notes\)"):
            request(dropoff=replace(PLACE, notes=notes))


def test_figures():
    """Weights go from 1 g, values from 0 ₸, up to what a database's integer holds."""
    assert replace(PARCEL, weight_grams=1, value_kzt=0)
    assert replace(PARCEL, weight_grams=MAX_INT, value_kzt=MAX_INT)


@pytest.mark.parametrize(
    "changes",
    [{"weight_grams": value} for value in (0, MAX_INT + 1, 1.0, "1", True, None, float("nan"))]
    + [{"value_kzt": value} for value in (-1, MAX_INT + 1, 450.5, "450", False, None)],
)
def test_figures_that_cannot_be(changes):
    """A fraction, a bool, a text, or a figure out of range is refused by name."""
    with pytest.raises(UsageError, match=rf"^Parcel\.{next(iter(changes))} must be a whole number"):
        replace(PARCEL, **changes)


@pytest.mark.parametrize("key", ["pickup", "dropoff", "parcel"])
def test_parts_of_a_request(key):
    """Each part of a request is one of ours, not a dict."""
    with pytest.raises(UsageError, match=rf"^DeliveryRequest\.{key} must be a"):
        request(**{key: {}})
    with pytest.raises(UsageError, match=r"dropoff\.contact must be a Contact"):
        request(dropoff=Location(address="A", contact={"name": "A", "phone": "+7 727 111 0000"}))


def test_external_order_ids():
    """An externalOrderId is up to 128 printable ASCII characters; the package fills in an empty one."""
    for external_id in ("", "x", "order/742 b", "x" * 128):
        assert request(external_order_id=external_id).external_order_id == external_id
    for external_id in ("x" * 129, " x", "x\n", "x\0", "заказ", "..", ".", 742):
        with pytest.raises(UsageError, match="external_order_id must be"):
            request(external_order_id=external_id)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01t07:00:00-05:00", NOON),
        ("2026-03-01 12:00:00-00:00", NOON),
        ("2026-03-01T12:00:00.5z", NOON.replace(microsecond=500000)),
        ("2026-03-01T12:00:00." + "1" * 500 + "+00:00", NOON.replace(microsecond=111111)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01t04:59:60.25+05:00", datetime(2017, 1, 1, 0, 0, 0, 250000, UTC)),
    ],
)
def test_times(text, time):
    """RFC 3339 with an offset is read as aware UTC."""
    assert (read_time(text), read_time(text).tzinfo) == (time, UTC)


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2026-03-01T12:00:00+99:99",
        "2026-03-01T12:00:60Z",
        "2026-03-01T23:59:61Z",
        "9999-12-31T23:59:60Z",
        "2016-12-31T23:59:60",
        1772366400,
        None,
    ],
)
def test_times_that_cannot_be_read(value):
    """A naive, impossible or overflowing time reads as None."""
    assert read_time(value) is None


def test_reads_a_delivery():
    """DeliveryCreated and Delivery are read by the same words."""
    raw = {
        **BOOKED,
        "externalOrderId": "order-742",
        "eta": {"pickupBy": "2026-03-01T12:00:00Z", "deliveryBy": "2026-03-01T17:00:00+05:00"},
        "history": [{"status": "created", "timestamp": "2026-03-01T12:00:00Z", "notes": "n"}],
        "courier": "new field",
    }
    assert RemoteDelivery.from_json(raw, replayed=True) == RemoteDelivery(
        delivery_id="dlv_1",
        status="created",
        external_order_id="order-742",
        tracking_url="https://track.kaspi.kz/dlv_1",
        eta=Eta(pickup_by=NOON, delivery_by=NOON),
        history=(HistoryEntry(status="created", timestamp=NOON, notes="n"),),
        replayed=True,
        raw=raw,
    )


def test_reads_what_was_booked():
    """A Delivery brings the request back, in the values that it was built of."""
    read = RemoteDelivery.from_json(WHOLE)
    booked = DeliveryRequest(
        pickup=read.pickup, dropoff=read.dropoff, parcel=read.parcel, external_order_id=read.external_order_id
    )
    assert (booked, read.raw) == (request(), WHOLE)


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"address": "Almaty"}, {"contact": None}])
@pytest.mark.parametrize("key", ["pickup", "dropoff", "parcel"])
def test_parts_that_cannot_be_used(key, odd):
    """A part that is missing, or none that could be sent, is None; the others, and raw, have theirs."""
    raw = {**WHOLE, key: odd}
    assert RemoteDelivery.from_json(raw) == replace(RemoteDelivery.from_json(WHOLE), **{key: None}, raw=raw)


def test_parts_that_are_odd_but_usable():
    """1200.0 is 1200, notes of another type are none, and a text is kept so that it can be stored."""
    parcel = {"description": "a\0b", "weightGrams": 1200.0, "valueKzt": 4.5e4}
    read = RemoteDelivery.from_json({**WHOLE, "parcel": parcel, "pickup": {**WHOLE["pickup"], "notes": 5}})
    assert read.parcel == Parcel(description="a�b", weight_grams=1200, value_kzt=45000)
    assert read.pickup == request().pickup


@pytest.mark.parametrize("odd", [None, 5, True, [], {}, [5], {"a": 1}, {"pickupBy": "soon", "deliveryBy": 5}])
@pytest.mark.parametrize("key", [*BOOKED, "externalOrderId", "eta", "history"])
def test_fields_of_another_type(key, odd):
    """A field of an unexpected type reads as absent, and stays in raw."""
    read = RemoteDelivery.from_json({**BOOKED, key: odd})
    whole = RemoteDelivery.from_json(BOOKED)
    names = {"deliveryId": "delivery_id", "trackingUrl": "tracking_url", "status": "status"}
    absent = {names[key]: ""} if key in names else {}
    assert read == replace(whole, raw={**BOOKED, key: odd}, **absent)


def test_ids_and_statuses():
    """A deliveryId that we could not ask for is none; any one word is a status, known or not."""
    for bad in ("", "x" * 129, "..", "dlv\0", "dlv\n", "тапсырыс", " dlv"):
        assert RemoteDelivery.from_json({**BOOKED, "deliveryId": bad}).delivery_id == ""
    for given, read in (("returned", "returned"), ("a b", ""), ("x" * 65, "")):
        assert RemoteDelivery.from_json({**BOOKED, "status": given}).status == read


def test_a_history_with_holes():
    """Entries that are no objects are left out, entries without usable fields are empty."""
    read = RemoteDelivery.from_json({**BOOKED, "history": [None, "x", {}, {"status": 5}]})
    assert read.history == (HistoryEntry(status="", timestamp=None),) * 2


RAW = {"dropoff": {"address": PERSONAL[2], "contact": {"name": PERSONAL[0], "phone": PERSONAL[1]}}}
HISTORY = [{"status": "created", "notes": PERSONAL[3]}]
EVENT = RemoteEvent(
    event_id="wh_1",
    type="delivery.created",
    attempt=1,
    delivery_id="dlv_1",
    external_order_id="order-742",
    status="created",
    occurred_at=None,
    raw=RAW,
)


@pytest.mark.parametrize(
    "value",
    [
        request(),
        request().dropoff.contact,
        RemoteDelivery.from_json({**WHOLE, "history": HISTORY}),
        RemoteDelivery.from_json({**WHOLE, "parcel": {**WHOLE["parcel"], "description": PERSONAL[0]}}),
        HistoryEntry.from_json(HISTORY[0]),
        TestWebhook.from_json(RAW),
        EVENT,
        protocol.create(request(), "the-key"),
        protocol.cancel("dlv_1", PERSONAL[3], "the-key"),
        protocol.Answer(status=201, headers={}, body=" ".join(PERSONAL).encode()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_personal_data_in_reprs(value):
    """No repr or str shows a name, a phone, an address or notes."""
    shown = f"{value!r} {value!s}"
    assert not any(personal in shown for personal in PERSONAL)
