"""The outbox of relayed webhooks."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.contrib.outgoing import Outgoing
from kaspi_delivery_django.models import ExactCharField


class RelayedEvent(Outgoing):
    """One event for one endpoint. `body` is what every attempt sends, and `message_id` its `webhook-id`.

    `key` says what happened: an endpoint gets it once, however often the signal is sent.
    """

    endpoint = ExactCharField(_("endpoint"), max_length=40)
    type = ExactCharField(_("type"), max_length=64)
    key = ExactCharField(_("key"), max_length=64, editable=False)
    message_id = ExactCharField(_("webhook-id"), max_length=64)
    delivery = models.ForeignKey(
        "kaspi_delivery.Delivery", models.SET_NULL, null=True, related_name="+", verbose_name=_("delivery")
    )
    body = models.TextField(_("body"))

    class Meta:
        app_label = "kaspi_delivery_relay"
        verbose_name = _("relayed webhook")
        verbose_name_plural = _("relayed webhooks")
        constraints = [models.UniqueConstraint(fields=["endpoint", "key"], name="kaspi_delivery_relay_once")]
        indexes = [
            models.Index(fields=["endpoint", "next_attempt_at"], name="kaspi_delivery_relay_due"),
            models.Index(fields=["state"], name="kaspi_delivery_relay_state"),
            models.Index(fields=["message_id"], name="kaspi_delivery_relay_id"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"
