"""Put a delivery on the list that asks for a person, and take it off again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from django.db import connections, transaction

from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.signals import delivery_needs_attention

logger = logging.getLogger(__name__)


OF_BOOKING = frozenset(
    {
        Attention.ADAPTER_FAILED,
        Attention.REFUSED,
        Attention.OUTCOME_UNKNOWN,
        Attention.KEY_REUSED,
        Attention.PAYLOAD_CHANGED,
        Attention.DATA_ERROR,
        Attention.FOREIGN_DELIVERY,
        Attention.TOO_OLD,
        Attention.CONFIGURATION_CHANGED,
        Attention.NOT_WANTED,
    }
)
OF_WAITING = frozenset({Attention.NOT_WANTED})
OF_NEWS = frozenset({Attention.CONTRADICTION})
OF_ASKING = frozenset({Attention.NOT_FOUND, Attention.REFUSED, Attention.CONFIGURATION_CHANGED, Attention.DATA_ERROR})


OF_CANCELLING = frozenset(
    {Attention.CANCEL_REFUSED, Attention.CANCEL_UNKNOWN, Attention.PAYLOAD_CHANGED, Attention.DATA_ERROR}
)
OF_EDITING = frozenset({Attention.ORDER_EDITED})
OF_COURIER = OF_NEWS | OF_CANCELLING | OF_EDITING | {Attention.NOT_FOUND, Attention.UNKNOWN_STATUS}
OF_FOLLOWING = frozenset({Attention.ADAPTER_FAILED, Attention.NOT_WANTED})
OVER = OF_CANCELLING | OF_EDITING | OF_ASKING | OF_FOLLOWING
COLUMNS = ("attention", "raised_reasons", "order_sha256", "updated_at")
MARK_DIGITS = 8
ACKNOWLEDGED = "!"


@dataclass
class _Announcement:
    """Notifies the shop once the transaction is over, if the reason still stands then: once for each transaction."""

    delivery: Delivery
    reason: str
    even_if_cleared: bool
    weaker: "_Announcement | None" = None  # made before it, in the same transaction
    is_over: bool = False
    is_made: bool = False

    def __call__(self) -> None:
        self.is_over = True
        try:
            self._announce()
        except Exception as err:  # noqa: BLE001  # the shop's transaction is over and good
            logger.error("not announced: delivery=%s error=%s", self.delivery.pk, errors.describe(err))  # noqa: TRY400

    def _announce(self) -> None:
        if self.weaker is not None and self.weaker.is_made:
            return
        committed = Delivery.objects.filter(pk=self.delivery.pk).first()
        if committed is not None and (self.even_if_cleared or committed.attention == self.reason):
            self.is_made = True
            delivery_needs_attention.send_robust(Delivery, delivery=committed, attention=self.reason)

    def is_like(self, other: "_Announcement") -> bool:
        """Tell whether the other is one for the same delivery and reason that is still to be made."""
        return not other.is_over and (self.delivery.pk, self.reason) == (other.delivery.pk, other.reason)


def flag(delivery: Delivery, reason: Attention, *, occurrence: str = "", even_if_cleared: bool = False) -> None:
    """Mark a locked delivery, which the caller saves (COLUMNS); the shop is told after the commit.

    A second parcel stays marked whatever comes, and what may clear itself replaces nothing. An edit that
    is replaced is noticed again by the next refresh. What staff have acknowledged does not come back for the same
    `occurrence`: it takes a new fact, or that `clear` was called in between because the former one was over. What the
    same transaction clears again is not announced, unless `even_if_cleared`.
    """
    marked = delivery.attention
    if marked == reason and even_if_cleared:
        _insist(delivery, reason)
    if marked in {reason, Attention.SECOND_PARCEL} or (marked and reason in OF_NEWS | OF_EDITING):
        return
    raised, fact = _raised(delivery), _digest(occurrence)
    known = raised.get(reason, "").removesuffix(ACKNOWLEDGED) == fact and reason in raised
    if known and raised[reason].endswith(ACKNOWLEDGED):
        return
    if marked == Attention.ORDER_EDITED:
        delivery.order_sha256 = ""
    delivery.attention = reason
    _remember(delivery, {**raised, reason: fact})
    if not known:
        announce(delivery, reason, even_if_cleared=even_if_cleared)


def clear(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Unmark a locked delivery, which the caller saves, when what it was marked for is over.

    If another of its calls waits for a person as well, it is marked for that one from now on.
    """
    forget(delivery, reasons)
    if delivery.attention not in reasons:
        return
    delivery.attention = ""
    look_again(delivery)


