"""Note a status change for its customer, and send what is due: exactly one message per change and channel."""

import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db.models import Model
from django.utils.functional import Promise

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages import conf, texts
from kaspi_delivery_django.contrib.messages.backends import Content, NeverSendable, RetryLater
from kaspi_delivery_django.contrib.messages.models import Message, MessageQuerySet
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.orders import AnyAdapter, OrderAdapter, adapter_for
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import content_types, storable
from kaspi_delivery_django.services.deliveries import payloads
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter
from kaspi_delivery_django.statuses import CANCELLED

State = Message.State
TOO_LATE = timedelta(days=3)
SEND_S = 5.0  # then the worker's other tasks run
PAUSE_S = 30.0
REPLACED = "a later message replaces it"
REBOOKED = "the order was booked again"
ORDER_GONE = "the order was deleted"
ANONYMIZED = "the customer's data is anonymized"

_paused: dict[str, datetime] = {}


def remember(delivery: Delivery, change: StatusChange, **_signal: Any) -> None:
    """Insert a message for each channel, for the worker to send. A repeated signal inserts none."""
    found = conf.current()
    if not _is_for_customer(delivery, change, found):
        return
    now = clock.now()
    rows = [
        Message(change_id=change.pk, delivery_id=delivery.pk, channel=name, next_attempt_at=now)
        for name in found.channels
    ]
    Message.objects.bulk_create(rows, ignore_conflicts=True)


def send_pending(*, limit: int, only_to_staff: bool = False) -> int:
    """Send due messages, one after the other; customers' wait while the hours are quiet.

    Return how many were tried. A channel that fails rests, so that a silent service does not stop the worker.
    """
    rows: Any = Message.objects.select_related("change", "delivery")
    if only_to_staff or conf.current().is_quiet(clock.now()):
        rows = rows.to_staff()
    tried, ended = list[int](), time.monotonic() + SEND_S

    def send(row: Message) -> None:
        tried.append(row.pk)
        _send(row)

    while len(tried) < limit and time.monotonic() < ended:
        before = len(tried)
        outgoing.send_due(rows.exclude(channel__in=_resting()), send, limit=1)
        if len(tried) == before:
            break
    return len(tried)


def anonymize(deliveries: Collection[int]) -> None:
    """Clear recipients and texts; what has not been sent by now is not."""
    rows = Message.objects.filter(delivery__in=deliveries)
    unsent = rows.filter(state__in=(State.WAITING, State.FAILED))
    unsent.update(state=State.SKIPPED, next_attempt_at=None, claim_token="", error=ANONYMIZED)
    rows.update(recipient="", subject="", text="")


def _is_for_customer(delivery: Delivery, change: StatusChange, found: conf.Settings) -> bool:
    """Return whether a customer is to know: not of old news, nor of a cancel before there was a delivery."""
    if change.to_status not in found.statuses or not found.channels:
        return False
    is_old = clock.now() - min(change.at, change.created_at) > TOO_LATE
    is_unsent = change.to_status == CANCELLED and delivery.delivery_id is None
    return not is_old and not is_unsent and _has_recipients(delivery)


def _has_recipients(delivery: Delivery) -> bool:
    """Return whether the adapter names recipients at all."""
    model = content_types().get_for_id(delivery.content_type_id).model_class()
    adapter = adapter_for(model) if model else None
    return adapter is not None and type(adapter).customer_recipients is not OrderAdapter.customer_recipients


def _send(row: Message) -> None:
    """Send a claimed message. What it raises is recorded by `outgoing`."""
    channel = conf.current().channels.get(row.channel)
    if channel is None:
        raise NeverSendable(f"MESSAGES has no channel {row.channel!r}")
    if row.change_id is not None and not _prepare(row, channel):
        return
    try:
        channel.backend.send_content(row.recipient, Content(text=row.text, subject=row.subject, html=row.html))
    except (NeverSendable, ImproperlyConfigured):
        raise
    except Exception as err:
        pause_s = err.pause_s if isinstance(err, RetryLater) else PAUSE_S
        _paused[row.channel] = clock.now() + timedelta(seconds=pause_s)
        raise


def _prepare(row: Message, channel: conf.Channel) -> bool:
    """Ask the adapter, write the text, and store both; False when the message is no longer to be sent."""
    change: Any = row.change
    delivery: Any = row.delivery
    try:
        order = payloads.order_of(delivery)
    except ObjectDoesNotExist:
        return _skip(row, ORDER_GONE)
    if reason := _reason_to_skip(row, delivery):
        return _skip(row, reason)
    adapter = adapter_for(type(order))
    if adapter is None:
        raise AdapterFailed(payloads.NO_ADAPTER)
    recipient = recipient_of(adapter, order, row.channel)
    if not recipient:
        _own(row).delete()
        return False
    language = call_adapter(lambda: str(adapter.customer_language(order) or ""))
    content = texts.content_of(change, channel, order=order, language=language)
    row.recipient, row.subject, row.text, row.html = recipient, content.subject, content.text, content.html
    stored = {"recipient": recipient, "subject": storable(content.subject), "text": storable(content.text)}
    return bool(_own(row).update(**stored))


def recipient_of(adapter: AnyAdapter, order: Model, channel: str) -> str:
    """Return the customer's address in a channel, empty for none. Raises `AdapterFailed`."""
    found = call_adapter(lambda: _texts(adapter.customer_recipients(order)))
    recipient = found.get(channel, "")
    if len(recipient) > conf.RECIPIENT_LENGTH:
        raise AdapterFailed(f"customer_recipients must return texts of at most {conf.RECIPIENT_LENGTH} characters")
    return recipient


def _texts(found: object) -> dict[str, str]:
    if not isinstance(found, Mapping):
        raise AdapterFailed("customer_recipients must return a dict of channel to recipient")
    return {str(name): _text(value) for name, value in found.items()}


def _text(value: object) -> str:
    """Read a recipient: a text, or a number such as a chat id."""
    if value is None:
        return ""
    if not isinstance(value, str | int | Promise) or isinstance(value, bool):
        raise AdapterFailed("customer_recipients must return a dict of channel to recipient")
    return str(value).strip()


def _reason_to_skip(row: Message, delivery: Delivery) -> str:
    """Return why a message has been overtaken; empty when it has not."""
    if delivery.blanked_at:
        return ANONYMIZED
    later = Message.objects.filter(delivery=delivery.pk, channel=row.channel, change__gt=row.change_id)
    if later.exists():
        return REPLACED
    return REBOOKED if delivery.has_successor() else ""


def _skip(row: Message, reason: str) -> bool:
    _own(row).update(state=State.SKIPPED, next_attempt_at=None, claim_token="", error=reason)
    return False


def _own(row: Message) -> MessageQuerySet:
    """Return the row while this process has its claim."""
    return Message.objects.filter(pk=row.pk, claim_token=row.claim_token)


def _resting() -> list[str]:
    now = clock.now()
    return [name for name, until in _paused.items() if until > now]
