"""Connect the app: to the status changes, to the worker's rounds, and to pruning."""

from functools import partial

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages import alarms, sending
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.services.extensions import Extension
from kaspi_delivery_django.signals import delivery_status_changed

UID = "kaspi_delivery_messages.remember"
EXTENSIONS = (
    Extension(
        label="alarms queued",
        rows="alarms",
        run=alarms.run,
        prune=lambda **_options: iter(()),
        anonymize=lambda _deliveries: None,
    ),
    Extension(
        label="messages tried",
        rows="messages",
        run=sending.send_pending,
        prune=partial(outgoing.prune, Message),
        anonymize=sending.anonymize,
    ),
)


def connect() -> None:
    """Connect and register all of it; a second time changes nothing."""
    delivery_status_changed.connect(sending.remember, sender=Delivery, dispatch_uid=UID)
    for extension in EXTENSIONS:
        extensions.register(extension)
