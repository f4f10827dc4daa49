"""App configuration: register checks, connect receivers, load the runner."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _


class KaspiDeliveryConfig(AppConfig):
    """Kaspi Delivery for a shop's orders."""

    name = "kaspi_delivery_django"
    label = "kaspi_delivery"
    verbose_name = _("Kaspi Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        for entry in settings.INSTALLED_APPS:
            if _has_our_label(entry):
                raise ImproperlyConfigured(
                    f'{entry!r} in INSTALLED_APPS has the label "{self.label}", which is the one of {self.name}. Give'
                    f' it another one in its apps.py: label = "own_{self.label}", and rename its tables with it.'
                )

    def ready(self) -> None:
        """Register the checks, connect the receivers, load the runner and the OpenAPI extension."""
        from kaspi_delivery_django import checks, receivers
        from kaspi_delivery_django.services.deliveries import runners

        checks.register()
        receivers.connect()
        runners.load_runner()
        if apps.is_installed("drf_spectacular"):
            import_module("kaspi_delivery_django.contrib.openapi")


def _has_our_label(entry: str) -> bool:
    """Return whether another app has our label, by its name or by its configuration."""
    label, name = KaspiDeliveryConfig.label, KaspiDeliveryConfig.name
    if label not in entry.split(".") or entry.split(".", maxsplit=1)[0] == name:
        return False
    return AppConfig.create(entry).label == label
