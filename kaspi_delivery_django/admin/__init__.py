"""The staff's side: read-only mirrors of what happened, and actions that ask first.

A shop's own order pages take `DeliveryInline` and `DeliveryAttentionMixin` from here.
"""

from kaspi_delivery_django.admin import calls, deliveries, events, records
from kaspi_delivery_django.admin.orders import DeliveryAttentionMixin, DeliveryInline

__all__ = ["DeliveryAttentionMixin", "DeliveryInline", "calls", "deliveries", "events", "records"]
