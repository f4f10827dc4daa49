"""What all processes know of an account."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.columns import ExactCharField
from kaspi_delivery_django.models.db import WrittenModel


class AccountState(WrittenModel):
    """One account in one environment: its gate, what Kaspi announces in headers, and when a worker was last seen."""

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    closed_until = models.DateTimeField(_("gate closed until"), null=True)
    closed_reason = models.CharField(_("gate closed because"), max_length=200, default="", blank=True)
    announcement = models.CharField(_("Kaspi announces"), max_length=500, default="", db_default="", blank=True)
    announced_at = models.DateTimeField(_("announced at"), null=True)
    worker_seen_at = models.DateTimeField(_("worker last seen at"), null=True)
    cancels_asked_at = models.DateTimeField(_("adapters last asked about cancels at"), null=True)

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("account state")
        verbose_name_plural = _("account states")
        constraints = [models.UniqueConstraint(fields=["account", "environment"], name="kaspi_delivery_account_state")]

    def __str__(self) -> str:
        return f"{self.account} ({self.environment})"
