import dataclasses
import json
import re
from datetime import UTC, datetime

import phonenumbers
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
    normalize_phone,
    phones,
)
from kaspi_delivery_django.client.types import MAX_INT, read_text, read_time
from tests.client.conftest import BOOKED, PERSONAL, request

CONTACT = Contact(name="Aigerim", phone="+7 727 111 0000")
PLACE = Location(address="Almaty, Abay 1", contact=CONTACT)
PARCEL = Parcel(description="Books", weight_grams=1, value_kzt=0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_wire_form():
    """A request becomes Kaspi's camelCase; notes that are empty are left out."""
    name, phone, address, notes = PERSONAL
    contact = {"name": name, "phone": phone}
    assert request().to_json() == {
        "externalOrderId": "order-742",
        "pickup": {"address": address, "contact": contact},
        "dropoff": {"address": address, "contact": contact, "notes": notes},
        "parcel": {"description": "Книги", "weightGrams": 1200, "valueKzt": 45000},
    }


def to(**changes):
    """Return the request to a recipient with these fields of the contact."""
    return request(dropoff=dataclasses.replace(PLACE, contact=dataclasses.replace(CONTACT, **changes)))


WIDE = {sign: sign + 0xFEE0 for sign in b"+0123456789"}  # a full-width form each
SENT_AS = {
    "+7 727 111 0000": "+7 727 111 0000",
    "87271110000": "+7 727 111 0000",
    "7271110000": "+7 727 111 0000",
    "8 (727) 111-00-00": "+7 727 111 0000",
    "+7.727.111.00.00": "+7 727 111 0000",
    "\N{LEFT-TO-RIGHT MARK}+7\N{NO-BREAK SPACE}727 111\N{NON-BREAKING HYPHEN}00\N{EN DASH}00": "+7 727 111 0000",
    "+7 727 111 0000\n": "+7 727 111 0000",
    "+77271110000".translate(WIDE): "+7 727 111 0000",
    "٨٧٢٧١١١٠٠٠٠": "+7 727 111 0000",
    "7271110": "7271110",  # a town's own number
    "8 916 123 45 67": "8 916 123 45 67",  # Russian
    "7011111111": "+7 701 111 1111",
    "7911123456": "7911123456",  # British: no Kazakh code begins with 79
}


@pytest.mark.parametrize("phone", SENT_AS)
def test_phones(phone):
    """However a Kazakh number is written, it is sent as Kaspi documents it; another one as it is."""
    assert to(phone=phone).to_json()["dropoff"]["contact"]["phone"] == SENT_AS[phone] == normalize_phone(phone)


NUMBERS = {"+77271110000": "+7 727 111 0000", "+998901234567": "+998 90 123 45 67", "+390612345678": "+39 06 1234 5678"}


@pytest.mark.parametrize("digits", NUMBERS)
def test_numbers_of_the_library(digits):
    """A PhoneNumber is read, with the zero that an Italian one begins with; foreign ones are grouped as at home."""
    assert normalize_phone(phonenumbers.parse(digits)) == normalize_phone(digits) == NUMBERS[digits]


def test_a_number_that_the_library_could_not_read():
    """What was typed is kept, and refused."""
    with pytest.raises(UsageError):
        normalize_phone(phonenumbers.PhoneNumber(raw_input="unknown"))


def test_phones_without_the_library(monkeypatch):
    """Kazakh numbers and PhoneNumbers need none; a foreign number keeps its own form."""
    monkeypatch.setattr(phones, "_library", lambda: None)
    assert normalize_phone(phonenumbers.parse("+77271110000")) == "+7 727 111 0000"
    assert normalize_phone("+998 901234567") == "+998 901234567"


NO_PHONES = [
    "",
    "   ",
    "727111",
    "------------",
    "+7 727 11",
    "+7 727 111 0000 ext 5",
    "+7 727 111 0000 доб. 5",
    "+7 727 111 0000 0000 00000",
    "7+27 111 0000",
    None,
    87271110000,
    phonenumbers.parse("+7 727 111 0000 ext. 5"),
]


@pytest.mark.parametrize("phone", NO_PHONES)
def test_phones_that_cannot_be_called(phone):
    """Anything else is the caller's mistake; the error names whose phone it is, and what to write."""
    with pytest.raises(UsageError, match=r"the recipient's phone \(dropoff\.contact\.phone\) must look like \+7 727"):
        to(phone=phone)
    with pytest.raises(UsageError, match=r"the phone must look like \+7 727 111 0000"):
        normalize_phone(phone)


@pytest.mark.parametrize("part", ["pickup", "dropoff"])
def test_the_error_names_the_side(part):
    """The sender's data comes from the shop's settings, the recipient's from a customer."""
    whose = {"pickup": "sender", "dropoff": "recipient"}[part]
    with pytest.raises(UsageError, match=rf"the {whose}'s address \({part}\.address\)"):
        request(**{part: Location(address=" ", contact=CONTACT)})


TEXTS = {
    "the recipient's name (dropoff.contact.name)": lambda value: to(name=value),
    "the recipient's address (dropoff.address)": lambda value: request(
        dropoff=Location(address=value, contact=CONTACT)
    ),
    "Parcel.description": lambda value: Parcel(description=value, weight_grams=1, value_kzt=0),
}


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["", " \n\t", "\N{NO-BREAK SPACE}", None, 5, b"bytes"])
def test_required_texts(field, value):
    """A required text is a str with something in it, and the message names the field."""
    with pytest.raises(UsageError, match=f"^{re.escape(field)} must be a text that is not empty$"):
        TEXTS[field](value)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["a\0", "a\ud800", "\udfffa"])
