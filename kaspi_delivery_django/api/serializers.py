"""Deliveries and events as JSON: what is read about them, and the fields that it is shown in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery, prefetch_related_objects
from rest_framework import serializers
from rest_framework.request import Request

from kaspi_delivery_django.api.endpoints import may
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.models.deliveries import PARCEL_COLUMNS, DeliveryQuerySet
from kaspi_delivery_django.serializers import moment
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import content_types
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.errors import translated
from kaspi_delivery_django.statuses import status_label
from kaspi_delivery_django.tracking import tracking_path

HIDDEN = "Null without `view_personal_data`."


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who reads, what they may see, and when."""

    request: Request
    now: datetime
    sees_personal: bool
    sees_history: bool


def readable(rows: DeliveryQuerySet) -> DeliveryQuerySet:
    """Have a query read what the rules and the representation need of other deliveries."""
    same = {name: OuterRef(name) for name in PARCEL_COLUMNS}
    returned = Delivery.objects.filter(**same, returned_generation=0, generation=OuterRef("returned_generation"))
    return rows.with_successors().with_returns().annotate(returned_pk=Subquery(returned.values("pk"))).defer("raw")


def represented(deliveries: list[Delivery], request: Request) -> list[Any]:
    """Return the deliveries as JSON, with the same number of queries for one row and for many."""
    rules.read_calls(deliveries)
    prefetch_related_objects(deliveries, "history")  # the rules read it too
    viewer = Viewer(
        request=request,
        now=clock.now(),
        sees_personal=may(request.user, "view_personal_data"),
        sees_history=may(request.user, "view_statuschange"),
    )
    return [DeliverySerializer(_facts(delivery, viewer)).data for delivery in deliveries]


def _facts(delivery: Delivery, viewer: Viewer) -> dict[str, Any]:
    """Return what is shown beside the columns."""
    refusals = rules.refusals(delivery, viewer.now)
    page = "" if delivery.blanked_at else tracking_path(delivery)
    personal = {
        "cancel_reason": delivery.cancel_reason,
        "return_reason": delivery.return_reason,
        "pickup": _columns(delivery, "pickup", "name", "phone", "address", "notes"),
        "dropoff": _columns(delivery, "dropoff", "name", "phone", "address", "notes"),
        "parcel": _columns(delivery, "parcel", "description", "weight_grams", "value_kzt"),
    }
    is_hidden = delivery.label_is_personal and not viewer.sees_personal
    label = None if is_hidden else delivery.order_label
    return {
        "delivery": delivery,
        "order": {"model": _model_label(delivery), "id": delivery.object_id, "label": label},
        "status_label": status_label(delivery.status),
        "is_final": not delivery.is_open,
        "tracking_url": delivery.allowed_tracking_url,
        "tracking_page": viewer.request.build_absolute_uri(page) if page else "",
        "attention": _attention(delivery, viewer) if delivery.attention else None,
        "allowed_actions": [name for name, reason in refusals.items() if not reason],
        "refused_actions": {name: reason for name, reason in refusals.items() if reason},
        "history": _history(delivery, viewer) if viewer.sees_history else None,
        **(personal if viewer.sees_personal else dict.fromkeys(personal)),
    }


def _columns(delivery: Delivery, prefix: str, *names: str) -> dict[str, Any]:
    return {name: getattr(delivery, f"{prefix}_{name}") for name in names}


def _attention(delivery: Delivery, viewer: Viewer) -> dict[str, Any]:
    """Return why it needs manual review, with Kaspi's answer to the call behind it."""
    reason = delivery.attention
    calls = reversed(rules.calls_of(delivery))
    call = next((call for call in calls if call.reason == reason), None)
    return {
        "code": reason,
        "detail": str(Attention(reason).label if reason in Attention.values else reason),
        "call": call.kind if call else "",
        "http_status": call.http_status if call else None,
        "kaspi_code": call.error_code if call else "",
        "message": translated(call.error_message) if call and viewer.sees_personal else None,
    }


