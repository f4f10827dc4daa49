"""Corners that only a race or a dying database reaches; each is reached on purpose here."""

import pytest
from django.db import OperationalError, connection, transaction

from kaspi_delivery_django.client import NotReached, RemoteDelivery
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services import cancel_delivery, db, inbox, replay_event
from kaspi_delivery_django.services.db import lock_current, run_in_transaction
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.services.outbox import claims, results
from tests.conftest import event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def settle(claim, outcome):
    """Record an outcome as the outbox does."""
    run_in_transaction(lambda: results.record(claim, outcome, 0.5, using="default"), using="default")


@pytest.fixture
def parked(booked, post_webhook):
    """Return an event of a delivery that we do not know yet."""
    Delivery.objects.update(account="elsewhere")
    post_webhook(event(booked, "accepted"))
    Delivery.objects.update(account="default")
    return WebhookEvent.objects.get(state="parked")


def away(*_arguments, **_options):
    """Fail as a database that is away."""
    raise OperationalError("gone")


def test_a_lock_outside_of_a_transaction_is_refused(booked):
    """It would end before whoever asked for it has begun."""
    with pytest.raises(transaction.TransactionManagementError):
        lock_current(booked)


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


@pytest.mark.failure_mode("claim: a late owner")
def test_an_error_of_a_claim_that_was_lost_changes_nothing(due, turnable):
    """Only a deliveryId is worth something then."""
    late = claims.claim(due.pk, using="default")
    ApiCall.objects.update(claim_token="another's")
    settle(late, NotReached("could not connect"))
    assert fresh(due).state == "sending"


def test_a_cancel_answered_without_a_status_is_asked_about(booked, turnable):
    """It was accepted; the word follows."""
    cancel_delivery(booked)
    claim = claims.claim(ApiCall.objects.get(kind="cancel").pk, using="default")
    settle(claim, RemoteDelivery(delivery_id=booked.delivery_id, status=""))
    assert fresh(booked).status == "created"
    assert fresh(booked).next_refresh_at > turnable.now


def test_a_refresh_answered_without_a_status_keeps_the_status(booked):
    """There is nothing to take."""
    call = claims.calls.add_refresh(booked)
    settle(claims.claim(call.pk, using="default"), RemoteDelivery(delivery_id=booked.delivery_id, status=""))
    assert fresh(booked).status == "created"
    assert fresh(call).state == "done"


def test_a_database_that_is_away_is_no_reason_to_fail_an_event(parked, monkeypatch):
    """It stays as it is, and who asked for the replay hears of it."""
    monkeypatch.setattr(events, "apply", away)
    with pytest.raises(OperationalError):
        replay_event(parked)
    assert fresh(parked).state == "parked"


def test_a_database_that_is_away_leaves_parked_events_parked(parked, monkeypatch):
    """The next round takes them."""
    monkeypatch.setattr(events, "apply", away)
    with pytest.raises(OperationalError):
        inbox.apply_parked(limit=10, using="default")
    assert fresh(parked).state == "parked"


def test_a_delivery_that_goes_while_its_events_are_taken_leaves_them_parked(parked, monkeypatch):
    """Somebody deleted it in that moment."""
    monkeypatch.setattr(inbox, "lock_delivery", lambda _event, _using, **_waiting: None)
    assert inbox.apply_parked(limit=10, using="default") == 0
    assert fresh(parked).state == "parked"


def test_a_delivery_that_got_another_id_meanwhile_is_flagged_once(parked, booked, monkeypatch):
    """The event is a conflict then, and no round looks at it again."""
    changed = fresh(booked)

    def locked(_event, _using, **_waiting):
        changed.delivery_id = "dlv_other"
        return changed

    monkeypatch.setattr(inbox, "lock_delivery", locked)
    assert inbox.apply_parked(limit=10, using="default") == 0
    assert (fresh(parked).state, fresh(booked).attention) == ("conflict", "second_parcel")


def test_a_row_that_is_gone_cannot_be_locked(booked):
    """Whoever wanted to act on it hears so."""
    Delivery.objects.all().delete()
    with transaction.atomic(), pytest.raises(Delivery.DoesNotExist):
        lock_current(booked)


def test_a_transaction_that_django_has_given_up_is_broken():
    """So nobody goes on in it."""
    with transaction.atomic():
        assert not db.is_broken("default")
        transaction.set_rollback(True)
        assert db.is_broken("default")
    assert not db.is_broken("default")


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
