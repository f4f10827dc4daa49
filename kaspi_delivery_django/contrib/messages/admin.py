"""The page of messages: what was sent to whom, and what was not."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.columns import OrderColumn
from kaspi_delivery_django.admin.confirmation import Action, ConfirmedActionsAdmin
from kaspi_delivery_django.admin.outcomes import Answer
from kaspi_delivery_django.contrib.messages import sending
from kaspi_delivery_django.contrib.messages.models import Message

MARKS = {
    Message.State.WAITING: ("…", "waiting"),
    Message.State.SENT: ("✓", "good"),
    Message.State.FAILED: ("!", "bad"),
    Message.State.SKIPPED: ("—", "ended"),
}


def _send_again(message: Message, _answers: Mapping[str, Any]) -> Answer:
    if sending.send_again(message):
        return Answer(messages.SUCCESS, gettext("it is sent with the worker's next round."))
    return Answer(messages.ERROR, gettext("not sent again: it has not failed."))


SEND_AGAIN = Action(
    permission="retry_delivery",
    label=_("Send again"),
    question=_(
        "The shop's adapter is asked for the recipient again. A message that a later one has replaced is not sent."
    ),
    act=_send_again,
)


class StateFilter(filters.ChoiceFilter):
    """What became of a message."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> filters.Choices:
        """Offer the states."""
        return Message.State.choices


@admin.register(Message)
class MessageAdmin(OrderColumn, ConfirmedActionsAdmin):
    """Messages to customers, and alarms to staff; failed ones can be sent again."""

    change_form_template = "admin/kaspi_delivery/change_form.html"
    change_list_template = "admin/kaspi_delivery/change_list.html"
    list_display = ("__str__", "order_page", "about", "state_text", "error", "created_at", "sent_at")
    list_filter = (StateFilter, filters.SinceFilter)
    list_prefetch_related = ("delivery", "change")
    search_fields = ("delivery",)
    search_help_text = filters.SEARCH_HELP
    personal = ("recipient", "subject", "text")
    actions = ("send_messages_again",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may send again."""
        return request.user.has_perm("kaspi_delivery.retry_delivery")

    @admin.display(description=_("about"))
    def about(self, row: Message) -> str:
        """Return the status that the customer was to know; for staff, that it is an alarm."""
        return display.status_badge(row.change.to_status) if row.change else gettext("Alarm to staff")

    @admin.display(description=_("state"))
    def state_text(self, row: Message) -> str:
        """Show what became of it."""
        return display.badge(row.get_state_display(), *MARKS[Message.State(row.state)])

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the state and the subject of the message as words."""
        hidden = {"state", "change", "claim_token"}
        return ["about", "state_text", *(name for name in super().get_fields(request, obj) if str(name) not in hidden)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the computed fields too."""
        return ("about", "state_text")

    def find(self, request: HttpRequest, term: str) -> Q:
        """Look for the messages about a delivery."""
        return Q(delivery__in=filters.delivery_keys(request, term))

    @admin.action(description=_("Send selected messages again"), permissions=["retry"])
    def send_messages_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Make several due again."""
        return self.confirm_bulk(request, queryset, SEND_AGAIN)

    def facts(self, request: HttpRequest, row: Message) -> Iterable[str]:
        """Return the order, and what the message is about."""
        yield display.page_link(self.admin_site, row.delivery)
        yield self.about(row)
        yield self.state_text(row)

    def row_actions(self, row: Message) -> Iterable[tuple[str, Action]]:
        """Offer to send a failed one again."""
        return [("again", SEND_AGAIN)] if row.state == Message.State.FAILED else []

    def row_action(self, row: Message, name: str) -> Action | None:
        """Return what stands behind the name."""
        return SEND_AGAIN if name == "again" else None
