"""The database tables. Only `services/` writes rows."""

from kaspi_delivery_django.models.calls import AccountState, ApiCall, Attention, FailedAttempt, PendingAction
from kaspi_delivery_django.models.deliveries import Delivery
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
