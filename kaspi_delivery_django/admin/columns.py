"""Columns that several tables have: what is known of a row at a glance."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, explanations
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent


class DeliveryColumns:
    """What the list of deliveries, a delivery's page and an order's page say of a delivery."""

    @admin.display(description=_("status"))
    def status_text(self, delivery: Delivery) -> str:
        """Show Kaspi's word."""
        return display.status_badge(delivery.status)

    @admin.display(description=_("in status for"))
    def in_status_for(self, delivery: Delivery) -> str:
        """Say for how long it has stood there."""
        return display.age(delivery.status_at or delivery.created_at)

    @admin.display(description=_("promised"))
    def promise(self, delivery: Delivery) -> str:
        """Say by when it should be there."""
        return display.promise(delivery)

    @admin.display(description=_("needs attention"))
    def attention_text(self, delivery: Delivery) -> str:
        """Say in words why a person is needed."""
        return display.attention_badge(delivery)

    @admin.display(description=_("tracking"))
    def tracking_page(self, delivery: Delivery) -> str:
        """Link the customer's page; an address is too long for a table."""
        return display.tracking_link(delivery, gettext("Track"))


class StepColumn:
    """What a timeline and the list of status changes say of a step."""

    @admin.display(description=_("step"))
    def step(self, change: StatusChange) -> str:
        """Show from where to where; late news is kept, and marked as such."""
        after = display.status_badge(change.to_status)
        if not change.applied:
            late = display.badge(gettext("late news, not applied"), "—", "ended")
            return format_html("{} {}", after, late)
        return format_html("{} → {}", display.status_badge(change.from_status), after)


class CallColumns:
    """What the outbox and a delivery's page say of a call."""

    @admin.display(description=_("state"))
    def state_text(self, call: ApiCall) -> str:
        """Show our progress."""
        return display.call_badge(call)

    @admin.display(description=_("waits"))
    def waits(self, call: ApiCall) -> str:
        """Say until when, or for what."""
        return explanations.explain_waiting(call)


class EventColumns:
    """What the inbox and a delivery's page say of an event."""

    @admin.display(description=_("state"))
    def state_text(self, event: WebhookEvent) -> str:
        """Show what became of it."""
        return display.event_badge(event)

    @admin.display(description=_("reason"))
    def why(self, event: WebhookEvent) -> str:
        """Say in plain words why it was not applied, and what to do."""
        return explanations.explain_event(event)


class DeliveryLink:
    """The delivery that a row of another list is about."""

    admin_site: admin.AdminSite

    @admin.display(description=_("delivery"))
    def delivery_page(self, row: Any) -> str:
        """Link it."""
        return display.page_link(self.admin_site, row.delivery)
