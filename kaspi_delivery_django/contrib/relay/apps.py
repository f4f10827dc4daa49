"""App configuration: register the checks and the worker's task; connect the receivers if an endpoint is set."""

from importlib import import_module
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
        checks.register(_module("checks").check_relay, "kaspi_delivery")
        events, extensions = _module("events"), import_module("kaspi_delivery_django.services.extensions")
        task = extensions.Extension(
            label="webhooks relayed",
            rows="relayed webhooks",
            run=_run,
            prune=events.prune,
            anonymize=lambda _deliveries: None,  # no personal data is relayed
        )
        extensions.register(task)
        if _module("conf").is_set():
            events.connect()


def _run(**options: Any) -> int:
    """Send what is due; only a process that does so imports the libraries for it."""
    done: int = _module("sending").run(**options)
    return done


def _module(name: str) -> Any:
    """Import a module that needs the models to be loaded."""
    return import_module(f"{RelayConfig.name}.{name}")
