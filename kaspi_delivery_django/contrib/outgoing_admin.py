"""What the pages of two outboxes have in common: the state of a row, and sending it again after a question."""

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.admin.columns import OrderColumn
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.contrib.outgoing import Outgoing

State = Outgoing.State
MARKS = {State.WAITING: ("…", "waiting"), State.SENT: ("✓", "good"), State.FAILED: ("!", "bad")}
NEUTRAL_MARK = ("—", "ended")


class OutgoingAdmin(OrderColumn, ConfirmedActionsAdmin):
    """The page of an outbox."""

    change_form_template = "admin/kaspi_delivery/change_form.html"
    change_list_template = "admin/kaspi_delivery/change_list.html"
    actions = ("send_again",)

    send_again_action: ClassVar[Action]
    send_again_states: ClassVar[Collection[str]]
    computed: ClassVar[tuple[str, ...]] = ("state_text",)
    internal: ClassVar[Collection[str]]

    @admin.display(description=_("state"))
    def state_text(self, row: Any) -> str:
        return display.badge(row.get_state_display(), *MARKS.get(State(row.state), NEUTRAL_MARK))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the computed fields first, and none that is our own business."""
        return [*self.computed, *(name for name in super().get_fields(request, obj) if str(name) not in self.internal)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.computed

    def row_actions(self, row: Any) -> Iterable[tuple[str, Action]]:
        return [("send_again", self.send_again_action)] if row.state in self.send_again_states else []

    def row_action(self, row: Any, name: str) -> Action | None:
        return self.send_again_action if name == "send_again" else None
