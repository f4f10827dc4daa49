"""The shop's receivers: after the commit, at least once, and never in our way."""

import threading

import pytest
from django.db import connection, transaction

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.conftest import NOON, PATIENCE_S, event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard(monkeypatch):
    """Return what a receiver of both signals hears, and whether in a transaction; no other does."""
    heard = []

    def created(sender, delivery, **_kwargs):
        heard.append(("created", delivery.status, connection.in_atomic_block))

    def changed(sender, delivery, change, **_kwargs):
        heard.append((change.to_status, delivery.status, connection.in_atomic_block))

    for signal, receiver in ((delivery_created, created), (delivery_status_changed, changed)):
        monkeypatch.setattr(signal, "receivers", [])
        signal.connect(receiver, weak=False)
    return heard


@pytest.fixture
def delivery(turnable):
    """Return a delivery that Kaspi has created."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_1", status="created", status_at=NOON)
    return Delivery.objects.get()


@pytest.fixture
def post_webhook(post_webhook, delivery, settings):
    """Post webhooks in a project whose web processes send the signals themselves."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    return post_webhook


@pytest.fixture
def listen(monkeypatch):
    """Let one function alone hear of status changes."""

    def connect(receiver):
        monkeypatch.setattr(delivery_status_changed, "receivers", [])
        delivery_status_changed.connect(receiver, weak=False)

    return connect


@pytest.fixture
def unheard(delivery):
    """Return a change that no receiver has taken, as old as the clock."""
    return StatusChange.objects.create(
        delivery=delivery,
        from_status="created",
        to_status="accepted",
        at=NOON,
        source="webhook",
        created_at=NOON,
        notify_after=NOON + notifications.RETRY_INTERVAL,
    )


def again():
    """Repeat what was never taken, as a round of the worker does."""
    return notifications.notify_pending(limit=10, using="default")


def test_a_booking_is_told_twice_over(due, drain, heard):
    """As the delivery's creation, and as its first status; after the commit."""
    drain()
    assert heard == [("created", "created", False), ("created", "created", False)]
    assert StatusChange.objects.get().notified_at == NOON


def test_a_change_is_told_once(delivery, post_webhook, heard):
    """After the commit; repeats, late news and redeliveries are no change."""
    for event_id in ("wh_1", "wh_1", "wh_2"):
        post_webhook(event(delivery, "accepted", event_id=event_id))
    post_webhook(event(delivery, "created", event_id="wh_3"))
    assert heard == [("accepted", "accepted", False)]
    assert again() == 0


