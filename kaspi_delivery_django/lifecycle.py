"""What a piece of news about a delivery means. Pure: no clock, no table.

Kaspi's statuses go created → accepted → in_transit → out_for_delivery → delivered; `cancelled` ends
a delivery that was not picked up. Any other word is kept and shown, and Kaspi is asked.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

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


class Verdict(Enum):
    """What to do with a piece of news."""

    ADVANCE = auto()
    REPEAT = auto()
    STALE = auto()
    CONTRADICTION = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Standing:
    """A status and since when it is Kaspi's word (None when no time is known)."""

    status: str
    at: datetime | None = None


def is_cancellable(status: str) -> bool:
    """Tell whether Kaspi may still take a cancel: Kaspi decides about a status that is new to us."""
    return status in CANCELLABLE or status not in RANKS


def judge(current: Standing, incoming: Standing) -> Verdict:
    """Return what `incoming` means for a delivery that stands at `current`.

    Known statuses go by rank, so that any order and any duplication of arrivals end the same way;
    the times only order news against a status whose rank nobody knows.
    """
    if incoming.status == current.status:
        return Verdict.REPEAT
    if incoming.status not in RANKS:
        return Verdict.STALE if current.status in TERMINAL else Verdict.UNKNOWN
    if current.status not in RANKS:
        return _judge_against_unknown(current, incoming)
    return _judge_known(current.status, incoming.status)


def _judge_against_unknown(current: Standing, incoming: Standing) -> Verdict:
    older = current.at and incoming.at and incoming.at < current.at
    return Verdict.STALE if older and incoming.status not in TERMINAL else Verdict.ADVANCE


def _judge_known(current: str, incoming: str) -> Verdict:
    if CANCELLED in {current, incoming} and {current, incoming} & PICKED_UP:
        return Verdict.CONTRADICTION
    return Verdict.ADVANCE if RANKS[incoming] > RANKS[current] else Verdict.STALE
