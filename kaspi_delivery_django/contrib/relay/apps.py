"""App configuration: register the checks and the worker's task; connect the receivers if an endpoint is set."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class RelayConfig(AppConfig):
    """Signed webhooks to the shop's other systems."""

    name = "kaspi_delivery_django.contrib.relay"
    label = "kaspi_delivery_relay"
    verbose_name = _("Kaspi Delivery: webhooks to your systems")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what the app adds. Without an endpoint nothing is connected: a save and a webhook cost no more."""
        from kaspi_delivery_django.contrib.relay import conf, events
        from kaspi_delivery_django.contrib.relay.checks import check_relay
        from kaspi_delivery_django.services.extensions import Extension, register

        checks.register(check_relay, "kaspi_delivery")
        # No personal data is relayed: there is nothing to anonymize.
        register(Extension(label="webhooks relayed", rows_name="relayed webhooks", run=_run, old_rows=events.old_rows))
        if conf.is_set():
            events.connect()


def _run(**options: Any) -> int:
    """Send what is due; only a process that does so imports the libraries for it."""
    from kaspi_delivery_django.contrib.relay import sending

    return sending.run(**options)
