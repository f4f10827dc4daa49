"""Mixins for the admin of a shop's orders: a column and filters of deliveries."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.admin.filters import ChoiceFilter, Choices
from kaspi_delivery_django.admin.orders.shipped import ShippedRows
from kaspi_delivery_django.admin.readonly import SCRIPTS, STYLE
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, NOT_BOOKED
from kaspi_delivery_django.statuses import STATUS_LABELS, progress_rank

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = object  # the mixins stand before the shop's own class, whatever that is

ATTENTION = "attention"
COLUMN = "kaspi_delivery_status"
VIEW = "kaspi_delivery.view_delivery"
READ_BY_LIST = "_kaspi_deliveries"


class OrderAttentionFilter(ChoiceFilter):
    """The orders whose delivery needs attention, on a shop's own list."""

    title = _("delivery")
    parameter_name = "kaspi_delivery"

    def __init__(self, request: HttpRequest, params: Any, model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.shipped = ShippedRows(model, getattr(model_admin, "kaspi_shipments", ""))

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        return [(ATTENTION, _("Delivery needs attention"))]

    def deliveries(self, value: str) -> QuerySet[Delivery]:
        """Return the deliveries that a choice is about, in the order of an index."""
        return Delivery.objects.flagged().order_by("-pk")

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Keep those orders. Their keys are read first: ours are text, and no engine joins that by an index."""
        if self.shipped.shipments is None:
            return rows.none()
        kind = identities.content_type_of(self.shipped.adapter)
        texts = self.deliveries(value).filter(content_type=kind).values_list("object_id", flat=True)[:MAX_COUNT]
        return self.shipped.having(rows, texts)


class OrderDeliveryFilter(OrderAttentionFilter):
    """The orders whose delivery needs attention, or one of whose parcels has a status; the latest 10,000 of them."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        statuses = ((status or NOT_BOOKED, label) for status, label in STATUS_LABELS.items())
        return [*super().lookups(request, model_admin), *statuses]

    def deliveries(self, value: str) -> QuerySet[Delivery]:
        """Return the deliveries that have the status, without those that were booked again."""
        if value == ATTENTION:
            return super().deliveries(value)
        later = Delivery.objects.outbound().filter(
            object_id=OuterRef("object_id"),
            content_type=OuterRef("content_type"),
            parcel=OuterRef("parcel"),
            pk__gt=OuterRef("pk"),
        )
        own = Delivery.objects.outbound().filter(~Exists(later))
        if value == NOT_BOOKED:  # which has no time of a status
            return own.filter(status="").order_by("-pk")
        return own.filter(status=value).order_by("-status_at")


class DeliveryAttentionMixin(ModelAdmin):
    """Adds the filter "delivery needs attention" to an order list: `class OrderAdmin(DeliveryAttentionMixin, …)`.

    On the page of a model without an adapter, `kaspi_shipments` is the lookup that leads to what is shipped, as in
    `DeliveryInline`.
    """

    kaspi_shipments = ""
    kaspi_filter: type[OrderAttentionFilter] = OrderAttentionFilter

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Put the filter first, for users who can view deliveries."""
        own = super().get_list_filter(request)
        return (self.kaspi_filter, *own) if request.user.has_perm(VIEW) else own


class DeliveryStatusMixin(DeliveryAttentionMixin):
    """Adds the column `kaspi_delivery_status` to an order list, and the filter by it.

    A page of the list costs one query more; on the page of a parent model two.
    """

    kaspi_filter = OrderDeliveryFilter

    @property
    def media(self) -> forms.Media:
        """Add the style of the statuses, and the list's cards on a phone."""
        own: forms.Media = super().media
        return own + forms.Media(css=STYLE, js=SCRIPTS)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Put the column second unless the shop has placed it; leave it out for users who cannot view deliveries."""
        own = super().get_list_display(request)
        if not request.user.has_perm(VIEW):
            return [name for name in own if name != COLUMN]
        return own if COLUMN in own else [*own[:1], COLUMN, *own[1:]]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the deliveries of a page at once, and keep them at the rows that the template shows."""
        changelist: Any = super().get_changelist_instance(request)
        if COLUMN in changelist.list_display:
            deliveries = ShippedRows(self.model, self.kaspi_shipments).newest_and_returns(changelist.result_list)
            for order in changelist.result_list:
                setattr(order, READ_BY_LIST, deliveries.get(order.pk, []))
        return changelist

    @admin.display(description=_("Kaspi delivery"))
    def kaspi_delivery_status(self, order: Any) -> str:
        """Link the order's newest delivery, and its return, by its status, and show why it needs attention."""
        deliveries = order.__dict__.get(READ_BY_LIST)
        if deliveries is None:
            shipped = ShippedRows(self.model, self.kaspi_shipments)
            deliveries = shipped.newest_and_returns([order]).get(order.pk, [])
        ways = defaultdict(list)
        for delivery in deliveries:
            ways[delivery.object_id, delivery.is_return].append(delivery)
        return format_html_join("", '<div class="kd-line">{} {} {} {}</div>', map(self._line, ways.values()))

    def _line(self, parcels: Sequence[Delivery]) -> tuple[str, str, str, str]:
        """Return what is shown of an order's parcels, or of their returns: the least advanced, and what needs staff."""
        last = min(parcels, key=lambda one: progress_rank(one.status))
        several = ngettext("%(count)s parcel", "%(count)s parcels", len(parcels)) % {"count": len(parcels)}
        flagged = next((one for one in parcels if one.attention), last)
        count = several if len(parcels) > 1 else ""
        status = display.page_link(self.admin_site, last, text=display.status_badge(last.status))
        return display.return_badge(last), status, count, display.attention_badge(flagged)