def _history(delivery: Delivery, viewer: Viewer) -> list[dict[str, Any]]:
    names = ("to_status", "from_status", "at", "source", "applied", *(["note"] if viewer.sees_personal else []))
    steps = [{name: getattr(change, name) for name in names} for change in delivery.history.all()]
    return [{"note": None, **step} for step in steps]


def _model_label(delivery: Delivery) -> str:
    kind = content_types().get_for_id(delivery.content_type_id)
    model = kind.model_class()
    return model._meta.label if model else f"{kind.app_label}.{kind.model}"


class OrderSerializer(serializers.Serializer[Any]):
    """The order of a delivery."""

    model = serializers.CharField(read_only=True, help_text="Its model, such as `shop.Order`.")
    id = serializers.CharField(read_only=True, help_text="Its primary key, as text.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field called label, not the label of this serializer
        read_only=True, allow_null=True, help_text="The shop's own name for it. " + HIDDEN
    )

    class Meta:
        ref_name = "KaspiDeliveryOrder"


class PlaceSerializer(serializers.Serializer[Any]):
    """The sender or the recipient. The texts are empty before the request is built, and once they are anonymized."""

    name = serializers.CharField(read_only=True)
    phone = serializers.CharField(read_only=True)
    address = serializers.CharField(read_only=True)
    notes = serializers.CharField(read_only=True)

    class Meta:
        ref_name = "KaspiDeliveryPlace"


class ParcelSerializer(serializers.Serializer[Any]):
    """What is sent."""

    description = serializers.CharField(read_only=True)
    weight_grams = serializers.IntegerField(read_only=True, allow_null=True)
    value_kzt = serializers.IntegerField(read_only=True, allow_null=True, help_text="Declared value, tenge.")

    class Meta:
        ref_name = "KaspiDeliveryParcel"


class AttentionSerializer(serializers.Serializer[Any]):
    """Why a delivery needs manual review."""

    code = serializers.CharField(read_only=True, help_text="The reason; see docs/running.md.")
    detail = serializers.CharField(read_only=True, help_text="The reason in the reader's language.")
    call = serializers.CharField(read_only=True, help_text="create, cancel, refresh or link; empty if none failed.")
    http_status = serializers.IntegerField(read_only=True, allow_null=True, help_text="Kaspi's last HTTP status.")
    kaspi_code = serializers.CharField(read_only=True, help_text="Kaspi's error code, or the kind of failure.")
    message = serializers.CharField(
        read_only=True, allow_null=True, help_text="Kaspi's own words, or what failed. " + HIDDEN
    )

    class Meta:
        ref_name = "KaspiDeliveryAttention"


class ChangeSerializer(serializers.Serializer[Any]):
    """One status change."""

    to_status = serializers.CharField(read_only=True)
    from_status = serializers.CharField(read_only=True, help_text="Empty before the booking.")
    at = moment("When Kaspi says that it happened.", allow_null=False)
    source = serializers.CharField(  # type: ignore[assignment]  # a field called source, not that of this serializer
        read_only=True, help_text="create, webhook, refresh, cancel or admin."
    )
    applied = serializers.BooleanField(read_only=True, help_text="False for late news: kept, and not applied.")
    note = serializers.CharField(read_only=True, allow_null=True, help_text=HIDDEN)

    class Meta:
        ref_name = "KaspiDeliveryStatusChange"


