"""The app: what is connected, registered and loaded when Django starts."""

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
        """Register the checks, connect the receivers, and load what belongs to a runner or a library in use."""
        from kaspi_delivery_django import checks, receivers  # noqa: PLC0415  # models must be loaded
        from kaspi_delivery_django.services import nudges  # noqa: PLC0415  # the same
        from kaspi_delivery_django.views import cookies  # noqa: PLC0415  # the same

        checks.register()
        receivers.connect()
        cookies.connect()
        nudges.load_runner()
        if apps.is_installed("drf_spectacular"):
            import_module("kaspi_delivery_django.contrib.openapi")
