"""Statuses of a delivery: ranks, labels, and what an update means. No clock, no table.

Kaspi's statuses go created → accepted → in_transit → out_for_delivery → delivered; `cancelled` ends
a delivery that was not picked up. Any other status is stored and shown, and a refresh is scheduled.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

CREATED = "created"
ACCEPTED = "accepted"
IN_TRANSIT = "in_transit"
OUT_FOR_DELIVERY = "out_for_delivery"
DELIVERED = "delivered"
CANCELLED = "cancelled"
RANKS = {"": 0, CREATED: 1, ACCEPTED: 2, IN_TRANSIT: 3, OUT_FOR_DELIVERY: 4, DELIVERED: 5, CANCELLED: 5}
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


def progress_rank(status: str) -> int:
    """Return how far a parcel is; an unknown status counts as under way."""
    return RANKS.get(status, RANKS[IN_TRANSIT])


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


RETURN_LABELS: dict[str, Promise] = {
    **STATUS_LABELS,
    CREATED: pgettext_lazy("return", "Created"),
    ACCEPTED: gettext_lazy("The courier is on the way to you"),
    OUT_FOR_DELIVERY: pgettext_lazy("return", "On the way to the shop"),
    DELIVERED: pgettext_lazy("return", "Back at the shop"),
    CANCELLED: pgettext_lazy("return", "Cancelled"),
}


RETURN_EXPLANATIONS: dict[str, Promise] = {
    CREATED: gettext_lazy("A courier will fetch the parcel from you."),
    ACCEPTED: gettext_lazy("Please have the parcel ready."),
    IN_TRANSIT: gettext_lazy("The courier has your parcel."),
    DELIVERED: gettext_lazy("The shop has received your parcel."),
    CANCELLED: gettext_lazy("This parcel will not be fetched."),
}


def status_label(status: str) -> str:
    """Return the label of a status in the active language; an unknown status is its own label."""
    return str(STATUS_LABELS.get(status, status))


def customer_label(status: str, *, is_return: bool = False) -> str:
    """Return the label of a status as its customer reads it; an unknown status is its own label."""
    labels = RETURN_LABELS if is_return else CUSTOMER_LABELS
    return str(labels.get(status, status))


def status_explanation(status: str, *, is_return: bool = False) -> str:
    """Return what a status means for the customer; empty where the label is enough."""
    explanations = RETURN_EXPLANATIONS if is_return else STATUS_EXPLANATIONS
    return str(explanations.get(status, ""))
