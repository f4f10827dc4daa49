"""What staff asked for in bulk, and the worker does."""

from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.db import WrittenModel, WrittenQuerySet
from kaspi_delivery_django.models.deliveries import Delivery
from kaspi_delivery_django.models.events import WebhookEvent


class PendingActionQuerySet(WrittenQuerySet["PendingAction"]):
    """Sentences about what staff asked for."""

    def waiting(self) -> Self:
        """Those that the worker has still to do, the oldest first; what was deferred lets the others pass."""
        return self.filter(failed_at__isnull=True).order_by(models.F("deferred_at").asc(nulls_first=True), "pk")


class PendingAction(WrittenModel):
    """One row of a bulk action that one request could not finish: the worker does it, and deletes it.

    What it was refused stays, with the reason, until a member of staff takes it off.
    """

    class Name(models.TextChoices):
        CANCEL = "cancel", _("cancel")
        RETRY = "retry", _("retry")
        REFRESH = "refresh", _("ask Kaspi")
        REPLAY = "replay", _("replay")
        ACKNOWLEDGE = "acknowledge", _("acknowledge")

    name = models.CharField(_("action"), max_length=16, choices=Name.choices)
    delivery = models.ForeignKey(Delivery, models.CASCADE, null=True, related_name="+", verbose_name=_("delivery"))
    event = models.ForeignKey(WebhookEvent, models.CASCADE, null=True, related_name="+", verbose_name=_("event"))
    reason = models.TextField(_("reason given"), default="", blank=True)
    asked_by = models.CharField(_("asked by"), max_length=254, default="", blank=True)
    created_at = models.DateTimeField(_("asked at"))
    deferred_at = models.DateTimeField(_("deferred at"), null=True)
    failed_at = models.DateTimeField(_("refused at"), null=True)
    failure = models.TextField(_("refused because"), default="", blank=True)

    objects: ClassVar = PendingActionQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("action handed to the worker")
        verbose_name_plural = _("actions handed to the worker")
        indexes = [models.Index(fields=["failed_at"], name="kaspi_delivery_action_waiting")]

    def __str__(self) -> str:
        return f"{self.get_name_display()} {self.delivery_id or self.event_id}"
