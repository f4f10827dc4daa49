"""The query parameters of the lists, and what they filter by. Each is answered by an index, except for `updated_…`."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django.db.models import Q
from rest_framework import serializers

from kaspi_delivery_django import orders
from kaspi_delivery_django.api.bodies import StrictSerializer, model_named
from kaspi_delivery_django.api.endpoints import MAX_CURSOR_LENGTH, MAX_ID, MAX_PAGE_SIZE, may
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.services.deliveries.identities import content_type_of, fitting
from kaspi_delivery_django.stats.snapshot import NOT_BOOKED
from kaspi_delivery_django.statuses import TERMINAL

ANY = "any"
NONE = "none"
MAX_STATUSES = 10
LOOKUPS = {
    "account": "account",
    "external_order_id": "external_order_id",
    "delivery_id": "delivery_id",
    "created_after": "created_at__gte",
    "created_before": "created_at__lt",
    "updated_after": "updated_at__gte",
    "updated_before": "updated_at__lt",
}
FORMAT: dict[str, Any] = {"invalid": "Write a time as 2026-03-01T12:00:00Z; in an address, a plus sign is %2B."}


def _text(description: str, *, most: int) -> serializers.CharField:
    return serializers.CharField(required=False, max_length=most, help_text=description)


def _time(description: str) -> serializers.DateTimeField:
    return serializers.DateTimeField(
        required=False,
        help_text=description,
        error_messages=FORMAT,
        default_timezone=UTC,  # every engine's; DRF refuses what does not fit into it
    )


class PageParameters(StrictSerializer):
    """Which page of a list; an unknown name is refused, or a typing error would return everything."""

    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, help_text=f"Rows of a page, 1 to {MAX_PAGE_SIZE}."
    )
    cursor = _text("Where the page begins: follow `next`.", most=MAX_CURSOR_LENGTH)


class EventParameters(PageParameters):
    """Where the list of events begins."""

    after = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_ID, help_text="Events with a greater `id`, the oldest first."
    )


class ListParameters(PageParameters):
    """What the list of deliveries is filtered by."""

    status = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=MAX_STATUSES,
        help_text=f"Kaspi's status, or `{NOT_BOOKED}`; may be repeated.",
    )
    attention = serializers.ChoiceField(
        choices=[ANY, NONE, *Attention.values],
        required=False,
        help_text=f"Why it needs manual review; `{ANY}` for every reason, `{NONE}` for no reason.",
    )
    account = _text("The alias of an account.", most=40)
    search = _text(
        "As in the admin: an order's name or number, an external order id, an order's id, a delivery id; with"
        " `view_personal_data` also a phone, a name or a city.",
        most=200,
    )
    external_order_id = _text("Exactly this id.", most=128)
    delivery_id = _text("Exactly this id of Kaspi's.", most=128)
    order_id = _text("The order's primary key.", most=orders.KEY_LENGTH)
    model = _text("The order's model, such as `shop.Order`.", most=200)
    created_after = _time("Created at this time or later.")
    created_before = _time("Created before this time.")
    updated_after = _time("Changed at this time or later. Give `created_after` too: it bounds what is read.")
    updated_before = _time("Last changed before this time.")


def filtered(given: Mapping[str, Any], user: Any) -> DeliveryQuerySet:
    """Return the deliveries that these parameters mean. Raises `Problem` for a model without an adapter."""
    found = _condition(given)
    if term := given.get("search"):
        shows_personal = may(user, "view_personal_data")
        found &= Delivery.objects.matching(term, order_ids=_object_ids(term), shows_personal=shows_personal)
    rows: DeliveryQuerySet = Delivery.objects.filter(found)
    return rows


def _condition(given: Mapping[str, Any]) -> Q:
    found = Q(**{LOOKUPS[name]: value for name, value in given.items() if name in LOOKUPS})
    if "status" in given:
        found &= _of_status({"" if status == NOT_BOOKED else status for status in given["status"]})
    if "attention" in given:
        found &= _of_attention(given["attention"])
    if "order_id" in given:
        found &= Q(object_id__in=_object_ids(given["order_id"]))
    if "model" in given:
        found &= Q(content_type=content_type_of(orders.adapters()[model_named(given["model"])]))
    return found


def _of_status(wanted: set[str]) -> Q:
    found = Q(status__in=wanted)
    return found if wanted & TERMINAL else _rare(found)


def _of_attention(reason: str) -> Q:
    if reason == NONE:
        return Q(attention="")
    return _rare(Q(attention__gt="") if reason == ANY else Q(attention=reason))


def _rare(condition: Q) -> Q:
    """Name the few rows by their keys, or SQLite would walk through the table until a page is full."""
    return Q(pk__in=Delivery.objects.filter(condition).values("pk"))


def _object_ids(written: str) -> set[str]:
    """Return the texts that an order's key may have, each as it fits its column."""
    return {fitting(text) for text in orders.key_texts(written)}
