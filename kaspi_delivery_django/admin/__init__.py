"""The staff's side: read-only mirrors of what happened, and actions that ask first.

A shop's own order pages take `DeliveryInline` and the mixins from here.
"""

from kaspi_delivery_django.admin import calls, deliveries, events
from kaspi_delivery_django.admin.orders.actions import DeliveryActionsMixin, OrderDeliveriesMixin
from kaspi_delivery_django.admin.orders.inline import DeliveryInline
from kaspi_delivery_django.admin.orders.lists import DeliveryAttentionMixin, DeliveryStatusMixin

__all__ = [
    "DeliveryActionsMixin",
    "DeliveryAttentionMixin",
    "DeliveryInline",
    "DeliveryStatusMixin",
    "OrderDeliveriesMixin",
    "calls",
    "deliveries",
    "events",
]
