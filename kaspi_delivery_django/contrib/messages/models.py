"""The messages, sent and to be sent, and the alarms that are on."""

from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.contrib.messages.conf import CHANNEL_LENGTH, RECIPIENT_LENGTH
from kaspi_delivery_django.contrib.outgoing import Outgoing
from kaspi_delivery_django.models import Delivery, ExactCharField, StatusChange
from kaspi_delivery_django.models.fields import WrittenModel, WrittenQuerySet


class MessageQuerySet(WrittenQuerySet["Message"]):
    """Queries about messages."""

    def to_staff(self) -> Self:
        return self.filter(change__isnull=True)


class Message(Outgoing):
    """One message to a customer about one status change, over one channel; without a change an alarm to staff.

    The recipient and the text are those of the last attempt, empty before the first.
    """

    change = models.ForeignKey(
        StatusChange, models.CASCADE, null=True, related_name="+", verbose_name=_("status change"), db_index=False
    )
    delivery = models.ForeignKey(Delivery, models.CASCADE, null=True, related_name="+", verbose_name=_("delivery"))
    channel = ExactCharField(_("channel"), max_length=CHANNEL_LENGTH)
    recipient = models.CharField(_("recipient"), max_length=RECIPIENT_LENGTH, default="", blank=True)
    subject = models.TextField(_("subject"), default="", blank=True)
    text = models.TextField(_("text"), default="", blank=True)

    html: str = ""  # not a column: what this attempt sends beside the text

    objects: ClassVar = MessageQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery_messages"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [models.UniqueConstraint(fields=["change", "channel"], name="kaspi_delivery_one_message")]

    def __str__(self) -> str:
        return f"{self.channel} {self.pk}"


class Alarm(WrittenModel):
    """Something that needs attention, while it does. Staff know of it from `announced_at` on."""

    account = ExactCharField(_("account"), max_length=40, default="", blank=True)
    environment = ExactCharField(_("environment"), max_length=16, default="", blank=True)
    kind = ExactCharField(_("kind"), max_length=64)
    words = models.TextField(_("text"))
    began_at = models.DateTimeField(_("began at"))
    seen_at = models.DateTimeField(_("last seen at"))
    announced_at = models.DateTimeField(_("announced at"), null=True)

    class Meta:
        app_label = "kaspi_delivery_messages"
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(fields=["kind", "account", "environment"], name="kaspi_delivery_one_alarm")
        ]

    def __str__(self) -> str:
        return self.kind
