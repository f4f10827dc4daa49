"""The end of a run: Kaspi is well, a worker runs, time passes, and nothing may be left hanging."""

from datetime import timedelta

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import refresh_delivery, replay_event
from kaspi_delivery_django.statuses import AWAITING_PICKUP, CANCELLED, DELIVERED, TERMINAL
from tests.promises import ledger, promises
from tests.promises.house import API_KEYS, SECRETS
from tests.promises.shop import Mood

ROUNDS = 120
A_WHILE = timedelta(minutes=1)
EventState = WebhookEvent.State


def settle_down(house):
    """Heal Kaspi, the post and the shop's code, and work until nothing is planned any more."""
    _heal(house)
    for event in WebhookEvent.objects.filter(state=EventState.FAILED):
        replay_event(event)
    _ask_about_cancels(house)
    for _ in range(ROUNDS):
        house.deliver_webhooks()
        house.run_round()
        for parcel in list(house.kaspi.deliveries.values()):
            house.move_on(parcel)
        house.deliver_webhooks()
        promises.check(house, ledger.read())
        planned = _next_moment(house)
        if planned is None:
            break
        house.clock.now = max(house.clock.now + A_WHILE, planned)
    else:
        raise AssertionError(f"still busy after {ROUNDS} rounds: {_plans(house)}")
    _ask_once_more(house)
    promises.check(house, ledger.read())


def everything_has_ended(house, rows):
    """See that everything has ended, or waits for a person, and that nothing is missing."""
    for parcel in house.kaspi.deliveries.values():
        delivery = rows.named(parcel.external_order_id)
        assert delivery is not None, f"{parcel} is nobody's"
        waits = bool(delivery.attention) or delivery.pk in house.acknowledged
        assert delivery.delivery_id == parcel.delivery_id or waits, f"nobody knows of {parcel}"
        if delivery.delivery_id == parcel.delivery_id and parcel.delivery_id not in house.fickle:
            _check_mirror(rows, delivery, parcel, waits=waits)
    for order in rows.orders.values():
        _check_order(house, rows, order)
    for event in rows.events:
        _check_event(rows, event)
    untold = {change.pk for change in rows.changes if change.applied and _concerns_somebody(rows, change)} - house.told
    assert not untold, f"the shop was never told of {untold}"


def _ask_about_cancels(house):
    """Let the workers ask while no courier moves, and see that every cancel that can still be done was asked for."""
    house.deliver_webhooks()
    house.clock.turn(minutes=10)
    house.run_round()
    rows = ledger.read()
    promises.check(house, rows)
    for order in rows.orders.values():
        delivery = rows.newest_of(order) if order.cancelled else None
        if delivery is not None and delivery.delivery_id and delivery.status in AWAITING_PICKUP:
            assert delivery.cancel_requested_at, f"{delivery} was to be cancelled, and the adapter was not asked"


def _heal(house):
    house.held.clear()
    house.kaspi.faults.clear()
    house.kaspi.disabled_keys.clear()
    house.kaspi.cancel_is_slow = False
    Mood.question, Mood.receivers = "", False
    house.kaspi.api_key = API_KEYS[0]
    house.kaspi.webhooks._secret = SECRETS[0]
    house.configure(API_KEY=API_KEYS[0], WEBHOOK_SECRETS=[SECRETS[0]])
    webhooks = house.kaspi.webhooks
    webhooks.lose, webhooks.duplicate, webhooks.reorder, webhooks.delay_s = 0, False, 0, 0.0


def _next_moment(house):
    """Return when the next thing is planned, by us or by Kaspi; None for nothing."""
    ours = (
        (ApiCall.objects.filter(next_attempt_at__isnull=False), "next_attempt_at"),
        (Delivery.objects.filter(next_refresh_at__isnull=False), "next_refresh_at"),
        (StatusChange.objects.filter(applied=True, notified_at__isnull=True), "notify_after"),
    )
    moments = [rows.order_by(name).values_list(name, flat=True).first() for rows, name in ours]
    pending = [event.due_at for event in house.kaspi.webhooks.pending]
    moments += [house.clock.now.fromtimestamp(min(pending), house.clock.now.tzinfo)] if pending else []
    return min(filter(None, moments), default=None)


def _plans(house):
    """Return what is still planned, for whoever reads why it never ends."""
    calls = ApiCall.objects.filter(next_attempt_at__isnull=False)
    silent = Delivery.objects.filter(next_refresh_at__isnull=False)
    untold = StatusChange.objects.filter(applied=True, notified_at__isnull=True)
    return [
        house.clock.now,
        *calls.values_list("pk", "kind", "state", "next_attempt_at", "attempts", "reason"),
        *silent.values_list("pk", "status", "attention", "next_refresh_at"),
        *untold.values_list("pk", "notify_after"),
        len(house.kaspi.webhooks.pending),
    ]


def _ask_once_more(house):
    """Refresh everything that Kaspi knows, so that the history can be whole."""
    for delivery in Delivery.objects.filter(delivery_id__isnull=False):
        refresh_delivery(delivery)
    house.clock.turn(hours=2)
    for _ in range(ROUNDS):
        if not house.run_round():
            return
        house.clock.turn(minutes=1)
    raise AssertionError(f"still asking after {ROUNDS} rounds")


def _check_mirror(rows, delivery, parcel, *, waits):
    assert delivery.status == parcel.status, f"{delivery} is {delivery.status}, Kaspi says {parcel.status}"
    known = {change.to_status for change in rows.changes if change.delivery_id == delivery.pk}
    missing = {step["status"] for step in parcel.history} - known
    assert not missing, f"{delivery} has no record of {missing}"
    ended = parcel.status in {CANCELLED, DELIVERED}  # too late is no question for staff: it is over
    assert not delivery.cancel_requested_at or ended or waits, f"{delivery} was to be cancelled"


def _check_order(house, rows, order):
    delivery = rows.newest_of(order)
    if delivery is None or delivery.attention or delivery.pk in house.acknowledged:
        return
    given_up = order.cancelled or delivery.cancel_requested_at
    assert given_up or delivery.status in TERMINAL or delivery.delivery_id in house.fickle, f"order {order.pk} waits"


def _concerns_somebody(rows, change):
    """Tell whether the shop is to hear of it: not of an order that was deleted before anything was sent."""
    delivery = rows.deliveries[change.delivery_id]
    return delivery.object_id in rows.orders or delivery.delivery_id is not None


def _check_event(rows, event):
    assert event.state != EventState.FAILED, event.error
    own = rows.named(event.external_order_id)
    linked = own is not None and own.delivery_id == event.kaspi_delivery_id
    assert event.state != EventState.PARKED or not linked, f"{event} is parked, and its delivery is here"
