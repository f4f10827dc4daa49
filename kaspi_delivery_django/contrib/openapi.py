"""How drf-spectacular describes our endpoints. `apps.py` loads this where the project has drf-spectacular.

With the extra `openapi`, and "drf_spectacular" in INSTALLED_APPS, there is nothing else to do.
"""

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers

from kaspi_delivery_django.client.webhooks import TOLERANCE_S
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.statuses import STATUSES
from kaspi_delivery_django.views.webhook import MAX_BODY_BYTES, RETRY_AFTER_S

TAGS = ["Kaspi Delivery"]
IDENTIFIER = "^[!-~]+$"
EVENT = inline_serializer(  # Kaspi's own names, as they come over the wire
    "KaspiDeliveryEvent",
    {
        "eventId": serializers.RegexField(IDENTIFIER, max_length=128, help_text="The same on every attempt."),
        "type": serializers.CharField(
            max_length=64,
            required=False,
            help_text=f"`delivery.` and a status: {', '.join(STATUSES)}, or one that is new.",
        ),
        "attempt": serializers.IntegerField(required=False, help_text="Counts from 1; any number is stored."),
        "data": inline_serializer(
            "KaspiDeliveryEventData",
            {
                "deliveryId": serializers.RegexField(IDENTIFIER, max_length=128, required=False),
                "externalOrderId": serializers.RegexField(IDENTIFIER, max_length=128, required=False),
                "status": serializers.CharField(max_length=64, required=False),
                "timestamp": serializers.DateTimeField(required=False),
            },
            required=False,
        ),
    },
)
WORD = inline_serializer("KaspiDeliveryAnswer", {"status": serializers.CharField()})
DETAIL = inline_serializer("KaspiDeliveryRefusal", {"detail": serializers.CharField()})
SIGNED = [
    OpenApiParameter(
        "X-Kaspi-Timestamp",
        location=OpenApiParameter.HEADER,
        required=True,
        pattern="^[0-9]{10}$",
        description=f"Unix seconds, within {TOLERANCE_S} of our clock.",
    ),
    OpenApiParameter(
        "X-Kaspi-Signature",
        location=OpenApiParameter.HEADER,
        required=True,
        pattern="^[0-9A-Fa-f]{64}$",
        description="Hex HMAC-SHA256 over timestamp, dot and raw body, with one of `WEBHOOK_SECRETS`.",
    ),
]
RETRY_AFTER = OpenApiParameter(
    "Retry-After", int, OpenApiParameter.HEADER, response=[503], default=int(RETRY_AFTER_S), description="Seconds."
)
ACCOUNT = OpenApiParameter(
    "account",
    location=OpenApiParameter.PATH,
    pattern="^[A-Za-z0-9_-]{1,40}$",
    description="The alias of an account in the settings.",
)
TOKEN = OpenApiParameter("token", location=OpenApiParameter.PATH, description="The signed token of a delivery's link.")
ETAG = OpenApiParameter("ETag", location=OpenApiParameter.HEADER, response=[200, 304], description="For If-None-Match.")
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", location=OpenApiParameter.HEADER, description="The ETag of the response the client has."
)
TAKEN = OpenApiExample("Taken", {"status": "applied"})


WEBHOOK_ANSWERS = {
    200: OpenApiResponse(WORD, "The event is committed, now or before. The word is the event's state.", [TAKEN]),
    400: OpenApiResponse(WORD, "Signed, but not JSON, not an object, or without a usable `eventId`."),
    401: OpenApiResponse(WORD, "Not to be trusted: one answer for every reason."),
    405: OpenApiResponse(DETAIL, "Another method."),
    413: OpenApiResponse(WORD, f"More than {MAX_BODY_BYTES} bytes."),
    503: OpenApiResponse(WORD, "Nothing to verify it with, or the event was not stored."),
}
TRACKING_ANSWERS = {
    200: OpenApiResponse(TrackingSerializer, "How it stands."),
    304: OpenApiResponse(description="Nothing has changed."),
    404: OpenApiResponse(DETAIL, "No such delivery."),
    405: OpenApiResponse(DETAIL, "Another method."),
}


class WebhookExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it so
    """Describes the webhook of a shop with one account."""

    target_class = "kaspi_delivery_django.views.webhook.WebhookView"
    operation_id = "kaspi_delivery_webhook"
    summary = "Take a status update from Kaspi"
    parameters = [*SIGNED, RETRY_AFTER]

    def view_replacement(self) -> Any:
        describe = extend_schema(
            operation_id=self.operation_id,
            summary=self.summary,
            description="Kaspi posts here, and repeats it for up to 24 hours until it is answered with a 2xx.",
            tags=TAGS,
            auth=[],
            parameters=self.parameters,
            request={"application/json": EVENT},
            responses=WEBHOOK_ANSWERS,
        )
        return described(self.target_class, post=describe)


class AccountWebhookExtension(WebhookExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it so
    """Describes the webhook of one of several accounts."""

    target_class = "kaspi_delivery_django.views.webhook.AccountWebhookView"
    operation_id = "kaspi_delivery_account_webhook"
    summary = "Take a status update from Kaspi for one of several accounts"
    parameters = [ACCOUNT, *SIGNED, RETRY_AFTER]


class TrackingExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it so
    """Describes the customer's endpoint."""

    target_class = "kaspi_delivery_django.views.tracking.TrackingView"

    def view_replacement(self) -> Any:
        describe = extend_schema(
            operation_id="kaspi_delivery_tracking",
            summary="Follow a delivery",
            description="A delivery's timeline, for the customer who has its link.",
            tags=TAGS,
            auth=[],
            parameters=[TOKEN, IF_NONE_MATCH, ETAG],
            responses=TRACKING_ANSWERS,
        )
        return described(self.target_class, get=describe)


def described(view: Any, **methods: Any) -> Any:
    """Return a subclass with these descriptions on its methods; the view itself stays as it is."""
    return extend_schema_view(**methods)(type(view.__name__, (view,), {"__doc__": view.__doc__}))
