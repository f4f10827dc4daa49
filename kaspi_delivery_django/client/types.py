"""Values of the Kaspi Delivery API: frozen, typed, and the only place where camelCase lives.

`to_json` returns the form that is sent, `from_json` reads it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Self, TypeVar

from kaspi_delivery_django.client.addresses import base_url_problem
from kaspi_delivery_django.client.exceptions import UsageError
from kaspi_delivery_django.client.phones import format_phone, is_phone

Json = Mapping[str, Any]
Value = TypeVar("Value")
MAX_INT = 2**31 - 1
MAX_REASON_LENGTH = 500
_ID = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
_WORD = re.compile(r"[!-~]{1,64}")
_LEAP_SECOND = re.compile(r"(:[0-5][0-9]:)60(?=[.Z+-])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def is_identifier(value: object) -> bool:
    """Return whether this is an id as we accept it: 1 to 128 printable ASCII, no outer spaces."""
    return isinstance(value, str) and bool(_ID.fullmatch(value)) and value not in {".", ".."}


def is_word(value: object) -> bool:
    """Return whether this can be a status or an event type: 1 to 64 printable ASCII, no spaces."""
    return isinstance(value, str) and bool(_WORD.fullmatch(value))


def read_time(value: object) -> datetime | None:
    """Read an RFC 3339 time with an offset as aware UTC; None for anything else.

    `t` and `z` may be small. A leap second is the first second of the next day.
    """
    if not isinstance(value, str):
        return None
    text, leap_seconds = _LEAP_SECOND.subn(r"\g<1>59", value.upper(), count=1)
    try:
        read = datetime.fromisoformat(text)
        utc = read.astimezone(UTC) + timedelta(seconds=leap_seconds) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None
    is_possible = utc and (not leap_seconds or utc.time().replace(microsecond=0) == time.min)
    return utc if is_possible else None


def check_text(value: object, name: str, *, required: bool = True) -> None:
    """Raise `UsageError` unless this is a text that can be sent, and stored, as UTF-8."""
    if not isinstance(value, str) or (required and not value.strip()):
        raise UsageError(f"{name} must be a text that is not empty")
    if _UNSTORABLE.search(value):
        raise UsageError(f"{name} must not contain NUL or lone surrogates")


def check_reason(reason: object) -> None:
    """Raise `UsageError` unless this can be a cancel's reason: a text of at most 500 characters, or an empty one."""
    check_text(reason, "the reason", required=False)
    if isinstance(reason, str) and len(reason) > MAX_REASON_LENGTH:
        raise UsageError(f"the reason has {len(reason)} characters: shorten it to {MAX_REASON_LENGTH}")


def read_text(value: object) -> str:
    """Read a text so that any database can store it; empty for anything else."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else ""


def normalize_phone(phone: object) -> str:
    """Return a number as `+7 701 111 1111`; one that is not Kazakh keeps its own form.

    `phone` is a text, as a customer types it or a page shows it (`8 (701) 111-11-11`, other kinds of spaces and
    dashes, direction marks), or a PhoneNumber of phonenumbers or django-phonenumber-field. Raises `UsageError`
    for what is no phone number.
    """
    normalized = format_phone(phone)
    check_phone(normalized, "the phone")
    return normalized


def check_phone(value: object, name: str) -> None:
    """Raise `UsageError` unless Kaspi can be sent this as a phone."""
    if not is_phone(value):
        raise UsageError(f"{name} must look like +7 727 111 0000: digits only, and an extension belongs in the notes")


def check_base_url(base_url: str) -> str:
    """Return the base URL without its last slash; raise `UsageError` unless requests can be sent to it."""
    if problem := base_url_problem(base_url):
        raise UsageError(problem)
    return base_url.rstrip("/")


def _whole(value: object, name: str, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INT:
        raise UsageError(f"{name} must be a whole number from {least} to {MAX_INT}: write int(…)")


def _read_whole(value: object) -> Any:
    """Read 1200.0 as 1200, which is the same number in JSON; leave anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _usable(build: Callable[[Json], Value], raw: object) -> Value | None:
    """Read an object; None for what is none, or what could not be sent either."""
    try:
        return build(raw) if isinstance(raw, dict) else None
    except UsageError:
        return None