def acknowledge(delivery: Delivery) -> None:
    """Unmark a locked delivery, which the caller saves: staff have dealt with this occurrence of its reason."""
    raised, reason = _raised(delivery), delivery.attention
    _remember(delivery, {**raised, reason: raised.get(reason, _digest("")) + ACKNOWLEDGED})
    delivery.attention = ""
    look_again(delivery)


def forget(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Have these reasons raised again when they occur again: something has changed. The caller saves the delivery."""
    raised = _raised(delivery)
    if raised.keys() & reasons:
        _remember(delivery, {reason: fact for reason, fact in raised.items() if reason not in reasons})


def look_again(delivery: Delivery) -> None:
    """Mark a locked delivery, which the caller saves, for a call of its that waits for a person."""
    waiting = _why_a_call_waits(delivery)
    if waiting:
        flag(delivery, Attention(waiting))


def _why_a_call_waits(delivery: Delivery) -> str:
    """Return the reason of a call that still waits; the latest of a kind speaks for the kind."""
    newest = {call.kind: call for call in ApiCall.objects.filter(delivery=delivery).order_by("pk")}
    if delivery.delivery_id:
        newest.pop(ApiCall.Kind.CREATE, None)
    if not delivery.is_open:
        newest.pop(ApiCall.Kind.CANCEL, None)
        newest.pop(ApiCall.Kind.REFRESH, None)
    waiting = (ApiCall.State.STUCK, ApiCall.State.REFUSED)
    return next((call.reason for call in newest.values() if call.state in waiting and call.reason), "")


def announce(delivery: Delivery, reason: Attention, *, even_if_cleared: bool = False) -> None:
    """Send the signal after the commit, if the delivery is still flagged for this reason then, or in any case."""
    logger.warning("delivery needs attention: delivery=%s reason=%s", delivery.pk, reason.value)
    _announce_once(_Announcement(delivery, reason.value, even_if_cleared))


def _announce_once(announcement: _Announcement) -> None:
    """Announce a reason after the commit, unless this transaction will do so already, and as surely.

    A weaker one is left as it is: the stronger one may go with its savepoint.
    """
    pending = _pending(announcement)
    if any(other.even_if_cleared or not announcement.even_if_cleared for other in pending):
        return
    announcement.weaker = next(iter(pending), None)
    transaction.on_commit(announcement, using=db_alias())


def _insist(delivery: Delivery, reason: Attention) -> None:
    """Announce in any case what this transaction is to announce if it still stands."""
    announcement = _Announcement(delivery, reason.value, even_if_cleared=True)
    if _pending(announcement):
        _announce_once(announcement)


def _pending(announcement: _Announcement) -> list[_Announcement]:
    noted = (entry[1] for entry in connections[db_alias()].run_on_commit)
    return [other for other in noted if isinstance(other, _Announcement) and announcement.is_like(other)]


def _raised(delivery: Delivery) -> dict[str, str]:
    """Read which reasons were raised, and for which occurrence of each."""
    pairs = (word.partition(":") for word in delivery.raised_reasons.split())
    return {reason: fact for reason, _colon, fact in pairs}


def _remember(delivery: Delivery, raised: Mapping[str, str]) -> None:
    delivery.raised_reasons = " ".join(f"{reason!s}:{fact}" for reason, fact in raised.items())


def _digest(occurrence: str) -> str:
    """Shorten what tells one occurrence from another: an event's id, a delivery id, an order's digest."""
    return sha256(occurrence.encode()).hexdigest()[:MARK_DIGITS] if occurrence else ""
