"""The four tables and the small ones beside them. Rows are written by `services/` alone."""

from kaspi_delivery_django.models.accounts import AccountState
from kaspi_delivery_django.models.actions import PendingAction
from kaspi_delivery_django.models.calls import ApiCall, FailedAttempt
from kaspi_delivery_django.models.columns import ExactCharField
from kaspi_delivery_django.models.deliveries import Attention, Delivery
from kaspi_delivery_django.models.events import WebhookEvent
from kaspi_delivery_django.models.history import StatusChange

__all__ = [
    "AccountState",
    "ApiCall",
    "Attention",
    "Delivery",
    "ExactCharField",
    "FailedAttempt",
    "PendingAction",
    "StatusChange",
    "WebhookEvent",
]
