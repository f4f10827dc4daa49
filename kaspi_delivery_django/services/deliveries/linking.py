"""Link a delivery to Kaspi's delivery id, once, and apply what was parked for it."""

import logging

from django.db import transaction

from kaspi_delivery_django.models import ApiCall, Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias, is_unavailable
from kaspi_delivery_django.services.deliveries import attention, calls, events, refreshing, rules, status

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind


def link(delivery: Delivery, delivery_id: str, *, is_asked_for: bool = False) -> bool:
    """Give a locked delivery its id, which never changes again. False flags a second parcel.

    A delivery that was given up and turns out to be booked is linked and flagged, unless a person
    asked for this link. The caller saves the delivery, and calls `wake` when this link was new.
    """
    if delivery.delivery_id == delivery_id:
        return True
    if delivery.delivery_id is not None or _is_taken(delivery, delivery_id):
        logger.error("second parcel: delivery=%s delivery_id=%s", delivery.pk, delivery_id)
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery_id)
        return False
    was_given_up = rules.is_abandoned(delivery) and not delivery.cancel_requested_at
    status.reopen(delivery)
    delivery.delivery_id, delivery.blanked_at = delivery_id, None
    delivery.next_refresh_at = refreshing.next_refresh(delivery)
    attention.clear(delivery, attention.OF_BOOKING)
    if delivery.has_successor() or (was_given_up and not is_asked_for):
        logger.error("booked, though it was given up: delivery=%s delivery_id=%s", delivery.pk, delivery_id)
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery_id)
    return True


def after_link(delivery: Delivery) -> None:
    """After a link is saved: apply parked events, end the create, send a remembered cancel."""
    resolved = calls.calls_of(delivery, Kind.CREATE).exclude(state__in=(State.SENDING, State.DONE))
    calls.finish(resolved, State.DONE)
    apply_parked(delivery)
    if delivery.cancel_requested_at and delivery.is_open:
        calls.add_cancel(delivery)


def apply_parked(delivery: Delivery) -> int:
    """Apply the events that came before we knew the delivery. Returns how many there were."""
    waiting = list(WebhookEvent.objects.parked_for(delivery))
    for event in waiting:
        _apply_parked_event(delivery, event)
    return len(waiting)


def link_and_apply(delivery: Delivery, delivery_id: str) -> bool:
    """Link and wake in one go: a webhook, or a person, knew the id before our create answered."""
    if delivery.delivery_id is not None or not link(delivery, delivery_id):
        return bool(delivery.delivery_id == delivery_id)
    status.save(delivery)
    after_link(delivery)
    return True


def _apply_parked_event(delivery: Delivery, event: WebhookEvent) -> None:
    """Apply it; one that cannot be applied waits for a replay and holds up nothing else."""
    try:
        with transaction.atomic(using=db_alias()):
            events.apply(delivery, event)
    except Exception as err:  # the link it waited for matters more
        if is_unavailable(err):
            raise
        delivery.refresh_from_db()
        event.delivery, event.state = None, WebhookEvent.State.FAILED
        event.error = errors.describe(err)
        logger.error("event failed: event=%s error=%s", event.event_id, event.error)  # noqa: TRY400
    event.save(update_fields=["delivery", "state", "error", "applied_at"])


def _is_taken(delivery: Delivery, delivery_id: str) -> bool:
    others = Delivery.objects.exclude(pk=delivery.pk)
    return others.filter(account=delivery.account, environment=delivery.environment, delivery_id=delivery_id).exists()
