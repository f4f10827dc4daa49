"""Columns that several tables share."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, explanations
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent


class DeliveryColumns:
    """Columns of a delivery, for its list, its page and an order's page."""

    @admin.display(description=_("status"))
    def status_text(self, delivery: Delivery) -> str:
        """Show Kaspi's word, the parcel's key, and whether it is a return."""
        return format_html("{} {}", display.way_badge(delivery), display.status_badge(delivery.status))

    @admin.display(description=_("in status for"))
    def in_status_for(self, delivery: Delivery) -> str:
        """Return for how long it has had this status."""
        return display.age(delivery.status_at or delivery.created_at)

    @admin.display(description=_("promised"))
    def promise(self, delivery: Delivery) -> str:
        """Return by when it should be delivered."""
        return display.promise(delivery)

    @admin.display(description=_("needs attention"))
    def attention_text(self, delivery: Delivery) -> str:
        """Explain why it needs attention."""
        return display.attention_badge(delivery)

    @admin.display(description=_("Track"))
    def tracking_page(self, delivery: Delivery) -> str:
        """Link the customer's page; an address is too long for a table."""
        return display.tracking_link(delivery, gettext("Track"))


class CallColumns:
    """Columns of a call, for the outbox and a delivery's page."""

    @admin.display(description=_("state"))
    def state_text(self, call: ApiCall) -> str:
        """Show our progress."""
        return display.call_badge(call)

    @admin.display(description=_("waits"))
    def waits(self, call: ApiCall) -> str:
        """Return until when it waits, or for what."""
        return explanations.explain_waiting(call)

    @admin.display(description=_("what went wrong"))
    def answer(self, call: ApiCall) -> str:
        """Explain the last answer, if it was an error."""
        return explanations.explain_error(call)


class EventColumns:
    """Columns of an event, for the inbox and a delivery's page."""

    @admin.display(description=_("state"))
    def state_text(self, event: WebhookEvent) -> str:
        """Show what became of it."""
        return display.event_badge(event)

    @admin.display(description=_("reason"))
    def why(self, event: WebhookEvent) -> str:
        """Explain why it was not applied, and what to do."""
        return explanations.explain_event(event)


class OrderColumn:
    """The order that a row of a list is about: it links the delivery's page and the shop's own."""

    admin_site: admin.AdminSite

    def delivery_of(self, row: Any) -> Delivery | None:
        """Return the delivery that a row is about."""
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
        """Return the cell of a row."""
        delivery = self.delivery_of(row)
        return display.order_cell(self.admin_site, delivery, shows_personal=shows_personal) if delivery else ""

    @admin.display(description=_("order"))
    def order_page(self, row: Any) -> str:
        """Link it by the shop's own name."""
        return self.order_cell(row, shows_personal=True)

    @admin.display(description=_("order"))
    def public_order_page(self, row: Any) -> str:
        """Link it by its id where the shop's own name may be personal."""
        return self.order_cell(row, shows_personal=False)
