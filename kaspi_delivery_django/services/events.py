"""Apply one webhook event to the delivery it is about. The caller holds the delivery's lock."""

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.client.events import DELIVERY_PREFIX
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.lifecycle import STATUSES, Verdict
from kaspi_delivery_django.models import Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import attention, clock, statements, status
from kaspi_delivery_django.services.transactions import home

State = WebhookEvent.State

TEST_ORDER, TEST_DELIVERY = "test", "dlv_test"
UNUSABLE_TIME = "the timestamp cannot be true: the time of arrival was used"


def apply(delivery: Delivery, event: WebhookEvent, remote: RemoteEvent | None = None) -> None:
    """Judge the event, set its `state`, and move the delivery. Saves an event that is new."""
    remote = remote or read_event(event.body.encode())
    at = clock.plausible(remote.occurred_at, event.received_at)
    news = status.News(
        status=remote.status,
        source=StatusChange.Source.WEBHOOK,
        at=at or event.received_at,
        note="" if at else UNUSABLE_TIME,
        event=event,
    )
    verdict = _verdict(delivery, remote, news)
    event.delivery, event.state, event.error = delivery, _state_after(verdict), news.note
    event.applied_at = clock.now()
    if event._state.adding:
        statements.insert(event, using=delivery._state.db or home())
    status.apply(delivery, news, verdict)
    status.save(delivery, status.STANDING)


def is_about_delivery(remote: RemoteEvent) -> bool:
    """Tell whether the event is of a type that speaks of a delivery's status."""
    return remote.type.startswith(DELIVERY_PREFIX)


def is_test(remote: RemoteEvent, delivery: Delivery | None) -> bool:
    """Tell whether the event looks like the one that `POST /v1/webhooks/test` sends.

    A shop may call an order "test"; then only the delivery id tells, and it books nothing.
    """
    if delivery is not None:
        return remote.delivery_id == TEST_DELIVERY != delivery.delivery_id
    return remote.external_order_id == TEST_ORDER or remote.delivery_id == TEST_DELIVERY


def _verdict(delivery: Delivery, remote: RemoteEvent, news: status.News) -> Verdict:
    verdict = status.weigh(delivery, news)
    word = remote.type.removeprefix(DELIVERY_PREFIX)
    if word in STATUSES and word != remote.status:
        verdict = Verdict.CONTRADICTION
    if verdict is Verdict.CONTRADICTION:
        attention.flag(delivery, Attention.CONTRADICTION, occurrence=remote.event_id)
    return verdict


def _state_after(verdict: Verdict) -> WebhookEvent.State:
    if verdict in {Verdict.REPEAT, Verdict.STALE}:
        return State.NOTED
    return State.CONFLICT if verdict is Verdict.CONTRADICTION else State.APPLIED