class DeliverySerializer(serializers.Serializer[Any]):
    """A delivery."""

    id = serializers.IntegerField(source="delivery.pk", read_only=True, help_text="For the addresses of this API.")
    order = OrderSerializer(read_only=True)
    account = serializers.CharField(source="delivery.account", read_only=True)
    environment = serializers.CharField(source="delivery.environment", read_only=True)
    parcel_key = serializers.CharField(
        source="delivery.parcel", read_only=True, help_text="The parcel, of an order that goes in several; else empty."
    )
    is_return = serializers.BooleanField(
        source="delivery.is_return", read_only=True, help_text="Whether it brings a parcel back from the customer."
    )
    return_of = serializers.IntegerField(
        source="delivery.returned_pk", read_only=True, allow_null=True, help_text="The `id` of what it brings back."
    )
    generation = serializers.IntegerField(
        source="delivery.generation", read_only=True, help_text="1 for the parcel's first delivery or first return."
    )
    external_order_id = serializers.CharField(
        source="delivery.external_order_id", read_only=True, allow_null=True, help_text="The order's id at Kaspi."
    )
    delivery_id = serializers.CharField(
        source="delivery.delivery_id", read_only=True, allow_null=True, help_text="Kaspi's id; null until it is booked."
    )
    status = serializers.CharField(
        source="delivery.status", read_only=True, help_text="Kaspi's status, empty before the booking; an open set."
    )
    status_label = serializers.CharField(read_only=True, help_text="The status in the reader's language.")
    status_at = moment("Since when it has this status.", source="delivery.status_at")
    is_final = serializers.BooleanField(read_only=True, help_text="Whether it has ended: stop polling.")
    pickup_by = moment("When the courier should pick it up.", source="delivery.pickup_by")
    delivery_by = moment("When it should arrive.", source="delivery.delivery_by")
    not_before = moment("When it is to be booked, if that is later.", source="delivery.not_before")
    tracking_url = serializers.CharField(read_only=True, help_text="Kaspi's page for the customer; may be empty.")
    tracking_page = serializers.CharField(read_only=True, help_text="The shop's page for the customer; may be empty.")
    cancel_requested_at = moment("When a cancel was requested.", source="delivery.cancel_requested_at")
    cancel_reason = serializers.CharField(read_only=True, allow_null=True, help_text=HIDDEN)
    return_reason = serializers.CharField(read_only=True, allow_null=True, help_text="Of a return. " + HIDDEN)
    attention = AttentionSerializer(read_only=True, allow_null=True, help_text="Null when it needs no manual review.")
    pickup = PlaceSerializer(read_only=True, allow_null=True, help_text=HIDDEN)
    dropoff = PlaceSerializer(read_only=True, allow_null=True, help_text=HIDDEN)
    parcel = ParcelSerializer(read_only=True, allow_null=True, help_text=HIDDEN)
    allowed_actions = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What can be done now, given the permission."
    )
    refused_actions = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text="Why the other actions are refused now."
    )
    history = ChangeSerializer(
        many=True, read_only=True, allow_null=True, help_text="The oldest first. Null without `view_statuschange`."
    )
    created_at = moment("When it was created.", source="delivery.created_at", allow_null=False)
    updated_at = moment("When it last changed.", source="delivery.updated_at", allow_null=False)

    class Meta:
        ref_name = "KaspiDelivery"


class EventSerializer(serializers.Serializer[WebhookEvent]):
    """One webhook as received."""

    id = serializers.IntegerField(read_only=True, help_text="For `after`.")
    account = serializers.CharField(read_only=True)
    environment = serializers.CharField(read_only=True)
    event_id = serializers.CharField(read_only=True, help_text="Kaspi's id.")
    type = serializers.CharField(read_only=True, help_text="Kaspi's type, such as delivery.in_transit.")
    received_at = moment("When it came first.", allow_null=False)
    received_count = serializers.IntegerField(read_only=True)
    delivery = serializers.IntegerField(source="delivery_id", read_only=True, allow_null=True, help_text="Its `id`.")
    state = serializers.CharField(read_only=True, help_text="applied, noted, parked, ignored, conflict, failed, …")
    error = serializers.CharField(read_only=True, help_text="Why it was not applied; may be empty.")
    body = serializers.CharField(read_only=True, help_text="The JSON that Kaspi sent, with letters escaped as ASCII.")

    class Meta:
        ref_name = "KaspiDeliveryWebhookEvent"
