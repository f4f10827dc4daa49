"""A plain Python client of the Kaspi Delivery API. It knows no Django.

>>> client = KaspiClient(api_key, base_url=SANDBOX_URL)
>>> client.create_delivery(request, idempotency_key="order-742")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kaspi_delivery_django.client.addresses import PRODUCTION_URL, SANDBOX_URL
from kaspi_delivery_django.client.exceptions import (
    ConfigurationFault,
    Conflict,
    ForeignDelivery,
    InProgress,
    KaspiError,
    MalformedEvent,
    NotFound,
    NotReached,
    OutcomeUnknown,
    PayloadMismatch,
    RateLimited,
    Refused,
    ServerFault,
    UnusableAnswer,
    UsageError,
    WebhookRejected,
)
from kaspi_delivery_django.client.types import (
    Contact,
    DeliveryRequest,
    Eta,
    HistoryEntry,
    Location,
    Parcel,
    RemoteDelivery,
    RemoteEvent,
    TestWebhook,
    normalize_phone,
)
from kaspi_delivery_django.client.webhooks import read_event, sign, verify

if TYPE_CHECKING:
    from kaspi_delivery_django.client.http import KaspiClient, Timeouts

__all__ = [
    "PRODUCTION_URL",
    "SANDBOX_URL",
    "ConfigurationFault",
    "Conflict",
    "Contact",
    "DeliveryRequest",
    "Eta",
    "ForeignDelivery",
    "HistoryEntry",
    "InProgress",
    "KaspiClient",
    "KaspiError",
    "Location",
    "MalformedEvent",
    "NotFound",
    "NotReached",
    "OutcomeUnknown",
    "Parcel",
    "PayloadMismatch",
    "RateLimited",
    "Refused",
    "RemoteDelivery",
    "RemoteEvent",
    "ServerFault",
    "TestWebhook",
    "Timeouts",
    "UnusableAnswer",
    "UsageError",
    "WebhookRejected",
    "normalize_phone",
    "read_event",
    "sign",
    "verify",
]

_WITH_REQUESTS = {"KaspiClient", "Timeouts"}


def __getattr__(name: str) -> Any:
    """Import what needs `requests` when it is asked for: most processes of a shop send nothing to Kaspi."""
    if name not in _WITH_REQUESTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.http"), name)
