"""How drf-spectacular describes the REST API. `api/urls.py` loads this where the project has drf-spectacular."""

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers

from kaspi_delivery_django.api import bodies, problems
from kaspi_delivery_django.api.filters import EventParameters, ListParameters
from kaspi_delivery_django.api.idempotency import HEADER
from kaspi_delivery_django.api.models import KEY_LENGTH
from kaspi_delivery_django.api.serializers import DeliverySerializer, EventSerializer
from kaspi_delivery_django.api.views import REPLAYED
from kaspi_delivery_django.contrib.openapi import TAGS, described

SUCCESS = 200
ID = OpenApiParameter("id", int, OpenApiParameter.PATH, description="The delivery's `id`.")
IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    location=OpenApiParameter.HEADER,
    pattern=f"^[ -~]{{1,{KEY_LENGTH}}}$",
    description="The same key with the same request has one effect, and one answer, for at least 24 hours.",
)
RETRY_AFTER = OpenApiParameter("Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds.")


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField(help_text="Always about:blank: `code` names the error.")
    title = serializers.CharField(help_text="The HTTP status in words.")
    status = serializers.IntegerField(help_text="The HTTP status.")
    code = serializers.CharField(help_text=f"One of: {', '.join(problems.CODES)}.")
    detail = serializers.CharField(help_text="What is wrong; a rule's reason is in the language of the request.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field called errors, not those of this serializer
        required=False, help_text="With `invalid_input`: texts by the name of the value."
    )

    class Meta:
        ref_name = "KaspiDeliveryProblem"


