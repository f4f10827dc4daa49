"""Flag a delivery for manual review, clear the flag, and send the signal to the shop."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import transaction

from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import FLAG_UNKNOWN_AFTER
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias, db_connection
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
OF_ADAPTER = frozenset({Attention.ADAPTER_FAILED, Attention.NOT_WANTED})
OF_CONTRADICTION = frozenset({Attention.CONTRADICTION})
OF_REFRESH = frozenset({Attention.NOT_FOUND, Attention.REFUSED, Attention.CONFIGURATION_CHANGED, Attention.DATA_ERROR})
OF_CANCEL = frozenset(
    {Attention.CANCEL_REFUSED, Attention.CANCEL_UNKNOWN, Attention.PAYLOAD_CHANGED, Attention.DATA_ERROR}
)
OF_EDIT = frozenset({Attention.ORDER_EDITED})
OF_UNKNOWN_STATUS = frozenset({Attention.UNKNOWN_STATUS})
OF_COURIER = OF_CONTRADICTION | OF_CANCEL | OF_EDIT | OF_UNKNOWN_STATUS | {Attention.NOT_FOUND}
OVER_AT_END = OF_CANCEL | OF_EDIT | OF_REFRESH | OF_ADAPTER
COLUMNS = ("attention", "raised_reasons", "order_sha256", "updated_at")
DIGEST_LENGTH = 8
ACKNOWLEDGED = "!"


@dataclass
class _Notification:
    """A callback after the commit that sends the signal, once for each transaction, if the flag is still set."""

    delivery: Delivery
    reason: str
    even_if_cleared: bool
    weaker: "_Notification | None" = None  # registered before it, in the same transaction
    is_over: bool = False
    is_sent: bool = False

    def __call__(self) -> None:
        self.is_over = True
        try:
            self._send()
        except Exception as err:  # noqa: BLE001  # the shop's transaction is committed
            logger.error("signal not sent: delivery=%s error=%s", self.delivery.pk, errors.describe(err))  # noqa: TRY400

    def _send(self) -> None:
        if self.weaker is not None and self.weaker.is_sent:
            return
        committed = Delivery.objects.filter(pk=self.delivery.pk).first()
        if committed is not None and (self.even_if_cleared or committed.attention == self.reason):
            self.is_sent = True
            delivery_needs_attention.send_robust(Delivery, delivery=committed, attention=self.reason)

    def is_like(self, other: "_Notification") -> bool:
        """Return whether the other is a pending notification of the same delivery and reason."""
        return not other.is_over and (self.delivery.pk, self.reason) == (other.delivery.pk, other.reason)


def flag(delivery: Delivery, reason: Attention, *, occurrence: str = "", even_if_cleared: bool = False) -> None:
    """Flag a locked delivery for manual review. The caller saves it (COLUMNS); the signal follows after the commit.

    A second parcel stays flagged, and a contradiction or an edit replaces no other reason. An edit that is replaced
    is found again by the next refresh. What staff have acknowledged is not flagged again for the same `occurrence`,
    unless `clear` or `forget` was called since. No signal is sent for a flag that the same transaction clears, unless
    `even_if_cleared`.
    """
    current = delivery.attention
    if current == reason and even_if_cleared:
        _notify_in_any_case(delivery, reason)
    if current in {reason, Attention.SECOND_PARCEL} or (current and reason in OF_CONTRADICTION | OF_EDIT):
        return
    raised, digest = _raised(delivery), _digest(occurrence)
    is_known = reason in raised and raised[reason].removesuffix(ACKNOWLEDGED) == digest
    if is_known and raised[reason].endswith(ACKNOWLEDGED):
        return
    if current == Attention.ORDER_EDITED:
        delivery.order_sha256 = ""
    delivery.attention = reason
    _remember(delivery, {**raised, reason: digest})
    if not is_known:
        logger.warning("delivery needs attention: delivery=%s reason=%s", delivery.pk, reason.value)
        _notify_once(_Notification(delivery, reason.value, even_if_cleared))


def clear(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Clear the flag of a locked delivery, which the caller saves, if it has one of these reasons.

    If another of its calls needs manual review, the delivery is flagged for that call.
    """
    forget(delivery, reasons)
    if delivery.attention in reasons:
        delivery.attention = ""
        flag_stopped_call(delivery)


