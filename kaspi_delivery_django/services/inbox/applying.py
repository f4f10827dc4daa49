"""Match a stored event to its delivery, apply it, and store the event's state."""

from typing import Any

from django.db.models import QuerySet

from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services.db import lock
from kaspi_delivery_django.services.deliveries import attention, events, refreshing

State, Reason = WebhookEvent.State, WebhookEvent.Reason


def apply_or_store(event: WebhookEvent, remote: RemoteEvent, delivery: Delivery | None, using: str) -> str:
    """Apply the event to its locked delivery, or record why it cannot be applied; save it either way."""
    if unusable := events.unusable_reason(remote):
        event.delivery = delivery
        if delivery is not None and events.is_about_delivery(remote):
            schedule_refresh(delivery)
        return store(event, *unusable, using)
    if delivery is None:
        return store(event, State.PARKED, Reason.NO_DELIVERY, using)
    if remote.external_order_id not in {"", delivery.external_order_id}:
        flag(delivery, Attention.FOREIGN_DELIVERY, occurrence=remote.external_order_id)
        return store(event, State.CONFLICT, Reason.FOREIGN, using)
    if not events.link_and_apply(delivery, remote.delivery_id):
        flag(delivery, Attention.SECOND_PARCEL, occurrence=remote.delivery_id)
        return store(event, State.PARKED, Reason.SECOND_PARCEL, using)
    is_known = not event._state.adding
    events.apply(delivery, event, remote)
    return store(event, event.state, event.error, using) if is_known else event.state


def lock_delivery(event: WebhookEvent, using: str, **waiting: Any) -> Delivery | None:
    """Lock and return the delivery that the event names, by Kaspi's id first, else by the external order id."""
    own: dict[str, Any] = {"using": using, "account": event.account, "environment": event.environment, **waiting}
    names: dict[str, Any] = {"delivery_id": event.kaspi_delivery_id, "external_order_id": event.external_order_id}
    found = (lock(**own, **{name: value}) for name, value in names.items() if value)
    return next((delivery for delivery in found if delivery), None)


def schedule_refresh(delivery: Delivery) -> None:
    """Schedule a GET for a locked delivery that has a Kaspi id: the answer decides."""
    if delivery.delivery_id:
        refreshing.schedule_refresh_now(delivery)
        delivery.save(update_fields=["next_refresh_at", "updated_at"])


def flag(delivery: Delivery, reason: Attention, *, occurrence: str) -> None:
    """Flag a locked delivery, and save it."""
    attention.flag(delivery, reason, occurrence=occurrence)
    delivery.save(update_fields=attention.COLUMNS)


def store(event: WebhookEvent, state: str, error: str, using: str) -> str:
    """Insert or update the event in this state; return the state."""
    event.state, event.error = state, error
    if event._state.adding:
        events.insert(event, using=using)
    else:
        event.save(using=using, update_fields=["delivery", "state", "error", "applied_at"])
    return state


def same_event(event: WebhookEvent, using: str) -> QuerySet[WebhookEvent]:
    """Return the stored row of the event, by account, environment and event id."""
    return WebhookEvent.objects.using(using).filter(
        account=event.account, environment=event.environment, event_id=event.event_id
    )
