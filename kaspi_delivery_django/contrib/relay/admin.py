"""The page of relayed webhooks: what was sent where, what was not and why, and sending it again."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.columns import OrderColumn
from kaspi_delivery_django.admin.confirmation import Action, ConfirmedActionsAdmin
from kaspi_delivery_django.admin.outcomes import Answer
from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.contrib.relay.models import RelayedEvent

State = RelayedEvent.State
_MARKS = {
    State.WAITING: ("…", "waiting"),
    State.SENT: ("✓", "good"),
    State.FAILED: ("!", "bad"),
}
_NEUTRAL_MARK = ("—", "ended")
_INTERNAL = {"state", "claim_token", "key"}


def _send_again(event: RelayedEvent, _answers: Mapping[str, Any]) -> Answer:
    if not outgoing.retry(RelayedEvent.objects.filter(pk=event.pk), also_sent=True):
        return Answer(messages.INFO, gettext("it is pending already."))
    return Answer(messages.INFO, gettext("it is sent in the worker's next round."))


SEND_AGAIN = Action(
    permission="retry_delivery",
    label=_("Send again"),
    question=_("The endpoint gets the same webhook-id and the same bytes as before: it can tell a repeat."),
    act=_send_again,
)


class StateFilter(filters.ChoiceFilter):
    """What became of it."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> filters.Choices:
        """Offer the states that occur."""
        return [(state.value, state.label) for state in (State.WAITING, State.SENT, State.FAILED)]


class EndpointFilter(filters.ChoiceFilter):
    """The endpoints of the settings; left out when there is one."""

    title = _("endpoint")
    parameter_name = "endpoint"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> filters.Choices:
        """Offer the aliases; none where a check reports that the settings are wrong."""
        try:
            aliases = list(conf.endpoints())
        except ImproperlyConfigured:
            return []
        return [(alias, alias) for alias in aliases] if len(aliases) > 1 else []


@admin.register(RelayedEvent)
class RelayedEventAdmin(OrderColumn, ConfirmedActionsAdmin):
    """Webhooks to the shop's other systems."""

    change_form_template = "admin/kaspi_delivery/change_form.html"
    change_list_template = "admin/kaspi_delivery/change_list.html"
    list_display = ("__str__", "order_page", "endpoint", "state_text", "error", "attempts", "created_at", "sent_at")
    list_filter = (StateFilter, EndpointFilter, filters.SinceFilter)
    list_prefetch_related = ("delivery",)
    search_fields = ("message_id", "delivery")
    search_help_text = filters.SEARCH_HELP
    actions = ("send_again",)

    @admin.display(description=_("state"))
    def state_text(self, event: RelayedEvent) -> str:
        """Show what became of it."""
        return display.badge(State(event.state).label, *_MARKS.get(State(event.state), _NEUTRAL_MARK))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the state, and all but what is our own business."""
        return ["state_text", *(name for name in super().get_fields(request, obj) if str(name) not in _INTERNAL)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the computed field too."""
        return ("state_text",)

    def find(self, request: HttpRequest, term: str) -> Q:
        """Look for a webhook-id, or for those about a delivery."""
        return Q(message_id=term) | Q(delivery__in=filters.delivery_keys(request, term))

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may send something again."""
        return request.user.has_perm(f"kaspi_delivery.{SEND_AGAIN.permission}")

    @admin.action(description=_("Send selected webhooks again"), permissions=["retry"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[RelayedEvent]) -> HttpResponse | None:
        """Make several due again."""
        return self.confirm_bulk(request, queryset, SEND_AGAIN)

    def facts(self, request: HttpRequest, row: RelayedEvent) -> Iterable[str]:
        """Return the delivery, the endpoint, and what became of it."""
        yield display.page_link(self.admin_site, row.delivery)
        yield row.endpoint
        yield self.state_text(row)

    def row_actions(self, row: RelayedEvent) -> Iterable[tuple[str, Action]]:
        """Offer to send again what has ended."""
        return [] if row.state == State.WAITING else [("send_again", SEND_AGAIN)]

    def row_action(self, row: RelayedEvent, name: str) -> Action | None:
        """Return the one there is."""
        return {"send_again": SEND_AGAIN}.get(name)