class _Page(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null on the last.")
    previous = serializers.CharField(allow_null=True, help_text="The address of the page before; null on the first.")


@extend_schema_serializer(many=False)
class EventPageSerializer(_Page):
    """A page of webhook events."""

    results = EventSerializer(many=True)

    class Meta:
        ref_name = "KaspiDeliveryEventPage"


@extend_schema_serializer(many=False)
class PageSerializer(_Page):
    """A page of deliveries, the newest first."""

    results = DeliverySerializer(many=True)

    class Meta:
        ref_name = "KaspiDeliveryPage"


OF_ALL = ("not_authenticated", "authentication_failed", "permission_denied", "throttled", "method_not_allowed")
OF_BODIES = ("unreadable", "unsupported_media_type", "too_large", "invalid_input", "not_allowed", "key_reused", "busy")


def _answers(status: int, description: str, *codes: str, answer: Any = DeliverySerializer, **more: str) -> Any:
    """Return the answers of an endpoint: the good one, further ones by "status_200", and the problems by status."""
    found: dict[Any, OpenApiResponse] = {status: OpenApiResponse(answer, description)}
    for name, words in more.items():
        number = int(name.removeprefix("status_"))
        found[number] = OpenApiResponse(DeliverySerializer if number == SUCCESS else None, words)
    by_status: dict[int, list[str]] = {}
    for code in (*OF_ALL, *codes):
        by_status.setdefault(problems.CODES[code][0], []).append(code)
    for number, names in sorted(by_status.items()):
        words = " ".join(f"`{name}`: {problems.CODES[name][1]}" for name in names)
        found[number, problems.MEDIA_TYPE] = OpenApiResponse(ProblemSerializer, words)
    return found


def _action(name: str, summary: str, body: Any, status: int, description: str, **more: Any) -> Any:
    codes: tuple[str, ...] = more.pop("codes", ("not_found",))
    return extend_schema(
        operation_id=f"kaspi_delivery_{name}",
        summary=summary,
        description=description,
        tags=TAGS,
        parameters=[ID, IDEMPOTENCY_KEY, *_headers(status)] if name != "book" else [IDEMPOTENCY_KEY, *_headers(status)],
        request=body,
        responses=_answers(status, description, *codes, *OF_BODIES, **more),
    )


def _headers(status: int) -> list[OpenApiParameter]:
    replayed = OpenApiParameter(
        REPLAYED,
        location=OpenApiParameter.HEADER,
        response=[status, problems.CODES["not_allowed"][0]],
        description="`true` on the answer of an earlier request with the same key.",
    )
    return [replayed, RETRY_AFTER]


SENT = "Its answer is the delivery as it is now; what Kaspi answers follows."
DESCRIBED = {
    "list": extend_schema(
        operation_id="kaspi_delivery_list",
        summary="List deliveries",
        description="The newest first, by cursor. An unknown parameter is refused.",
        tags=TAGS,
        parameters=[ListParameters, RETRY_AFTER],
        responses=_answers(200, "A page.", "invalid_input", "invalid_cursor", answer=PageSerializer),
    ),
    "retrieve": extend_schema(
        operation_id="kaspi_delivery_read",
        summary="Read a delivery",
        description="With its history, and what can be done about it.",
        tags=TAGS,
        parameters=[ID, RETRY_AFTER],
        responses=_answers(200, "The delivery.", "not_found"),
    ),
    "create": _action(
        "book",
        "Book a courier for an order",
        bodies.BookBody,
        201,
        "Books the order. The answer is its delivery; if it goes in several parcels, list them by `order_id`. What"
        " Kaspi answers follows.",
        codes=("order_not_found", "adapter_failed"),
        status_200="The order is booked already, and has this delivery: nothing was done.",
    ),
    "cancel": _action(
        "cancel", "Cancel a delivery", bodies.CancelBody, 202, f"Cancels this parcel before its pickup. {SENT}"
    ),
    "refresh": _action("refresh", "Ask Kaspi about a delivery", bodies.NothingBody, 202, f"Asks Kaspi. {SENT}"),
    "retry": _action(
        "retry",
        "Retry what is pending",
        bodies.NothingBody,
        202,
        f"Sends pending requests with the same key and bytes as before. {SENT}",
        codes=("not_found", "adapter_failed"),
        status_204="The adapter had failed, and does not want it sent: the delivery is gone.",
    ),
    "send": _action("send", "Send what the adapter holds back", bodies.NothingBody, 202, f"Overrules a wait. {SENT}"),
    "send_early": _action(
        "send_early", "Send what is to be booked later", bodies.NothingBody, 202, f"Ends a wait for its time. {SENT}"
    ),
    "link": _action("link", "Link a delivery of Kaspi's", bodies.LinkBody, 202, f"Kaspi must confirm the id. {SENT}"),
    "reissue": _action(
        "reissue",
        "Book the order again",
        bodies.ConfirmBody,
        201,
        "Books the next delivery of an order whose delivery was cancelled, refused or abandoned. The answer is it.",
        codes=("not_found", "adapter_failed"),
    ),
    "return_": _action(
        "return",
        "Book a return",
        bodies.ReturnBody,
        201,
        "Has a courier fetch the parcel from the customer, once. The answer is the return.",
        codes=("not_found", "adapter_failed"),
        status_200="It has this return already: nothing was done.",
    ),
    "acknowledge": _action(
        "acknowledge", "Acknowledge", bodies.ConfirmBody, 200, "Clears the flag. What was not booked never will be."
    ),
    "mark_final": _action(
        "mark_final", "Mark as final", bodies.NothingBody, 200, "Ends a delivery whose status is new to this version."
    ),
}


class DeliveriesExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it so
    """Describes the endpoints of deliveries."""

    target_class = "kaspi_delivery_django.api.views.DeliveryViewSet"

    def view_replacement(self) -> Any:
        return described(self.target_class, **DESCRIBED)


class EventsExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it so
    """Describes the endpoint of webhook events."""

    target_class = "kaspi_delivery_django.api.views.EventViewSet"

    def view_replacement(self) -> Any:
        describe = extend_schema(
            operation_id="kaspi_delivery_events",
            summary="List webhook events",
            description="As they were received: the newest first, or with `after` those that came later.",
            tags=TAGS,
            parameters=[EventParameters, RETRY_AFTER],
            responses=_answers(200, "A page.", "invalid_input", "invalid_cursor", answer=EventPageSerializer),
        )
        return described(self.target_class, list=describe)
