"""Columns that several tables share, and the tables inside the pages of deliveries and calls."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, explanations, filters
from kaspi_delivery_django.admin.readonly import ReadOnlyInline
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.stats.snapshot import age_label

ATTEMPTS_SHOWN = 20


class DeliveryColumns:
    """Columns of a delivery, for its list, its page and an order's page."""

    @admin.display(description=_("status"))
    def status_text(self, delivery: Delivery) -> str:
        """Show Kaspi's word, the parcel's key, and whether it is a return."""
        return format_html("{} {}", display.way_badge(delivery), display.status_badge(delivery.status))

    @admin.display(description=_("in status for"))
    def in_status_for(self, delivery: Delivery) -> str:
        return age_label(delivery.status_at or delivery.created_at)

    @admin.display(description=_("promised"))
    def promise(self, delivery: Delivery) -> str:
        return display.promise(delivery)

    @admin.display(description=_("needs attention"))
    def attention_text(self, delivery: Delivery) -> str:
        return display.attention_badge(delivery)

    @admin.display(description=_("Track"))
    def tracking_page(self, delivery: Delivery) -> str:
        """Link the customer's page; an address is too long for a table."""
        return display.tracking_link(delivery, gettext("Track"))


class CallColumns:
    """Columns of a call, for the outbox and a delivery's page."""

    @admin.display(description=_("state"))
    def state_text(self, call: ApiCall) -> str:
        return display.call_badge(call)

    @admin.display(description=_("waits"))
    def waits(self, call: ApiCall) -> str:
        return explanations.explain_waiting(call)

    @admin.display(description=_("what went wrong"))
    def answer(self, call: ApiCall) -> str:
        return explanations.explain_error(call)


class EventColumns:
    """Columns of an event, for the inbox and a delivery's page."""

    @admin.display(description=_("state"))
    def state_text(self, event: WebhookEvent) -> str:
        return display.event_badge(event)

    @admin.display(description=_("reason"))
    def why(self, event: WebhookEvent) -> str:
        return explanations.explain_event(event)


class OrderColumn:
    """The order of a list's row: a column that links the delivery's page and the shop's own, and the search by it."""

    admin_site: admin.AdminSite
    list_prefetch_related: ClassVar[tuple[str, ...]] = ("delivery",)
    search_fields: ClassVar[list[str] | tuple[str, ...]] = ("delivery",)
    search_help_text: ClassVar[Any] = filters.SEARCH_HELP

    def find(self, request: HttpRequest, term: str) -> Q:
        """Find the rows by their order, as the list of deliveries does."""
        return Q(delivery__in=filters.delivery_keys(request, term))

    def delivery_of(self, row: Any) -> Delivery | None:
        found: Delivery | None = row.delivery
        return found

    def get_list_display(self, request: HttpRequest) -> Any:
        """Show names that may be personal to users who can view personal data."""
        own: Any = super()
        names = own.get_list_display(request)
        if display.may_see_personal_data(request):
            return names
        return ["public_order_page" if name == "order_page" else name for name in names]

    def order_cell(self, row: Any, *, shows_personal: bool) -> str:
        delivery = self.delivery_of(row)
        return display.order_cell(self.admin_site, delivery, shows_personal=shows_personal) if delivery else ""

    @admin.display(description=_("order"))
    def order_page(self, row: Any) -> str:
        return self.order_cell(row, shows_personal=True)

    @admin.display(description=_("order"))
    def public_order_page(self, row: Any) -> str:
        """Link it by its id where the shop's own name may be personal."""
        return self.order_cell(row, shows_personal=False)


class CallsInline(CallColumns, ReadOnlyInline):
    """The delivery's calls to Kaspi, the newest first, with what went wrong."""

    personal = ("error_message",)
    model = ApiCall
    fields = ("state_text", "waits", "attempts", "answer", "error_message", "failed_attempts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the attempts of all calls in one query."""
        # With an alias: Django asks a prefetch without one for the features of "default".
        latest = FailedAttempt.objects.using(db_alias()).order_by("-pk")[:ATTEMPTS_SHOWN]
        shown = Prefetch("failed_attempts", queryset=latest, to_attr="latest_failures")
        return super().get_queryset(request).prefetch_related(shown)

    @admin.display(description=_("failed attempts"))
    def failed_attempts(self, call: Any) -> str:
        """List the tries that failed, the latest first."""
        lines = ((display.moment(row.at), explanations.explain_failure(row)) for row in call.latest_failures)
        return format_html_join("", '<div class="kd-line">{} {}</div>', lines) or "—"


class EventsInline(EventColumns, ReadOnlyInline):
    """The delivery's webhook events, the newest first."""

    model = WebhookEvent
    fields = ("received_at", "event_id", "type", "state_text", "received_count", "why")


class AttemptsInline(ReadOnlyInline):
    """The call's failed attempts, the newest first."""

    personal = ("error_message",)
    model = FailedAttempt
    fields = ("at", "http_status", "error", "error_message", "request_id")
    show_change_link = False