def test_texts_that_cannot_be_sent(field, value):
    """NUL and lone surrogates are refused before they can be sent or stored."""
    with pytest.raises(UsageError, match=f"^{re.escape(field)} must not contain NUL"):
        TEXTS[field](value)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["Қазақ", "🎁", "a\nb", "'; --", "\ue000\ud7ff"])
def test_texts_of_any_language(field, value):
    """Any other character is welcome."""
    assert json.dumps(value) in json.dumps(TEXTS[field](value).to_json())


def test_notes_may_be_empty():
    """Notes are optional."""
    assert "notes" not in PLACE.to_json()


@pytest.mark.parametrize("notes", [None, 5, "a\0"])
def test_notes_are_a_text(notes):
    """But they are a text that can be sent."""
    with pytest.raises(UsageError, match=r"the notes about the recipient \(dropoff\.notes\)"):
        request(dropoff=Location(address="A", contact=CONTACT, notes=notes))


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_grams": 1},
        {"weight_grams": MAX_INT},
        {"value_kzt": 0},
        {"value_kzt": MAX_INT},
    ],
)
def test_figures(changes):
    """Weights go from 1 g, values from 0 ₸, up to what a database's integer holds."""
    assert dataclasses.replace(PARCEL, **changes)


@pytest.mark.parametrize(
    "changes",
    [{"weight_grams": value} for value in (0, -1, MAX_INT + 1, 1.0, 1.5, "1", True, None, float("nan"))]
    + [{"value_kzt": value} for value in (-1, MAX_INT + 1, 450.5, "450", False, None)],
)
def test_figures_that_cannot_be(changes):
    """A fraction, a bool, a text, or a figure out of range is refused by name."""
    with pytest.raises(UsageError, match=rf"^Parcel\.{next(iter(changes))} must be a whole number"):
        dataclasses.replace(PARCEL, **changes)


@pytest.mark.parametrize("key", ["pickup", "dropoff", "parcel"])
def test_parts_of_a_request(key):
    """Each part of a request is one of ours, not a dict."""
    with pytest.raises(UsageError, match=rf"^DeliveryRequest\.{key} must be a"):
        request(**{key: {}})


def test_a_place_has_a_contact():
    """A location's contact is a Contact."""
    with pytest.raises(UsageError, match=r"dropoff\.contact must be a Contact"):
        request(dropoff=Location(address="A", contact={"name": "A", "phone": "+7 727 111 0000"}))


@pytest.mark.parametrize("external_id", ["", "x", "order/742 b", "x" * 128])
def test_external_order_ids(external_id):
    """An externalOrderId is up to 128 printable ASCII characters; the package fills in none."""
    assert request(external_order_id=external_id).external_order_id == external_id


