"""Match a webhook event to its delivery, link Kaspi's delivery id, and apply the event.

The caller holds the delivery's lock, which `lock_delivery` acquires.
"""

import logging
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.client.webhooks import DELIVERY_PREFIX
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock, errors, fast_sql
from kaspi_delivery_django.services.db import atomic, is_unavailable
from kaspi_delivery_django.services.deliveries import attention, calls, rules, status
from kaspi_delivery_django.services.locks import lock
from kaspi_delivery_django.statuses import STATUSES, Transition

logger = logging.getLogger(__name__)
State, Reason = WebhookEvent.State, WebhookEvent.Reason


class EventNotStored(IntegrityError):
    """The database refused the event's row: its id exists already, or something else is wrong."""


def apply(delivery: Delivery, event: WebhookEvent, remote: RemoteEvent | None = None) -> None:
    """Update the delivery's status by the event, and set the event's state. Saves the delivery and a new event."""
    remote = remote or read_event(event.body.encode())
    if unusable := unusable_reason(remote):  # parked by a version that accepted more
        event.delivery, (event.state, event.error) = delivery, unusable
        return
    at = clock.plausible(remote.occurred_at, event.received_at)
    update = status.StatusUpdate(
        status=remote.status,
        source=StatusChange.Source.WEBHOOK,
        at=at or event.received_at,
        note="" if at else Reason.UNUSABLE_TIME,
        event=event,
        is_consistent=remote.type.removeprefix(DELIVERY_PREFIX) == remote.status,
    )
    found = status.transition_of(delivery, update)
    if found is Transition.CONTRADICTION:
        attention.flag(delivery, Attention.CONTRADICTION, occurrence=remote.event_id)
    event.delivery, event.state, event.error = delivery, _state_after(found), update.note
    event.applied_at = clock.now_of(delivery)
    if event._state.adding:
        insert(event)
    status.apply(delivery, update)
    status.save(delivery, status.STATUS_COLUMNS)


def insert(event: WebhookEvent) -> None:
    """Insert a new event. Raises `EventNotStored` when a constraint, a trigger or a key refuses the row."""
    try:
        fast_sql.insert(event)
    except IntegrityError as err:
        raise EventNotStored("the event's row was refused") from err


def is_about_delivery(remote: RemoteEvent) -> bool:
    """Return whether the event may be about a delivery's status: its type names one, or cannot be read."""
    return not remote.type or remote.type.startswith(DELIVERY_PREFIX)


def unusable_reason(remote: RemoteEvent) -> tuple[WebhookEvent.State, str] | None:
    """Return the state and the reason of an event that cannot be applied; None for one that can."""
    if not is_about_delivery(remote) or _is_new_kind(remote):
        return State.IGNORED, Reason.UNKNOWN_TYPE
    if remote.problem or not remote.status:
        return State.FAILED, remote.problem or Reason.NO_STATUS
    return None


def link(delivery: Delivery, delivery_id: str, *, is_requested: bool = False) -> bool:
    """Set the id of a locked delivery, which never changes again. Return False, and flag it, for a second parcel.

    An abandoned delivery that is booked after all is linked and flagged, unless staff requested the link. The caller
    saves the delivery, and calls `after_link` if the link is new.
    """
    if delivery.delivery_id == delivery_id:
        return True
    if delivery.delivery_id is not None or _is_taken(delivery, delivery_id):
        logger.error("second parcel: delivery=%s delivery_id=%s", delivery.pk, delivery_id)
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery_id)
        return False
    was_abandoned = rules.is_abandoned(delivery) and not delivery.cancel_requested_at
    status.reopen(delivery)
    delivery.delivery_id, delivery.blanked_at = delivery_id, None
    delivery.next_refresh_at = status.next_refresh(delivery)
    attention.clear(delivery, attention.OF_BOOKING)
    if delivery.has_successor() or (was_abandoned and not is_requested):
        logger.error("booked, though it was abandoned: delivery=%s delivery_id=%s", delivery.pk, delivery_id)
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery_id)
    return True


def after_link(delivery: Delivery) -> None:
    """Finish the create of a delivery that was just linked, apply parked events, and add a requested cancel."""
    creates = ApiCall.objects.of(delivery, ApiCall.Kind.CREATE)
    unclaimed = creates.exclude(state__in=(ApiCall.State.SENDING, ApiCall.State.DONE))
    unclaimed.finish(ApiCall.State.DONE, clock.now_of(delivery))
    apply_parked(delivery)
    if delivery.cancel_requested_at and delivery.is_open:
        calls.add_cancel(delivery)


def link_and_apply(delivery: Delivery, delivery_id: str) -> bool:
    """Link an unlinked delivery by an event's id, save it and apply parked events. Return whether it has this id."""
    if delivery.delivery_id is not None or not link(delivery, delivery_id):
        return bool(delivery.delivery_id == delivery_id)
    status.save(delivery)
    after_link(delivery)
    return True


