"""The app: connects the receivers, registers the checks, and describes the endpoints where somebody reads that."""

from importlib import import_module

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class KaspiDeliveryConfig(AppConfig):
    """Kaspi Delivery for a shop's orders."""

    name = "kaspi_delivery_django"
    label = "kaspi_delivery"
    verbose_name = _("Kaspi Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks and connect the receivers; drf-spectacular is loaded only where the project has it."""
        from kaspi_delivery_django import checks, receivers  # noqa: PLC0415  # models must be loaded

        checks.register()
        receivers.connect()
        if apps.is_installed("drf_spectacular"):
            import_module("kaspi_delivery_django.contrib.openapi")
