"""Corners that only a race or a dying database reaches; each is reached on purpose here."""

import pytest
from django.db import OperationalError, connection, transaction

from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.services import db, replay_event
from kaspi_delivery_django.services.db import lock_current
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.services.inbox import replaying
from kaspi_delivery_django.services.outbox import claims, sender
from tests.conftest import event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def parked(booked, post_webhook):
    """Return an event of a delivery that we do not know yet."""
    Delivery.objects.update(account="elsewhere")
    post_webhook(event(booked, "accepted"))
    Delivery.objects.update(account="default")
    return WebhookEvent.objects.get(state="parked")


def test_an_engine_that_cannot_skip_what_is_locked_gets_one_row(booked, monkeypatch):
    """Who holds one and waits for another would meet a shop that waits the other way round."""
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite has one writer, and no row locks")
    for _ in range(2):
        Order.objects.create()
    for skips, count in ((True, 3), (False, 1)):
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", skips)
        with transaction.atomic():
            assert len(db.lock_unlocked(Delivery.objects.all())) == count


def test_a_refresh_answered_without_a_status_keeps_the_status(booked):
    """There is nothing to take."""
    call = claims.calls.add_refresh(booked)
    answer = RemoteDelivery(delivery_id=booked.delivery_id, status="")
    sender.record(claims.claim(call.pk, using="default"), answer, using="default")
    assert fresh(booked).status == "created"
    assert fresh(call).state == "done"


@pytest.mark.parametrize("apply", [replay_event, lambda _event: replaying.apply_parked(limit=10, using="default")])
def test_an_unavailable_database_leaves_events_parked(parked, monkeypatch, apply):
    """Whoever asked for the replay is notified; the next round applies them."""

    def away(*_arguments):
        raise OperationalError("gone")

    monkeypatch.setattr(events, "apply", away)
    with pytest.raises(OperationalError):
        apply(parked)
    assert fresh(parked).state == "parked"


def test_a_delivery_that_got_another_id_meanwhile_is_flagged_once(parked, booked, monkeypatch):
    """The event is a conflict then, and no round looks at it again; it stays parked if the delivery was deleted."""
    changed = fresh(booked)
    changed.delivery_id = "dlv_other"
    monkeypatch.setattr(replaying, "lock_delivery", lambda *_args, **_waiting: None)
    assert replaying.apply_parked(limit=10, using="default") == 0
    assert fresh(parked).state == "parked"
    monkeypatch.setattr(replaying, "lock_delivery", lambda *_args, **_waiting: changed)
    assert replaying.apply_parked(limit=10, using="default") == 0
    assert (fresh(parked).state, fresh(booked).attention) == ("conflict", "second_parcel")


def test_only_an_existing_row_in_a_transaction_is_locked(booked):
    """Without one the lock would end at once."""
    with pytest.raises(transaction.TransactionManagementError):
        lock_current(booked)
    Delivery.objects.all().delete()
    with transaction.atomic(), pytest.raises(Delivery.DoesNotExist):
        lock_current(booked)


def test_an_event_of_two_contents_is_not_decided_by_a_replay(booked, post_webhook):
    """Nobody can tell which is true: it stays where it can be seen."""
    for status in ("accepted", "in_transit"):
        post_webhook(event(booked, status))
    assert replay_event(WebhookEvent.objects.get()) == "conflict"
    assert WebhookEvent.objects.get().error == WebhookEvent.Reason.OTHER_DATA


def test_an_event_that_is_stored_unreadably_is_answered_200_again(booked, post_webhook):
    """It was committed, by a version that read more: what comes again differs from it."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(body="{}")
    assert post_webhook(event(booked, "accepted")).json() == {"status": "conflict"}
