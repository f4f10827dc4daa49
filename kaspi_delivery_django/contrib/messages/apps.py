"""App configuration: register the checks, the receiver, and what the worker does."""

from functools import partial

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
        from kaspi_delivery_django.contrib import outgoing
        from kaspi_delivery_django.contrib.messages import alarms, checks, sending
        from kaspi_delivery_django.contrib.messages.models import Message
        from kaspi_delivery_django.models import Delivery
        from kaspi_delivery_django.services.extensions import Extension, register
        from kaspi_delivery_django.signals import delivery_status_changed

        checks.register()
        delivery_status_changed.connect(sending.remember, sender=Delivery)
        register(Extension(label="alarms queued", rows_name="alarms", run=alarms.run))
        register(
            Extension(
                label="messages tried",
                rows_name="messages",
                run=sending.send_pending,
                old_rows=partial(outgoing.old_rows, Message),
                anonymize=sending.anonymize,
            )
        )