@pytest.mark.parametrize("external_id", ["x" * 129, " x", "x\n", "x\0", "заказ", "..", ".", 742])
def test_external_order_ids_that_cannot_be(external_id):
    """Anything else is refused."""
    with pytest.raises(UsageError, match="external_order_id must be"):
        request(external_order_id=external_id)


@pytest.mark.parametrize("value", [CONTACT, PLACE, PARCEL, request(), Eta()])
def test_values_are_frozen(value):
    """A value cannot be changed after its check."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "x")


@pytest.mark.parametrize("kind", [Contact, Location, Parcel, DeliveryRequest, RemoteDelivery])
def test_values_take_keywords(kind):
    """Two texts cannot be mixed up by their order."""
    with pytest.raises(TypeError):
        kind("a", "b")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T17:00:00+05:00", NOON),
        ("2026-03-01T12:00:00.000000+00:00", NOON),
        ("2026-03-01 12:00:00Z", NOON),
        ("2026-03-01t12:00:00z", NOON),
        ("2026-03-01t07:00:00-05:00", NOON),
        ("2026-03-01T12:00:00-00:00", NOON),
        ("2026-03-01T12:00:00.5Z", NOON.replace(microsecond=500000)),
        ("2026-03-01T12:00:00.123456789z", NOON.replace(microsecond=123456)),
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
        "",
        "soon",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2026-03-01T12:00:00+99:99",
        "2026-03-01T12:00:60Z",
        "2026-03-01T12:59:60Z",
        "2026-03-01T23:59:61Z",
        "9999-12-31T23:59:60Z",
        "2016-12-31T23:59:60",
        "\ud800",
        1772366400,
        None,
        [],
    ],
)
def test_times_that_cannot_be_read(value):
    """A naive, impossible or overflowing time reads as None."""
    assert read_time(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("Кітап", "Кітап"), ("a\0b", "a�b"), ("a\ud83d", "a�"), ("🎁", "🎁"), (None, ""), (5, "")],
)
def test_texts_of_kaspi(value, text):
    """A text from Kaspi can be stored: NUL and lone surrogates are replaced."""
    assert read_text(value) == text


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


WHOLE = {**BOOKED, **request().to_json()}


def test_reads_what_was_booked():
    """A Delivery brings the request back, in the values that it was built of."""
    read = RemoteDelivery.from_json(WHOLE)
    booked = DeliveryRequest(
        pickup=read.pickup, dropoff=read.dropoff, parcel=read.parcel, external_order_id=read.external_order_id
    )
    assert booked == request()
    assert read.raw == WHOLE


@pytest.mark.parametrize("odd", [None, 5, True, "x", [], {}, {"address": "Almaty"}, {"contact": None}, {"parcel": {}}])
@pytest.mark.parametrize("key", ["pickup", "dropoff", "parcel"])
def test_parts_that_cannot_be_used(key, odd):
    """A part that is missing, or none that could be sent, is None; the others, and raw, have theirs."""
    raw = {**WHOLE, key: odd}
    assert RemoteDelivery.from_json(raw) == dataclasses.replace(RemoteDelivery.from_json(WHOLE), **{key: None}, raw=raw)


def test_parts_that_are_odd_but_usable():
    """1200.0 is 1200, notes of another type are none, and a text is kept so that it can be stored."""
    parcel = {"description": "a\0b", "weightGrams": 1200.0, "valueKzt": 4.5e4}
    read = RemoteDelivery.from_json({**WHOLE, "parcel": parcel, "pickup": {**WHOLE["pickup"], "notes": 5}})
    assert read.parcel == Parcel(description="a�b", weight_grams=1200, value_kzt=45000)
    assert read.pickup == request().pickup


@pytest.mark.parametrize("weight", [0, -1, 1.5, float("nan"), float("inf"), 2**31, "1200", None, True, [], {}])
def test_a_weight_that_cannot_be_used(weight):
    """Neither an exception nor a weight that is none."""
    parcel = {**WHOLE["parcel"], "weightGrams": weight}
    assert RemoteDelivery.from_json({**WHOLE, "parcel": parcel}).parcel is None


@pytest.mark.parametrize("eta", [None, [], "soon", {}, {"pickupBy": None}, {"pickupBy": "soon", "deliveryBy": 5}])
def test_an_eta_that_says_nothing(eta):
    """Missing, null or unreadable, it reads as no promise."""
    raw = {**BOOKED, "eta": eta}
    assert RemoteDelivery.from_json(raw).eta == Eta()


def test_reads_an_empty_delivery():
    """What is missing reads as absent."""
    assert RemoteDelivery.from_json({}) == RemoteDelivery(delivery_id="", status="")


@pytest.mark.parametrize("odd", [None, 5, True, [], {}, [5], {"a": 1}, 1.5])
@pytest.mark.parametrize("key", [*BOOKED, "externalOrderId", "eta", "history"])
def test_fields_of_another_type(key, odd):
    """A field of an unexpected type reads as absent, and stays in raw."""
    read = RemoteDelivery.from_json({**BOOKED, key: odd})
    whole = RemoteDelivery.from_json(BOOKED)
    names = {"deliveryId": "delivery_id", "trackingUrl": "tracking_url", "status": "status"}
    absent = {names[key]: ""} if key in names else {}
    assert read == dataclasses.replace(whole, raw={**BOOKED, key: odd}, **absent)


@pytest.mark.parametrize("bad", ["", "x" * 129, "..", "dlv\0", "dlv\n", "тапсырыс", " dlv"])
def test_unusable_delivery_ids(bad):
    """A deliveryId that we could not ask for is none."""
    assert RemoteDelivery.from_json({**BOOKED, "deliveryId": bad}).delivery_id == ""


@pytest.mark.parametrize(("given", "read"), [("returned", "returned"), ("a b", ""), ("x" * 65, "")])
def test_statuses(given, read):
    """Any one word is a status, known or not."""
    assert RemoteDelivery.from_json({**BOOKED, "status": given}).status == read


def test_a_history_with_holes():
    """Entries that are no objects are left out, entries that say nothing are empty."""
    read = RemoteDelivery.from_json({**BOOKED, "history": [None, "x", {}, {"status": 5}]})
    assert read.history == (HistoryEntry(status="", timestamp=None),) * 2


def test_reads_a_test_webhook():
    """The answer to a test webhook names the event."""
    raw = {"eventId": "wh_1", "status": "queued"}
    assert TestWebhook.from_json(raw) == TestWebhook(event_id="wh_1", status="queued", raw=raw)


RAW = {"dropoff": {"address": PERSONAL[2], "contact": {"name": PERSONAL[0], "phone": PERSONAL[1]}}}
HISTORY = [{"status": "created", "notes": PERSONAL[3]}]


@pytest.mark.parametrize(
    "value",
    [
        request(),
        request().dropoff,
        request().dropoff.contact,
        RemoteDelivery.from_json({**BOOKED, **RAW, "history": HISTORY}),
        RemoteDelivery.from_json({**WHOLE, "parcel": {**WHOLE["parcel"], "description": PERSONAL[0]}}),
        HistoryEntry.from_json(HISTORY[0]),
        TestWebhook.from_json(RAW),
        RemoteEvent(
            event_id="wh_1",
            type="delivery.created",
            attempt=1,
            delivery_id="dlv_1",
            external_order_id="order-742",
            status="created",
            occurred_at=None,
            raw=RAW,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_personal_data_in_reprs(value):
    """No repr or str shows a name, a phone, an address or notes."""
    shown = f"{value!r} {value!s}"
    assert not any(personal in shown for personal in PERSONAL)


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_no_personal_data_in_usage_errors(bad):
    """A refused value is not repeated."""
    for build in TEXTS.values():
        with pytest.raises(UsageError) as caught:
            build(PERSONAL[0] + bad)
        assert PERSONAL[0] not in f"{caught.value} {caught.value!r}"


def test_a_refused_phone_is_not_repeated():
    """Nor is a phone that is too long to be one."""
    with pytest.raises(UsageError) as caught:
        to(phone=PERSONAL[1] * 3)
    assert PERSONAL[1] not in f"{caught.value} {caught.value!r}"
