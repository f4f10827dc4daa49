"""The shop's app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ShopConfig(AppConfig):
    """A shop that ships with Kaspi Delivery."""

    name = "example_project.shop"
    label = "example_shop"
    verbose_name = _("Shop")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to the courier's news."""
        from example_project.shop import receivers  # models must be loaded

        receivers.connect()