def _read_object(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Whom the courier meets. `phone` becomes `+7 727 111 0000` where `normalize_phone` can read it.

    The request that it becomes a part of checks it, and names the side.
    """

    name: str = field(repr=False)
    phone: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "phone", format_phone(self.phone))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "phone": self.phone}

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        return cls(name=read_text(raw.get("name")), phone=read_text(raw.get("phone")))


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a parcel is fetched or brought. `notes` are for the courier."""

    address: str = field(repr=False)
    contact: Contact
    notes: str = field(default="", repr=False)

    def check(self, name: str, whose: str) -> None:
        """Raise `UsageError` unless it can be sent. `name` is the request's part, `whose` its plain name."""
        check_text(self.address, f"the {whose}'s address ({name}.address)")
        check_text(self.notes, f"the notes about the {whose} ({name}.notes)", required=False)
        if not isinstance(self.contact, Contact):
            raise UsageError(f"{name}.contact must be a Contact")
        check_text(self.contact.name, f"the {whose}'s name ({name}.contact.name)")
        check_phone(self.contact.phone, f"the {whose}'s phone ({name}.contact.phone)")

    def to_json(self) -> dict[str, Any]:
        """Return the wire form; empty notes are left out."""
        wire: dict[str, Any] = {"address": self.address, "contact": self.contact.to_json()}
        return {**wire, "notes": self.notes} if self.notes else wire

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        """Read the wire form; raise `UsageError` for what could not be sent either."""
        contact = Contact.from_json(_read_object(raw, "contact"))
        location = cls(address=read_text(raw.get("address")), contact=contact, notes=read_text(raw.get("notes")))
        location.check("location", "contact")
        return location


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What is shipped. `value_kzt` is the declared value for the insurance, in whole tenge."""

    description: str
    weight_grams: int
    value_kzt: int

    def __post_init__(self) -> None:
        check_text(self.description, "Parcel.description")
        _whole(self.weight_grams, "Parcel.weight_grams", least=1)
        _whole(self.value_kzt, "Parcel.value_kzt", least=0)

    def to_json(self) -> dict[str, Any]:
        return {"description": self.description, "weightGrams": self.weight_grams, "valueKzt": self.value_kzt}

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        """Read the wire form; raise `UsageError` for what could not be sent either."""
        weight_grams, value_kzt = _read_whole(raw.get("weightGrams")), _read_whole(raw.get("valueKzt"))
        return cls(description=read_text(raw.get("description")), weight_grams=weight_grams, value_kzt=value_kzt)


@dataclass(frozen=True, kw_only=True)
class DeliveryRequest:
    """One delivery to book. `external_order_id` is filled in by the package when left empty."""

    pickup: Location
    dropoff: Location
    parcel: Parcel
    external_order_id: str = ""

    def __post_init__(self) -> None:
        if self.external_order_id and not is_identifier(self.external_order_id):
            raise UsageError("external_order_id must be 1 to 128 printable ASCII characters")
        kinds = {"pickup": Location, "dropoff": Location, "parcel": Parcel}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise UsageError(f"DeliveryRequest.{name} must be a {kind.__name__}")
        self.pickup.check("pickup", "sender")
        self.dropoff.check("dropoff", "recipient")

    def to_json(self) -> dict[str, Any]:
        return {
            "externalOrderId": self.external_order_id,
            "pickup": self.pickup.to_json(),
            "dropoff": self.dropoff.to_json(),
            "parcel": self.parcel.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Eta:
    """Kaspi's promise, aware UTC; None where Kaspi gave none."""

    pickup_by: datetime | None = None
    delivery_by: datetime | None = None

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        return cls(pickup_by=read_time(raw.get("pickupBy")), delivery_by=read_time(raw.get("deliveryBy")))


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One step of a delivery. `timestamp` is None when it cannot be read."""

    status: str
    timestamp: datetime | None
    notes: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        return cls(
            status=read_text(raw.get("status")),
            timestamp=read_time(raw.get("timestamp")),
            notes=read_text(raw.get("notes")),
        )


@dataclass(frozen=True, kw_only=True)
class RemoteDelivery:
    """A delivery as Kaspi has it: DeliveryCreated and Delivery alike.

    `pickup`, `dropoff` and `parcel` are None where the answer has none, or none that could be sent.

    `status` is Kaspi's word, an open set, empty when it is missing or unreadable. `raw` is the
    whole answer; `replayed`: it is a stored one (`X-Idempotent-Replay`). `request_id` names the
    exchange to Kaspi's support, `announcement` is what Kaspi's headers announce of the API.
    """

    delivery_id: str
    status: str
    external_order_id: str = ""
    tracking_url: str = ""
    eta: Eta = field(default_factory=Eta)
    pickup: Location | None = field(default=None, repr=False)
    dropoff: Location | None = field(default=None, repr=False)
    parcel: Parcel | None = field(default=None, repr=False)
    history: tuple[HistoryEntry, ...] = ()
    replayed: bool = False
    request_id: str = field(default="", compare=False)
    announcement: str = field(default="", compare=False)
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, raw: Json, *, replayed: bool = False) -> Self:
        """Read the wire form; `delivery_id` is empty when the answer has no usable one."""
        delivery_id, status, history = raw.get("deliveryId"), raw.get("status"), raw.get("history")
        entries = history if isinstance(history, list) else []
        return cls(
            delivery_id=str(delivery_id) if is_identifier(delivery_id) else "",
            status=str(status) if is_word(status) else "",
            external_order_id=read_text(raw.get("externalOrderId")),
            tracking_url=read_text(raw.get("trackingUrl")),
            eta=Eta.from_json(_read_object(raw, "eta")),
            pickup=_usable(Location.from_json, raw.get("pickup")),
            dropoff=_usable(Location.from_json, raw.get("dropoff")),
            parcel=_usable(Parcel.from_json, raw.get("parcel")),
            history=tuple(HistoryEntry.from_json(e) for e in entries if isinstance(e, dict)),
            replayed=replayed,
            raw=raw,
        )


@dataclass(frozen=True, kw_only=True)
class TestWebhook:
    """Kaspi's answer to a request for a test webhook."""

    __test__ = False

    event_id: str
    status: str
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        event_id = raw.get("eventId")
        named = str(event_id) if isinstance(event_id, int) and not isinstance(event_id, bool) else read_text(event_id)
        return cls(event_id=named, status=read_text(raw.get("status")), raw=raw)


@dataclass(frozen=True, kw_only=True)
class RemoteEvent:
    """One webhook's body. Texts are empty, and `occurred_at` is None, where Kaspi's cannot be used.

    `problem` is the reason why the event cannot be applied, empty when it can.
    """

    event_id: str
    type: str
    attempt: int
    delivery_id: str
    external_order_id: str
    status: str
    occurred_at: datetime | None
    problem: str = ""
    raw: Json = field(default_factory=dict, repr=False)
