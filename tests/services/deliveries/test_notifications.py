"""The signals of status changes: after the commit, at least once; receivers never break our work."""

from unittest.mock import Mock

import pytest
from django.db import connection, transaction

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.conftest import NOON, event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def received(connect_only):
    """Record both signals, with the delivery's status, and whether a transaction was open; no one else receives."""
    found = []

    def created(sender, delivery, **_kwargs):
        found.append(("created", delivery.status, connection.in_atomic_block))

    def changed(sender, delivery, change, **_kwargs):
        found.append((change.to_status, delivery.status, connection.in_atomic_block))

    connect_only(delivery_created, created)
    connect_only(delivery_status_changed, changed)
    return found


@pytest.fixture
def post(post_webhook, delivery, settings):
    """Receive a status by a webhook, in a web process that sends the signals itself; return the answer."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    return lambda status, **options: post_webhook(event(delivery, status, **options))


@pytest.fixture
def pending(delivery):
    """Return a change without a signal, recorded at noon."""
    return StatusChange.objects.create(
        delivery=delivery,
        from_status="created",
        to_status="accepted",
        at=NOON,
        source="webhook",
        created_at=NOON,
        notify_after=NOON + notifications.RETRY_INTERVAL,
    )


def notify_pending(limit=10):
    """Send pending signals, as a round of the worker does."""
    return notifications.notify_pending(limit=limit)


def test_a_booking_sends_both_signals(due, drain, received):
    """The creation, and its first status; after the commit."""
    drain()
    assert received == [("created", "created", False), ("created", "created", False)]
    assert StatusChange.objects.get().notified_at == NOON


def test_a_change_sends_one_signal(post, received):
    """Repeats, late statuses and redeliveries send none."""
    for event_id in ("wh_1", "wh_1", "wh_2"):
        post("accepted", event_id=event_id)
    post("created", event_id="wh_3")
    assert received == [("accepted", "accepted", False)]
    StatusChange.objects.filter(applied=False).update(notify_after=NOON)
    assert notify_pending() == 0


def test_a_background_runner_leaves_the_signals_to_the_worker(post, received, settings):
    """No receiver delays the answer to Kaspi."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "worker"}
    post("accepted")
    assert (received, StatusChange.objects.get().notified_at) == ([], None)
    assert (notify_pending(), notify_pending()) == (1, 0)
    assert received == [("accepted", "accepted", False)]


@pytest.mark.failure_mode("status: a receiver raises")
def test_a_failing_receiver_breaks_nothing(delivery, post, received, caplog):
    """Kaspi gets 200, the status is stored, other receivers are called; the signal is pending, without data in logs."""
    delivery_status_changed.connect(Mock(side_effect=ValueError("+7 701 555 0199")), weak=False)
    assert post("accepted").status_code == 200
    assert (fresh(delivery).status, StatusChange.objects.get().notified_at) == ("accepted", None)
    assert received == [("accepted", "accepted", False)]
    assert "receivers failed" in caplog.text
    assert "+7 701" not in caplog.text


@pytest.mark.failure_mode("status: a receiver raises")
def test_a_pending_signal_is_repeated_until_every_receiver_returns(pending, connect_only, fake_clock):
    """After a minute; the delay doubles after each failure."""
    times = []

    def fail_twice(**_kwargs):
        times.append(fake_clock.now)
        if len(times) < 3:
            raise ValueError

    connect_only(delivery_status_changed, fail_twice)
    fake_clock.advance(seconds=59)
    assert (notify_pending(), times) == (0, [])
    fake_clock.advance(seconds=1)
    for _ in range(8):
        notify_pending()
        fake_clock.advance(minutes=1)
    assert [(at - NOON).total_seconds() / 60 for at in times] == [1, 2, 4]
    assert fresh(pending).notified_at == times[-1]


def test_a_signal_that_always_fails_delays_no_other(pending, connect_only):
    """It goes to the end of the queue."""
    StatusChange.objects.update(notify_after=NOON)
    other = StatusChange.objects.get()
    other.pk = None
    other.save()

    def fail_on_first(change, **_kwargs):
        if change.pk == pending.pk:
            raise ValueError

    connect_only(delivery_status_changed, fail_on_first)
    for _ in range(2):
        notify_pending(limit=1)
    assert fresh(other).notified_at == NOON


@pytest.mark.failure_mode("status: a receiver saves the order")
def test_a_receiver_may_save_the_order_or_break_its_transaction(post, connect_only):
    """The save finds its delivery and adds nothing; the status is committed."""
    calls = []

    def save_and_fail(delivery, **_kwargs):
        calls.append(delivery.status)
        delivery.order.save()
        with transaction.atomic():
            Order.objects.create(pk=delivery.order.pk)

    connect_only(delivery_status_changed, save_and_fail)
    assert post("accepted").status_code == 200
    assert (calls, Delivery.objects.count(), ApiCall.objects.count()) == (["accepted"], 1, 1)
    assert Delivery.objects.get().status == "accepted"


def test_slow_receivers_are_marked_one_by_one(pending, connect_only, monkeypatch):
    """No other process repeats the signals of a long batch."""
    monkeypatch.setattr(notifications, "MARK_EVERY_S", -1.0)
    second = StatusChange.objects.get()
    second.pk = None
    second.save()
    marked = []
    connect_only(
        delivery_status_changed,
        lambda **_kwargs: marked.append(StatusChange.objects.filter(notified_at__isnull=False).count()),
    )
    assert notifications.notify_all(list(StatusChange.objects.order_by("pk"))) == 2
    assert marked == [0, 1]


@pytest.mark.failure_mode("status: a receiver is slow")
def test_an_event_may_arrive_again_during_its_receiver(post, connect_only):
    """No lock is held: the copy is answered at once, and has no effect."""
    answers = []
    connect_only(delivery_status_changed, lambda **_kwargs: answers.append(post("accepted").status_code))
    assert post("accepted").status_code == 200
    assert answers == [200]
    assert StatusChange.objects.filter(to_status="accepted").count() == 1
