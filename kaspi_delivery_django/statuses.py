"""Statuses of a delivery: ranks, labels, and what an update means. No clock, no table.

Kaspi's statuses go created → accepted → in_transit → out_for_delivery → delivered; `cancelled` ends
a delivery that was not picked up. Any other status is stored and shown, and a refresh is scheduled.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum, auto

from django.utils import numberformat
from django.utils.formats import date_format, get_format_modules, number_format
from django.utils.functional import Promise
from django.utils.timezone import is_aware, localtime
from django.utils.translation import get_language, gettext_lazy, pgettext_lazy

from kaspi_delivery_django.locale.kk import formats as kazakh

CREATED = "created"
ACCEPTED = "accepted"
IN_TRANSIT = "in_transit"
OUT_FOR_DELIVERY = "out_for_delivery"
DELIVERED = "delivered"
CANCELLED = "cancelled"
RANKS = {"": 0, CREATED: 1, ACCEPTED: 2, IN_TRANSIT: 3, OUT_FOR_DELIVERY: 4, DELIVERED: 5, CANCELLED: 5}
DAY_AND_TIME = "j E, H:i"
STATUSES = tuple(status for status in RANKS if status)
TERMINAL = frozenset({DELIVERED, CANCELLED})
OPEN = tuple(status for status in STATUSES if status not in TERMINAL)
CANCELLABLE = frozenset({"", CREATED, ACCEPTED})
AWAITING_PICKUP = (CREATED, ACCEPTED)
PICKED_UP = frozenset({IN_TRANSIT, OUT_FOR_DELIVERY, DELIVERED})


class Transition(Enum):
    """What a status update does to a delivery."""

    ADVANCE = auto()
    REPEAT = auto()
    STALE = auto()
    CONTRADICTION = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class StatusSnapshot:
    """A status and the time since when it holds at Kaspi; None if unknown."""

    status: str
    at: datetime | None = None


def is_cancellable(status: str) -> bool:
    """Return whether Kaspi may accept a cancel; for an unknown status Kaspi decides."""
    return status in CANCELLABLE or status not in RANKS


def transition(current: StatusSnapshot, incoming: StatusSnapshot, *, is_consistent: bool = True) -> Transition:
    """Return what `incoming` means for a delivery whose status is `current`.

    Known statuses are compared by rank, so that any order and any duplication of arrivals end the same way;
    times only order updates to a status of unknown rank. An update that is not `is_consistent` names two statuses.
    """
    if not is_consistent:
        return Transition.CONTRADICTION
    if incoming.status == current.status:
        return Transition.REPEAT
    if incoming.status not in RANKS:
        return Transition.STALE if current.status in TERMINAL else Transition.UNKNOWN
    if current.status not in RANKS:
        return _from_unknown(current, incoming)
    return _from_known(current.status, incoming.status)


def _from_unknown(current: StatusSnapshot, incoming: StatusSnapshot) -> Transition:
    older = current.at and incoming.at and incoming.at < current.at
    return Transition.STALE if older and incoming.status not in TERMINAL else Transition.ADVANCE


def _from_known(current: str, incoming: str) -> Transition:
    if CANCELLED in {current, incoming} and {current, incoming} & PICKED_UP:
        return Transition.CONTRADICTION
    return Transition.ADVANCE if RANKS[incoming] > RANKS[current] else Transition.STALE


STATUS_LABELS: dict[str, Promise] = {
    "": pgettext_lazy("status", "Not booked yet"),
    CREATED: pgettext_lazy("status", "Created"),
    ACCEPTED: pgettext_lazy("status", "Accepted"),
    IN_TRANSIT: pgettext_lazy("status", "In transit"),
    OUT_FOR_DELIVERY: pgettext_lazy("status", "Out for delivery"),
    DELIVERED: pgettext_lazy("status", "Delivered"),
    CANCELLED: pgettext_lazy("status", "Cancelled"),
}


CUSTOMER_LABELS: dict[str, Promise] = {
    **STATUS_LABELS,
    OUT_FOR_DELIVERY: gettext_lazy("The courier is on the way to you"),
}


STATUS_EXPLANATIONS: dict[str, Promise] = {
    CREATED: gettext_lazy("Kaspi has your order."),
    ACCEPTED: gettext_lazy("A courier is on the way to the shop."),
    IN_TRANSIT: gettext_lazy("The courier has your parcel."),
    DELIVERED: gettext_lazy("Your parcel has arrived."),
    CANCELLED: gettext_lazy("This parcel will not be delivered."),
}


def status_label(status: str) -> str:
    """Return the label of a status in the active language; an unknown status is its own label."""
    return str(STATUS_LABELS.get(status, status))


def customer_label(status: str) -> str:
    """Return the label of a status as its customer reads it; an unknown status is its own label."""
    return str(CUSTOMER_LABELS.get(status, status))


def status_explanation(status: str) -> str:
    """Return what a status means for the customer; empty where the label is enough."""
    return str(STATUS_EXPLANATIONS.get(status, ""))


_UNITS = (  # from how many seconds on each is used, and how many it has; hours go up to two days: a day is too coarse
    (172_800, 86_400, gettext_lazy("%(count)s d")),
    (3600, 3600, gettext_lazy("%(count)s h")),
    (60, 60, gettext_lazy("%(count)s min")),
    (0, 1, gettext_lazy("%(count)s s")),
)


def duration_label(time: timedelta) -> str:
    """Return a duration in one unit: "45 s", "45 min", "3 h", "2 d"; a negative one as "0 s"."""
    seconds = max(0, int(time.total_seconds()))
    _least, size, label = _UNITS[_greatest_unit(seconds)]
    return str(label % {"count": seconds // size})


def exact_duration_label(time: timedelta) -> str:
    """Return a duration in its two greatest units, rounded: "20 s", "12 min 5 s", "30 h 5 min", "3 d"."""
    rest = max(0, round(time.total_seconds()))
    units = _UNITS[_greatest_unit(rest) :][:2]
    rest = round(rest / units[-1][1]) * units[-1][1]
    counted = list[str]()
    for _least, size, label in units:
        count, rest = divmod(rest, size)
        if count or not (counted or rest):
            counted.append(str(label % {"count": count}))
    return " ".join(counted)


def _greatest_unit(seconds: int) -> int:
    return next(number for number, (least, _size, _label) in enumerate(_UNITS) if seconds >= least)


def lacks_formats() -> bool:
    """Return whether the active language is Kazakh and neither Django nor the project has formats for it."""
    return _language() == "kk" and not get_format_modules()


def time_label(at: date, form: str = "SHORT_DATETIME_FORMAT") -> str:
    """Return a day, or a time in the active time zone, as the active language writes it.

    `form` is the name of one of Django's formats, or a format. Russian and Kazakh months have no capital in a date.
    """
    own = getattr(kazakh, form, form) if lacks_formats() else form
    text = date_format(localtime(at) if isinstance(at, datetime) and is_aware(at) else at, own)
    return text.lower() if _language() in {"kk", "ru"} else text


def number_label(number: int) -> str:
    """Return a number with its thousands grouped as the active language groups them."""
    if not lacks_formats():
        return number_format(number, force_grouping=True)
    separators = (kazakh.DECIMAL_SEPARATOR, None, kazakh.NUMBER_GROUPING, kazakh.THOUSAND_SEPARATOR)
    return numberformat.format(number, *separators, force_grouping=True)


def _language() -> str:
    return (get_language() or "").partition("-")[0]
