"""Filters of a shop's order list, by the orders' deliveries."""

from typing import Any

from django.db.models import Exists, Model, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin.filters import ChoiceFilter, Choices
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.services.deliveries.identities import ShippedRows
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, NOT_BOOKED
from kaspi_delivery_django.statuses import STATUS_LABELS

ATTENTION = "attention"


class OrderAttentionFilter(ChoiceFilter):
    """The orders whose delivery needs attention, on a shop's own list."""

    title = _("delivery")
    parameter_name = "kaspi_delivery"

    def __init__(self, request: HttpRequest, params: Any, model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.shipped = ShippedRows(model, getattr(model_admin, "kaspi_shipments", ""))

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        """Offer the one question."""
        return [(ATTENTION, _("Delivery needs attention"))]

    def deliveries(self, value: str) -> QuerySet[Delivery]:
        """Return the deliveries that a choice is about, in the order of an index."""
        return Delivery.objects.flagged().order_by("-pk")

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those orders. Their keys are read first: ours are text, and no engine joins that by an index."""
        value, shipped = self.value(), self.shipped
        if value is None or shipped.shipments is None:
            return queryset if value is None else queryset.none()
        kind = identities.content_type_of(shipped.adapter)
        texts = self.deliveries(value).filter(content_type=kind).values_list("object_id", flat=True)[:MAX_COUNT]
        return shipped.having(queryset, texts)


class OrderDeliveryFilter(OrderAttentionFilter):
    """The orders whose delivery needs attention, or whose newest delivery has a status; the latest 10,000 of them."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        """Offer attention and the statuses that we know."""
        statuses = ((status or NOT_BOOKED, label) for status, label in STATUS_LABELS.items())
        return [*super().lookups(request, model_admin), *statuses]

    def deliveries(self, value: str) -> QuerySet[Delivery]:
        """Return the deliveries that have the status, without those that were booked again."""
        if value == ATTENTION:
            return super().deliveries(value)
        later = Delivery.objects.filter(
            object_id=OuterRef("object_id"), content_type=OuterRef("content_type"), pk__gt=OuterRef("pk")
        )
        if value == NOT_BOOKED:  # which has no time of a status
            return Delivery.objects.filter(~Exists(later), status="").order_by("-pk")
        return Delivery.objects.filter(~Exists(later), status=value).order_by("-status_at")
