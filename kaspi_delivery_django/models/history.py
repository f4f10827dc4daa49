"""The history that a customer or an operator reads."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.columns import ExactCharField
from kaspi_delivery_django.models.db import WrittenModel, WrittenQuerySet
from kaspi_delivery_django.models.deliveries import Delivery
from kaspi_delivery_django.models.events import WebhookEvent
from kaspi_delivery_django.wording import status_label


class StatusChangeQuerySet(WrittenQuerySet["StatusChange"]):
    """Sentences about the history."""

    def unnotified(self, now: datetime) -> Self:
        """Applied changes that the shop's code has not taken, the longest due first."""
        untold = self.filter(notified_at__isnull=True, applied=True)
        return untold.filter(notify_after__lte=now).order_by("notify_after")


class StatusChange(WrittenModel):
    """One step of a delivery's history. Late news is kept with `applied=False`."""

    class Source(models.TextChoices):
        CREATE = "create", _("booking")
        WEBHOOK = "webhook", _("webhook")
        REFRESH = "refresh", _("refresh")
        CANCEL = "cancel", _("cancellation")
        ADMIN = "admin", _("staff")

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="history", verbose_name=_("delivery"))
    from_status = ExactCharField(_("from"), max_length=64, default="", blank=True)
    to_status = ExactCharField(_("to"), max_length=64)
    at = models.DateTimeField(_("at"))
    source = models.CharField(_("source"), max_length=16, choices=Source.choices)
    event = models.ForeignKey(WebhookEvent, models.SET_NULL, null=True, related_name="+", verbose_name=_("event"))
    note = models.TextField(_("note"), default="", blank=True)
    applied = models.BooleanField(_("applied"), default=True)
    notified_at = models.DateTimeField(_("notified at"), null=True)
    notify_after = models.DateTimeField(_("notify again after"))
    created_at = models.DateTimeField(_("created at"))

    objects: ClassVar = StatusChangeQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        ordering = ["at", "pk"]
        indexes = [
            models.Index(fields=["notified_at", "notify_after"], name="kaspi_delivery_unnotified"),
            models.Index(fields=["created_at", "to_status", "applied"], name="kaspi_delivery_change_day"),
        ]

    def __str__(self) -> str:
        before = status_label(self.from_status) if self.from_status else "—"
        return f"{before} → {status_label(self.to_status)}"
