"""The page of webhook events, and the actions for dead letters."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.actions import ACKNOWLEDGE_EVENT, REPLAY
from kaspi_delivery_django.admin.columns import EventColumns, OrderColumn
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin, bulk_action
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats import accounts, recent

State = WebhookEvent.State
_ACTIONS = {"replay": REPLAY, "acknowledge": ACKNOWLEDGE_EVENT}


class EventStateFilter(filters.GroupedStateFilter):
    """What became of an event; the dead letters together."""

    together = ("dead", _("Dead letters: failed, parked or in conflict"), WebhookEvent.DEAD_LETTERS)


class RepeatedFilter(filters.LinkedFilter):
    """The events of the last 24 hours that came more than once."""

    title = _("came more than once")
    parameter_name = "repeated"

    def label(self, _request: HttpRequest, value: str) -> str:
        return gettext("The last 24 hours") if value == "1" else ""

    def condition(self, _value: str) -> Q:
        return Q(recent.received(clock.now()), recent.REPEATED)


@admin.register(WebhookEvent)
class WebhookEventAdmin(OrderColumn, EventColumns, ConfirmedActionsAdmin):
    """Kaspi's webhook events; dead letters can be replayed."""

    list_display = ("__str__", "order_page", "state_text", "why", "received")
    list_filter = (
        EventStateFilter,
        filters.ReceivedFilter,
        filters.AccountFilter,
        filters.EnvironmentFilter,
        RepeatedFilter,
    )
    search_fields = ("event_id", "external_order_id", "kaspi_delivery_id")
    personal = ("body",)
    actions = ("replay_events", "acknowledge_events")
    replay_events = bulk_action(REPLAY, _("Replay selected events"))
    acknowledge_events = bulk_action(ACKNOWLEDGE_EVENT, _("Acknowledge selected events"))

    def order_cell(self, row: WebhookEvent, *, shows_personal: bool) -> str:
        return super().order_cell(row, shows_personal=shows_personal) or display.short_id(row.external_order_id)

    @admin.display(description=_("received at"))
    def received(self, event: WebhookEvent) -> str:
        """Return when it came first, and how often if more than once."""
        times = f"{event.received_count}\N{MULTIPLICATION SIGN}" if event.received_count > 1 else ""
        return format_html('{}<div class="kd-line">{}</div>', display.moment(event.received_at), times)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        stored = super().get_fields(request, obj)
        return ["state_text", "why", *(name for name in stored if str(name) not in {"state", "error"})]

    def find(self, request: HttpRequest, term: str) -> Q:
        """Look for whole ids, each together with what its index begins with."""
        named = Q(account__in=accounts.aliases(), environment__in=conf.BASE_URLS, event_id=term)
        unlinked = Q(state__in=(*WebhookEvent.DEAD_LETTERS, State.ACKNOWLEDGED), kaspi_delivery_id=term)
        by_order = Q(state__in=State.values, external_order_id=term)
        return named | by_order | unlinked | super().find(request, term)

    def facts(self, request: HttpRequest, row: WebhookEvent) -> Iterable[str]:
        """Return the delivery, or the order that the event names, and the event's state and time."""
        yield display.page_link(self.admin_site, row.delivery) or row.external_order_id
        yield display.event_badge(row)
        yield display.moment(row.received_at)

    def row_actions(self, row: WebhookEvent) -> Iterable[tuple[str, Action]]:
        """Return the actions for a dead letter; one with two contents cannot be replayed."""
        if not row.is_dead_letter:
            return []
        return [(name, action) for name, action in _ACTIONS.items() if name != "replay" or row.is_replayable]

    def row_action(self, row: WebhookEvent, name: str) -> Action | None:
        return _ACTIONS.get(name)