def test_a_background_runner_sends_the_signals_of_a_webhook(delivery, post_webhook, heard, settings):
    """No receiver delays the answer to Kaspi: the worker's next round calls it, once."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "worker"}
    post_webhook(event(delivery, "accepted"))
    assert (heard, StatusChange.objects.get().notified_at) == ([], None)
    assert (again(), again()) == (1, 0)
    assert heard == [("accepted", "accepted", False)]


def test_a_change_is_told_to_other_connections(delivery, post_webhook, listen):
    """What a receiver hears of, everybody can read."""
    seen = []

    def read():
        seen.append(Delivery.objects.get().status)
        connection.close()

    def look(**_kwargs):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(timeout=PATIENCE_S)

    listen(look)
    post_webhook(event(delivery, "accepted"))
    assert seen == ["accepted"]


def test_what_is_rolled_back_is_never_told(delivery, heard, post_webhook, monkeypatch):
    """No change, no news."""
    monkeypatch.setattr("kaspi_delivery_django.services.deliveries.events.apply", apply_and_fail)
    assert post_webhook(event(delivery, "accepted")).json() == {"status": "failed"}
    assert (heard, StatusChange.objects.count()) == ([], 0)


def apply_and_fail(delivery, row, remote):
    """Get as far as the notice, and fail."""
    change = StatusChange.objects.create(
        delivery=delivery,
        to_status="accepted",
        at=NOON,
        source="webhook",
        created_at=NOON,
        notify_after=NOON,
    )
    transaction.on_commit(lambda: notifications.notify(change))
    raise ValueError("too late")


@pytest.mark.failure_mode("status: a receiver raises")
def test_a_receiver_that_raises_costs_nothing(delivery, post_webhook, listen, caplog):
    """Kaspi gets its 200, the status stands, the change waits to be told again, and no log line holds its text."""

    def fail(**_kwargs):
        raise ValueError("+7 701 555 0199")

    listen(fail)
    assert post_webhook(event(delivery, "accepted")).status_code == 200
    assert (fresh(delivery).status, StatusChange.objects.get().notified_at) == ("accepted", None)
    assert ("receivers failed" in caplog.text, "701 555" in caplog.text) == (True, False)


def test_one_receiver_does_not_silence_another(delivery, post_webhook, heard):
    """Each is called, whichever fails; the change counts as untold until all return."""

    def fail(**_kwargs):
        raise ValueError

    delivery_status_changed.connect(fail, weak=False)
    post_webhook(event(delivery, "accepted"))
    assert heard == [("accepted", "accepted", False)]
    assert StatusChange.objects.get().notified_at is None


@pytest.mark.failure_mode("status: a receiver raises")
def test_what_was_not_taken_is_told_again(unheard, turnable, heard):
    """After its patience, and then no more."""
    turnable.turn(seconds=59)
    assert again() == 0
    turnable.turn(seconds=1)
    assert (again(), again()) == (1, 0)
    assert heard == [("accepted", "created", False)]
    assert fresh(unheard).notified_at == turnable.now


def test_it_is_told_until_every_receiver_returns(unheard, listen, turnable):
    """A receiver that raises is asked again, each time after twice the wait."""
    calls = []

    def fail_at_first(**_kwargs):
        calls.append(turnable.now)
        if len(calls) < 3:
            raise ValueError

    listen(fail_at_first)
    for _ in range(8):
        turnable.turn(minutes=1)
        again()
    assert [(at - NOON).total_seconds() / 60 for at in calls] == [1, 2, 4]
    assert fresh(unheard).notified_at == calls[-1]


def test_news_that_is_never_taken_holds_up_no_other(unheard, listen, turnable):
    """What failed goes to the end of the queue."""
    StatusChange.objects.filter(pk=unheard.pk).update(notify_after=NOON)
    taken = StatusChange.objects.create(
        delivery=unheard.delivery,
        from_status="accepted",
        to_status="in_transit",
        at=NOON,
        source="webhook",
        created_at=NOON,
        notify_after=NOON,
    )

    def refuse_the_first(change, **_kwargs):
        if change.pk == unheard.pk:
            raise ValueError

    listen(refuse_the_first)
    for _ in range(2):
        notifications.notify_pending(limit=1, using="default")
    assert fresh(taken).notified_at == NOON


def test_late_news_is_not_told(unheard, turnable, heard):
    """What was not applied is no change."""
    StatusChange.objects.update(applied=False)
    turnable.turn(minutes=1)
    assert (again(), heard) == (0, [])


@pytest.mark.failure_mode("status: a receiver saves the order")
def test_a_receiver_that_saves_the_order_does_not_recurse(delivery, post_webhook, listen):
    """The order's own hook runs, finds its delivery, and asks for nothing new."""
    calls = []

    def save(delivery, **_kwargs):
        calls.append(delivery.status)
        delivery.order.save()

    listen(save)
    post_webhook(event(delivery, "accepted"))
    assert (calls, Delivery.objects.count(), ApiCall.objects.count()) == (["accepted"], 1, 1)


def test_a_receiver_that_breaks_its_transaction_costs_nothing(delivery, post_webhook, listen):
    """Its rows are its own."""

    def break_it(**_kwargs):
        with transaction.atomic():
            Order.objects.create(pk=delivery.order.pk)

    listen(break_it)
    assert post_webhook(event(delivery, "accepted")).status_code == 200
    assert fresh(delivery).status == "accepted"


def test_slow_receivers_are_noted_one_by_one(delivery, unheard, listen, monkeypatch):
    """A batch of them takes longer than anybody's patience: what was told is not to be told again meanwhile."""
    monkeypatch.setattr(notifications, "NOTE_EVERY_S", -1.0)
    second = StatusChange.objects.get()
    second.pk = None
    second.save()
    noted = []
    listen(lambda **_news: noted.append(StatusChange.objects.filter(notified_at__isnull=False).count()))
    assert notifications.notify_all(list(StatusChange.objects.order_by("pk"))) == 2
    assert noted == [0, 1]


@pytest.mark.failure_mode("status: a receiver is slow")
def test_an_event_that_comes_again_inside_a_receiver_is_only_counted(delivery, post_webhook, listen):
    """No lock is held meanwhile: the second copy is answered at once, and takes no effect."""
    letter, answers = event(delivery, "accepted"), []
    listen(lambda **_kwargs: answers.append(post_webhook(letter).status_code))
    assert post_webhook(letter).status_code == 200
    assert answers == [200]
    assert StatusChange.objects.filter(to_status="accepted").count() == 1
