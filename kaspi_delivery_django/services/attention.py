"""Put a delivery on the list that asks for a person, and take it off again."""

import logging

from kaspi_delivery_django.lifecycle import CANCELLED
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services.transactions import after_commit, home, in_transaction
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
COLUMNS = ("attention", "order_sha256", "updated_at")


def flag(delivery: Delivery, reason: Attention) -> None:
    """Mark a locked delivery, which the caller saves (COLUMNS); the shop is told after the commit.

    A second parcel stays marked whatever comes, and what may clear itself replaces nothing. An edit that
    is replaced is noticed again by the next refresh.
    """
    marked = delivery.attention
    if marked in {reason, Attention.SECOND_PARCEL} or (marked and reason in OF_NEWS | OF_EDITING):
        return
    if marked == Attention.ORDER_EDITED:
        delivery.order_sha256 = ""
    delivery.attention = reason
    logger.warning("delivery needs attention: delivery=%s reason=%s", delivery.pk, reason.value)
    announcement = _announce_what_stays if in_transaction() else _announce
    after_commit(announcement, delivery, reason.value, using=home())


def clear(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Unmark a locked delivery, which the caller saves, when what it was marked for is over.

    If another of its calls waits for a person as well, it is marked for that one from now on.
    """
    if delivery.attention not in reasons:
        return
    delivery.attention = ""
    look_again(delivery)


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
    if delivery.status == CANCELLED:
        newest.pop(ApiCall.Kind.CANCEL, None)
    waiting = (ApiCall.State.STUCK, ApiCall.State.REFUSED)
    return next((call.reason for call in newest.values() if call.state in waiting and call.reason), "")


def _announce_what_stays(delivery: Delivery, reason: str) -> None:
    """Announce it, unless the transaction has answered it since: an order's second save, say."""
    if Delivery.objects.filter(pk=delivery.pk, attention=reason).exists():
        _announce(delivery, reason)


def _announce(delivery: Delivery, reason: str) -> None:
    delivery_needs_attention.send_robust(Delivery, delivery=delivery, attention=reason)
