"""The end of a run: Kaspi is well, a worker runs, time passes, and nothing may be left hanging."""

from contextlib import suppress
from datetime import timedelta

from kaspi_delivery_django.exceptions import CannotReturn
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import refresh_delivery, replay_event, request_return
from kaspi_delivery_django.statuses import AWAITING_PICKUP, CANCELLED, DELIVERED, TERMINAL
from tests.promises import ledger, promises
from tests.promises.shop import Mood
from tests.promises.system import API_KEYS, SECRETS

ROUNDS = 120
A_WHILE = timedelta(minutes=1)
EventState = WebhookEvent.State


def settle_down(system):
    """Heal Kaspi, the webhooks and the shop's code, and work until nothing is scheduled."""
    _heal(system)
    for event in WebhookEvent.objects.filter(state=EventState.FAILED):
        replay_event(event)
    _ask_about_cancels(system)
    _work_until_idle(system)
    if _send_back():
        _work_until_idle(system)
    _ask_once_more(system)
    promises.check(system, ledger.read())


def _send_back():
    """Request a return of every delivered parcel, twice; return how many are booked. Those of lost orders stay."""
    arrived = Delivery.objects.outbound().filter(status=DELIVERED)
    for delivery in [*arrived, *arrived]:
        with suppress(CannotReturn):
            request_return(delivery)
    return Delivery.objects.filter(returned_generation__gt=0).count()


def _work_until_idle(system):
    for _ in range(ROUNDS):
        system.deliver_webhooks()
        system.run_round()
        for parcel in list(system.kaspi.deliveries.values()):
            system.move_on(parcel)
        system.deliver_webhooks()
        promises.check(system, ledger.read())
        planned = _next_moment(system)
        if planned is None:
            break
        system.clock.now = max(system.clock.now + A_WHILE, planned)
    else:
        raise AssertionError(f"still busy after {ROUNDS} rounds: {ledger.read()}")


def everything_has_ended(system, rows):
    """See that everything has ended, or is listed for staff, and that nothing is missing."""
    for parcel in system.kaspi.deliveries.values():
        delivery = rows.named(parcel.external_order_id)
        assert delivery is not None, f"{parcel} is unknown"
        waits = bool(delivery.attention) or delivery.pk in system.acknowledged
        assert delivery.delivery_id == parcel.delivery_id or waits, f"{parcel} is not listed"
        if delivery.delivery_id == parcel.delivery_id and parcel.delivery_id not in system.fickle:
            _check_mirror(rows, delivery, parcel, waits=waits)
    for order in rows.orders.values():
        _check_order(system, rows, order)
    for delivery in rows.deliveries.values():
        ended = delivery.status in TERMINAL or delivery.attention or delivery.pk in system.acknowledged
        assert not delivery.is_return or ended or delivery.delivery_id in system.fickle, f"the return {delivery} waits"
    for event in rows.events:
        _check_event(rows, event)
    unnotified = {
        change.pk for change in rows.changes if change.applied and _concerns_shop(rows, change)
    } - system.notified
    assert not unnotified, f"the shop was never notified of {unnotified}"


def _ask_about_cancels(system):
    """Let the workers ask while no courier moves, and see that every cancel that can still be done was asked for."""
    system.deliver_webhooks()
    for _ in range(3):  # the last one asks about what the others still book: late retries, a dead worker's claims
        system.clock.advance(minutes=20)
        system.run_round()
    rows = ledger.read()
    promises.check(system, rows)
    for order in rows.orders.values():
        delivery = rows.newest_of(order) if order.cancelled else None
        if delivery is not None and delivery.delivery_id and delivery.status in AWAITING_PICKUP:
            assert delivery.cancel_requested_at, f"{delivery} was to be cancelled, and the adapter was not asked"


def _heal(system):
    system.held.clear()
    system.kaspi.faults.clear()
    system.kaspi.disabled_keys.clear()
    system.kaspi.cancel_is_slow = False
    Mood.question, Mood.receivers = "", False
    system.kaspi.api_key = API_KEYS[0]
    system.kaspi.webhooks._secret = SECRETS[0]
    system.configure(API_KEY=API_KEYS[0], WEBHOOK_SECRETS=[SECRETS[0]])
    webhooks = system.kaspi.webhooks
    webhooks.lose, webhooks.duplicate, webhooks.reorder, webhooks.delay_s = 0, False, 0, 0.0


def _next_moment(system):
    """Return when the next thing is planned, by us or by Kaspi; None for nothing."""
    ours = (
        (ApiCall.objects.filter(next_attempt_at__isnull=False), "next_attempt_at"),
        (Delivery.objects.filter(next_refresh_at__isnull=False), "next_refresh_at"),
        (StatusChange.objects.filter(applied=True, notified_at__isnull=True), "notify_after"),
    )
    moments = [rows.order_by(name).values_list(name, flat=True).first() for rows, name in ours]
    pending = [event.due_at for event in system.kaspi.webhooks.pending]
    moments += [system.clock.now.fromtimestamp(min(pending), system.clock.now.tzinfo)] if pending else []
    return min(filter(None, moments), default=None)


def _ask_once_more(system):
    """Refresh everything that Kaspi knows, so that the history can be whole."""
    for delivery in Delivery.objects.filter(delivery_id__isnull=False):
        refresh_delivery(delivery)
    system.clock.advance(hours=2)
    for _ in range(ROUNDS):
        if not system.run_round():
            return
        system.clock.advance(minutes=1)
    raise AssertionError(f"still asking after {ROUNDS} rounds")


def _check_mirror(rows, delivery, parcel, *, waits):
    assert delivery.status == parcel.status, f"{delivery} is {delivery.status}, at Kaspi {parcel.status}"
    known = {change.to_status for change in rows.changes if change.delivery_id == delivery.pk}
    missing = {step["status"] for step in parcel.history} - known
    assert not missing, f"{delivery} has no record of {missing}"
    ended = parcel.status in {CANCELLED, DELIVERED}  # too late is no question for staff: it is over
    assert not delivery.cancel_requested_at or ended or waits, f"{delivery} was to be cancelled"


def _check_order(system, rows, order):
    delivery = rows.newest_of(order)
    if delivery is None or delivery.attention or delivery.pk in system.acknowledged:
        return
    given_up = order.cancelled or delivery.cancel_requested_at
    assert given_up or delivery.status in TERMINAL or delivery.delivery_id in system.fickle, f"order {order.pk} waits"


def _concerns_shop(rows, change):
    """Return whether the shop must be notified: not of an order that was deleted before anything was sent."""
    delivery = rows.deliveries[change.delivery_id]
    return delivery.object_id in rows.orders or delivery.delivery_id is not None


def _check_event(rows, event):
    assert event.state != EventState.FAILED, event.error
    own = rows.named(event.external_order_id)
    linked = own is not None and own.delivery_id == event.kaspi_delivery_id
    assert event.state != EventState.PARKED or not linked, f"{event} is parked, and its delivery is here"
