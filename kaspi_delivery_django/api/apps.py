"""App configuration: add the idempotency keys to `kaspi_prune`."""

from django.apps import AppConfig


class KaspiDeliveryApiConfig(AppConfig):
    """The REST API, which has one table of its own."""

    name = "kaspi_delivery_django.api"
    label = "kaspi_delivery_api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what `kaspi_prune` deletes. No key names a customer."""
        from kaspi_delivery_django.api import idempotency
        from kaspi_delivery_django.services import extensions

        keys = "idempotency keys"
        extensions.register(extensions.Extension(label=keys, rows_name=keys, old_rows=idempotency.old_rows))
