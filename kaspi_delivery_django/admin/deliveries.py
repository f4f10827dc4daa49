"""The page of deliveries, with their history and calls, and what can be done about them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin.asking import AskingAdmin, Exit
from kaspi_delivery_django.admin.exits import EXITS, exits_of
from kaspi_delivery_django.admin.mirrors import MirrorInline, visible
from kaspi_delivery_django.links import allowed_tracking_url
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.services import clock, exits


def _place(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in ("address", "name", "phone", "notes"))


_PICKUP, _DROPOFF = _place("pickup"), _place("dropoff")
_GROUPS = {
    "": ("order", "status", "status_at", "attention_text", "delivery_id", "tracking_link"),
    _("Promise"): ("pickup_by", "delivery_by", "next_refresh_at"),
    _("Cancellation"): ("cancel_requested_at", "cancel_reason"),
    _("Pickup"): _PICKUP,
    _("Dropoff"): _DROPOFF,
    _("Parcel"): ("parcel_description", "parcel_weight_grams", "parcel_value_kzt"),
    _("Record"): ("account", "environment", "generation", "created_at", "updated_at", "raw"),
}


class HistoryInline(MirrorInline):
    """The delivery's history. Notes may carry what a courier or a clerk wrote."""

    personal = ("note",)
    model = StatusChange
    fields = ("at", "from_status", "to_status", "source", "note", "applied", "notified_at")


class CallsInline(MirrorInline):
    """The delivery's calls to Kaspi."""

    personal = ("error_message",)
    model = ApiCall
    fields = ("kind", "idempotency_key", "state", "attempts", "next_attempt_at", "http_status", "error_message")


@admin.register(Delivery)
class DeliveryAdmin(AskingAdmin):
    """What was booked, how it stands, and what needs a person."""

    list_display = ("__str__", "status", "status_at", "attention_text", "delivery_id", "created_at")
    list_filter = ("status", "attention", "account", "environment")
    search_fields = ("external_order_id", "delivery_id", "object_id")
    ordering = ("-pk",)
    inlines = (HistoryInline, CallsInline)
    actions = ("cancel_deliveries", "retry_deliveries", "refresh_deliveries")
    personal = (*_PICKUP, *_DROPOFF, "cancel_reason", "raw")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may cancel deliveries."""
        return request.user.has_perm("kaspi_delivery.cancel_delivery")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may have Kaspi asked again."""
        return request.user.has_perm("kaspi_delivery.retry_delivery")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Group the columns; a group that has nothing to show for this person is left out."""
        shown = {title: visible(request, names, self.personal) for title, names in _GROUPS.items()}
        return [(title or None, {"fields": names}) for title, names in shown.items() if names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Name what is computed."""
        return ("order", "attention_text", "tracking_link")

    @admin.display(description=_("attention"), ordering="attention")
    def attention_text(self, delivery: Delivery) -> str:
        """Say in words why a person is needed."""
        labels = dict(Attention.choices)
        return str(labels.get(delivery.attention, delivery.attention))

    @admin.display(description=_("tracking address"))
    def tracking_link(self, delivery: Delivery) -> str:
        """Link the tracking page, if it is where Kaspi's pages are; show it as text otherwise."""
        url = allowed_tracking_url(delivery)
        if not url:
            return delivery.tracking_url
        return format_html('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>', url, url)

    @admin.action(description=_("Cancel selected deliveries"), permissions=["cancel"])
    def cancel_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Cancel several, for one reason."""
        return self.ask_about(request, queryset, EXITS["cancel"])

    @admin.action(description=_("Retry selected deliveries now"), permissions=["retry"])
    def retry_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Try what waits now."""
        return self.ask_about(request, queryset, EXITS["retry"])

    @admin.action(description=_("Ask Kaspi about selected deliveries now"), permissions=["retry"])
    def refresh_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Ask Kaspi how they stand."""
        return self.ask_about(request, queryset, EXITS["refresh"])

    def ways_out(self, row: Delivery) -> Iterable[tuple[str, Exit]]:
        """Name what can be done about the delivery now."""
        possible = exits.ways_out(row, clock.now())
        return [(name, way) for name, way in exits_of(row).items() if name in possible]

    def exit_of(self, row: Delivery, name: str) -> Exit | None:
        """Return what stands behind the name."""
        return exits_of(row).get(name)
