"""The page of messages: what was sent to whom, and what was not."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.confirmation import bulk_action
from kaspi_delivery_django.admin.outcomes import Action, Answer
from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.contrib.outgoing_admin import OutgoingAdmin


def _send_again(message: Message, _answers: Mapping[str, Any]) -> Answer:
    if outgoing.retry(Message.objects.filter(pk=message.pk)):
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


@admin.register(Message)
class MessageAdmin(OutgoingAdmin):
    """Messages to customers, and alarms to staff; failed ones can be sent again."""

    list_display = ("__str__", "order_page", "about", "state_text", "error", "created_at", "sent_at")
    list_filter = (filters.StateFilter, filters.SinceFilter)
    list_prefetch_related = ("delivery", "change")
    personal = ("recipient", "subject", "text")
    send_again = bulk_action(SEND_AGAIN, _("Send selected messages again"))
    send_again_action = SEND_AGAIN
    send_again_states = (Message.State.FAILED,)
    computed = ("about", "state_text")
    internal = ("state", "change", "claim_token")

    @admin.display(description=_("about"))
    def about(self, row: Message) -> str:
        """Return the status that the customer was to know; for staff, that it is an alarm."""
        return display.status_badge(row.change.to_status) if row.change else gettext("Alarm to staff")

    def facts(self, request: HttpRequest, row: Message) -> Iterable[str]:
        yield display.page_link(self.admin_site, row.delivery)
        yield self.about(row)
        yield self.state_text(row)
