"""Put a delivery on the list that asks for a person, and take it off again."""

import logging

from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services.transactions import after_commit
from kaspi_delivery_django.signals import delivery_needs_attention

logger = logging.getLogger(__name__)

OF_BOOKING = frozenset(
    {
        Attention.ADAPTER_FAILED,
        Attention.REFUSED,
        Attention.OUTCOME_UNKNOWN,
        Attention.KEY_REUSED,
        Attention.FOREIGN_DELIVERY,
        Attention.TOO_OLD,
        Attention.CONFIGURATION_CHANGED,
    }
)
OF_NEWS = frozenset({Attention.CONTRADICTION})
OF_ASKING = frozenset({Attention.NOT_FOUND, Attention.REFUSED, Attention.CONFIGURATION_CHANGED})
OF_CANCELLING = frozenset({Attention.CANCEL_REFUSED, Attention.CANCEL_UNKNOWN})
OF_EDITING = frozenset({Attention.ORDER_EDITED})


def flag(delivery: Delivery, reason: Attention) -> None:
    """Mark a locked delivery, which the caller saves; the shop is told after the commit.

    A second parcel stays marked whatever comes, and what may clear itself replaces nothing.
    """
    marked = delivery.attention
    if marked in {reason, Attention.SECOND_PARCEL} or (marked and reason in OF_NEWS | OF_EDITING):
        return
    delivery.attention = reason
    logger.warning("delivery needs attention: delivery=%s reason=%s", delivery.pk, reason.value)
    after_commit(_announce, delivery, reason.value, using=delivery._state.db)


def clear(delivery: Delivery, reasons: frozenset[Attention]) -> None:
    """Unmark a locked delivery, which the caller saves, when what it was marked for is over."""
    if delivery.attention in reasons:
        delivery.attention = ""


def _announce(delivery: Delivery, reason: str) -> None:
    delivery_needs_attention.send_robust(Delivery, delivery=delivery, attention=reason)