def link_or_flag(delivery: Delivery, event: WebhookEvent) -> str:
    """Link the delivery by its event's id. Return why the event cannot be applied, and flag it; empty if it can."""
    if event.external_order_id not in {"", delivery.external_order_id}:
        _flag_and_save(delivery, Attention.FOREIGN_DELIVERY, occurrence=event.external_order_id)
        return Reason.FOREIGN
    if not link_and_apply(delivery, event.kaspi_delivery_id):
        _flag_and_save(delivery, Attention.SECOND_PARCEL, occurrence=event.kaspi_delivery_id)
        return Reason.SECOND_PARCEL
    return ""


def apply_parked(delivery: Delivery) -> None:
    """Apply the events that arrived before their delivery was known, in the order of Kaspi's clock."""
    parked = WebhookEvent.objects.filter(
        state=State.PARKED,
        account=delivery.account,
        environment=delivery.environment,
        external_order_id__in=(delivery.external_order_id, ""),  # some events name the delivery id alone
        kaspi_delivery_id=delivery.delivery_id,
    )
    for event in list(parked.order_by("occurred_at", "pk")):
        _apply_parked_event(delivery, event)


def apply_or_store(event: WebhookEvent, remote: RemoteEvent, delivery: Delivery | None) -> str:
    """Apply the event to its locked delivery, or record why it cannot be applied; save it either way."""
    if unusable := unusable_reason(remote):
        event.delivery = delivery
        if delivery is not None and is_about_delivery(remote):
            schedule_refresh(delivery)
        return store(event, *unusable)
    if delivery is None:
        return store(event, State.PARKED, Reason.NO_DELIVERY)
    if mismatch := link_or_flag(delivery, event):
        return store(event, State.CONFLICT if mismatch == Reason.FOREIGN else State.PARKED, mismatch)
    is_known = not event._state.adding
    apply(delivery, event, remote)
    return store(event, event.state, event.error) if is_known else event.state


def lock_delivery(event: WebhookEvent, **waiting: Any) -> Delivery | None:
    """Lock and return the delivery that the event names, by Kaspi's id first, else by the external order id."""
    own: dict[str, Any] = {"account": event.account, "environment": event.environment, **waiting}
    names: dict[str, Any] = {"delivery_id": event.kaspi_delivery_id, "external_order_id": event.external_order_id}
    found = (lock(**own, **{name: value}) for name, value in names.items() if value)
    return next((delivery for delivery in found if delivery), None)


def schedule_refresh(delivery: Delivery) -> None:
    """Schedule a GET for a locked delivery that has a Kaspi id: the answer decides."""
    if delivery.delivery_id:
        delivery.next_refresh_at = clock.now_of(delivery)
        delivery.save(update_fields=["next_refresh_at", "updated_at"])


def _flag_and_save(delivery: Delivery, reason: Attention, *, occurrence: str) -> None:
    """Flag a locked delivery, and save it."""
    attention.flag(delivery, reason, occurrence=occurrence)
    delivery.save(update_fields=attention.COLUMNS)


def store(event: WebhookEvent, state: str, error: str) -> str:
    """Insert or update the event in this state; return the state."""
    event.state, event.error = state, error
    if event._state.adding:
        insert(event)
    else:
        event.save(update_fields=["delivery", "state", "error", "applied_at"])
    return state


def same_event(event: WebhookEvent) -> QuerySet[WebhookEvent]:
    """Return the stored row of the event, by account, environment and event id."""
    return WebhookEvent.objects.filter(account=event.account, environment=event.environment, event_id=event.event_id)


def _apply_parked_event(delivery: Delivery, event: WebhookEvent) -> None:
    """Apply the event; one that fails is stored as failed, and delays no other."""
    try:
        with atomic():
            apply(delivery, event)
    except Exception as err:  # the link matters more
        if is_unavailable(err):
            raise
        delivery.refresh_from_db()
        event.delivery, event.state = None, State.FAILED
        event.error = errors.describe(err)
        logger.error("event failed: event=%s error=%s", event.event_id, event.error)  # noqa: TRY400
    event.save(update_fields=["delivery", "state", "error", "applied_at"])


def _is_taken(delivery: Delivery, delivery_id: str) -> bool:
    others = Delivery.objects.exclude(pk=delivery.pk)
    return others.filter(account=delivery.account, environment=delivery.environment, delivery_id=delivery_id).exists()


def _is_new_kind(remote: RemoteEvent) -> bool:
    """Return whether the event has a type of a later API version, and no status."""
    data = remote.raw.get("data")
    has_status = isinstance(data, dict) and data.get("status") is not None
    return bool(remote.type) and not has_status and remote.type.removeprefix(DELIVERY_PREFIX) not in STATUSES


def _state_after(transition: Transition) -> WebhookEvent.State:
    if transition in {Transition.REPEAT, Transition.STALE}:
        return State.NOTED
    return State.CONFLICT if transition is Transition.CONTRADICTION else State.APPLIED
