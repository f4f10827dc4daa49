"""The page of relayed webhooks: what was sent where, what was not and why, and sending it again."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.confirmation import bulk_action
from kaspi_delivery_django.admin.outcomes import Action, Answer
from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.outgoing_admin import OutgoingAdmin
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.contrib.relay.models import RelayedEvent

State = RelayedEvent.State
RESENDABLE = (State.SENT, State.FAILED)


def _send_again(event: RelayedEvent, _answers: Mapping[str, Any]) -> Answer:
    if not outgoing.retry(RelayedEvent.objects.filter(pk=event.pk), states=RESENDABLE):
        return Answer(messages.INFO, gettext("it is pending already."))
    return Answer(messages.INFO, gettext("it is sent in the worker's next round."))


SEND_AGAIN = Action(
    permission="retry_delivery",
    label=_("Send again"),
    question=_("The endpoint gets the same webhook-id and the same bytes as before: it can tell a repeat."),
    act=_send_again,
)


class RelayStateFilter(filters.StateFilter):
    """The state of a webhook: none is skipped."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> filters.Choices:
        return [choice for choice in super().lookups(request, model_admin) if choice[0] != State.SKIPPED]


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
class RelayedEventAdmin(OutgoingAdmin):
    """Webhooks to the shop's other systems."""

    list_display = ("__str__", "order_page", "endpoint", "state_text", "error", "attempts", "created_at", "sent_at")
    list_filter = (RelayStateFilter, EndpointFilter, filters.SinceFilter)
    search_fields = ("message_id", "delivery")
    send_again = bulk_action(SEND_AGAIN, _("Send selected webhooks again"))
    send_again_action = SEND_AGAIN
    send_again_states = RESENDABLE
    internal = ("state", "claim_token", "key")

    def find(self, request: HttpRequest, term: str) -> Q:
        """Look for a webhook-id, or for those about a delivery."""
        return Q(message_id=term) | super().find(request, term)

    def facts(self, request: HttpRequest, row: RelayedEvent) -> Iterable[str]:
        yield display.page_link(self.admin_site, row.delivery)
        yield row.endpoint
        yield self.state_text(row)
