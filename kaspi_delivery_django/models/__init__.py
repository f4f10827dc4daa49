"""The four tables and the small ones beside them. Rows are written by `services/` alone."""

from kaspi_delivery_django.models.calls import AccountState, ApiCall, FailedAttempt, PendingAction
from kaspi_delivery_django.models.deliveries import Attention, Delivery
from kaspi_delivery_django.models.events import StatusChange, WebhookEvent
from kaspi_delivery_django.models.fields import ExactCharField

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