def acknowledge(delivery: Delivery) -> None:
    """Clear the flag of a locked delivery, which the caller saves: staff have dealt with this occurrence."""
    raised, reason = _raised(delivery), delivery.attention
    _remember(delivery, {**raised, reason: raised.get(reason, _digest("")) + ACKNOWLEDGED})
    delivery.attention = ""
    flag_stopped_call(delivery)


def forget(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Let these reasons be flagged again when they occur again. The caller saves the delivery."""
    raised = _raised(delivery)
    if raised.keys() & reasons:
        _remember(delivery, {reason: digest for reason, digest in raised.items() if reason not in reasons})


def flag_stopped_call(delivery: Delivery) -> None:
    """Flag a locked delivery, which the caller saves, if one of its calls needs manual review.

    The latest call of each kind counts.
    """
    newest = {call.kind: call for call in ApiCall.objects.filter(delivery=delivery).order_by("pk")}
    if delivery.delivery_id:
        newest.pop(ApiCall.Kind.CREATE, None)
    if not delivery.is_open:
        newest.pop(ApiCall.Kind.CANCEL, None)
        newest.pop(ApiCall.Kind.REFRESH, None)
    for call in newest.values():
        if call.state in ApiCall.STOPPED and call.reason:
            flag(delivery, Attention(call.reason))
            return


def flag_unknown_status(delivery: Delivery, now: datetime) -> None:
    """Flag a locked delivery whose unknown status has lasted, once. The caller saves it (STATUS_COLUMNS).

    A delivery that has another flag is flagged after that one is cleared.
    """
    if not delivery.has_unknown_status:
        return
    has_lasted = delivery.age_of_status(now) >= FLAG_UNKNOWN_AFTER
    if not delivery.is_open:
        clear(delivery, OF_UNKNOWN_STATUS)
    elif not delivery.attention and delivery.final_asked_at is None and has_lasted:
        delivery.final_asked_at = now
        flag(delivery, Attention.UNKNOWN_STATUS)


def reset_unknown_status(delivery: Delivery) -> None:
    """Undo the marks of the status that a locked delivery leaves: it is live again, even if staff ended it."""
    delivery.final_at = delivery.final_asked_at = None
    clear(delivery, OF_UNKNOWN_STATUS)


def _notify_once(notification: _Notification) -> None:
    """Send the signal after the commit, unless this transaction has an equally strong notification already.

    A weaker one stays registered: the stronger one may be rolled back with its savepoint.
    """
    pending = _pending(notification)
    if any(other.even_if_cleared or not notification.even_if_cleared for other in pending):
        return
    notification.weaker = next(iter(pending), None)
    transaction.on_commit(notification, using=db_alias())


def _notify_in_any_case(delivery: Delivery, reason: Attention) -> None:
    """Make this transaction's pending notification independent of the flag."""
    notification = _Notification(delivery, reason.value, even_if_cleared=True)
    if _pending(notification):
        _notify_once(notification)


def _pending(notification: _Notification) -> list[_Notification]:
    callbacks = (entry[1] for entry in db_connection().run_on_commit)
    return [other for other in callbacks if isinstance(other, _Notification) and notification.is_like(other)]


def _raised(delivery: Delivery) -> dict[str, str]:
    """Read which reasons were flagged, each with the digest of its occurrence."""
    pairs = (word.partition(":") for word in delivery.raised_reasons.split())
    return {reason: digest for reason, _colon, digest in pairs}


def _remember(delivery: Delivery, raised: Mapping[str, str]) -> None:
    delivery.raised_reasons = " ".join(f"{reason!s}:{digest}" for reason, digest in raised.items())


def _digest(occurrence: str) -> str:
    """Shorten what distinguishes one occurrence from another: an event's id, a delivery id, an order's digest."""
    return sha256(occurrence.encode()).hexdigest()[:DIGEST_LENGTH] if occurrence else ""
