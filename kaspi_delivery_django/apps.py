"""The app: connects the receivers and registers the checks."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class KaspiDeliveryConfig(AppConfig):
    """Kaspi Delivery for a shop's orders."""

    name = "kaspi_delivery_django"
    label = "kaspi_delivery"
    verbose_name = _("Kaspi Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, connect the receivers, and load the runner's tasks."""
        from kaspi_delivery_django import checks, receivers  # noqa: PLC0415  # models must be loaded
        from kaspi_delivery_django.services import nudges  # noqa: PLC0415  # the same

        checks.register()
        receivers.connect()
        nudges.load_runner()
