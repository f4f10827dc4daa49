"""App configuration: register the checks, the receiver, and what the worker does."""

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MessagesConfig(AppConfig):
    """Messages to customers, and alarms to staff."""

    name = "kaspi_delivery_django.contrib.messages"
    label = "kaspi_delivery_messages"
    verbose_name = _("Kaspi Delivery messages")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect to the status changes, the worker and pruning."""
        import_module(f"{self.name}.checks").register()
        import_module(f"{self.name}.connecting").connect()
