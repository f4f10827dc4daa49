"""App configuration: add the idempotency keys to `kaspi_prune`."""

from importlib import import_module

from django.apps import AppConfig


class KaspiDeliveryApiConfig(AppConfig):
    """The REST API, which has one table of its own."""

    name = "kaspi_delivery_django.api"
    label = "kaspi_delivery_api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what `kaspi_prune` deletes."""
        import_module("kaspi_delivery_django.api.idempotency").register()
