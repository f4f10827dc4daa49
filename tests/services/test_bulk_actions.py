"""Bulk actions that a request could not finish: the worker does them row by row, and keeps what was refused."""

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from kaspi_delivery_django.models import ApiCall, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import bulk_actions
from kaspi_delivery_django.services.deliveries import actions
from kaspi_delivery_django.services.inbox import replaying
from tests.conftest import event
from tests.shop.models import Line, Order, Shipment

pytestmark = pytest.mark.django_db(transaction=True)


def do_waiting():
    """Run the worker's chore."""
    return bulk_actions.run_pending(limit=100)


@pytest.fixture
def dead(booked, post_webhook):
    """Return an event that failed."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed")
    return WebhookEvent.objects.get()


def test_a_cancel_is_done_with_its_reason_and_forgotten(booked, drain, kaspi):
    """One round of the worker does it, and sends it."""
    bulk_actions.queue("cancel", [booked.pk], reason="out of stock")
    drain()
    booked.refresh_from_db()
    assert (booked.status, booked.cancel_reason) == ("cancelled", "out of stock")
    assert not PendingAction.objects.exists()


@pytest.mark.parametrize("runner", ["worker", "inline"])
def test_the_chore_itself_sends_nothing(booked, kaspi, settings, runner):
    """The worker sends at its own rate."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    before = len(kaspi.requests)
    bulk_actions.queue("refresh", [booked.pk])
    assert do_waiting() == 1
    assert len(kaspi.requests) == before
    assert ApiCall.objects.filter(kind="refresh", state="due").exists()


def test_a_retry_lets_what_waits_go_now(due, turnable):
    """Whatever its pause was."""
    ApiCall.objects.update(next_attempt_at=None, state="stuck", reason="too_old")
    Delivery.objects.update(attention="too_old")
    bulk_actions.queue("retry", [due.delivery_id])
    do_waiting()
    due.refresh_from_db()
    assert due.state == "due"


def test_what_was_refused_stays_with_the_reason(booked, turnable):
    """Until a member of staff takes it off."""
    Delivery.objects.update(status="delivered")
    bulk_actions.queue("cancel", [booked.pk])
    do_waiting()
    refused = PendingAction.objects.get()
    assert "can no longer be cancelled" in refused.failure
    assert refused.failed_at == turnable.now
    assert do_waiting() == 0
    bulk_actions.dismiss(refused)
    assert not PendingAction.objects.exists()


def test_an_event_is_replayed(dead):
    """As if it came now."""
    bulk_actions.queue("replay", [dead.pk])
    do_waiting()
    dead.refresh_from_db()
    assert dead.state == "noted"
    assert not PendingAction.objects.exists()


def test_an_event_that_fails_again_is_kept(dead):
    """The list says so."""
    WebhookEvent.objects.update(body="{}")
    bulk_actions.queue("replay", [dead.pk])
    do_waiting()
    assert PendingAction.objects.get().failure == "It failed again."


def test_an_event_is_acknowledged(dead):
    """It leaves the dead letters."""
    bulk_actions.queue("acknowledge", [dead.pk])
    do_waiting()
    dead.refresh_from_db()
    assert dead.state == "acknowledged"


def test_a_row_that_is_gone_takes_its_action_along(due):
    """Nothing is left to do."""
    bulk_actions.queue("retry", [due.delivery_id])
    Delivery.objects.get(pk=due.delivery_id).delete()
    assert do_waiting() == 0


def test_an_action_without_a_row_says_so(turnable):
    """Somebody deleted the row by hand."""
    PendingAction.objects.create(name="cancel", created_at=turnable.now)
    do_waiting()
    assert PendingAction.objects.get().failure == "The row was deleted."


class Phone:
    """What a phone field of a library returns: an object, shown without its middle."""

    def __init__(self, digits):
        self.digits = digits

    def __str__(self):
        return f"{self.digits[:4]}…{self.digits[-2:]}"


def test_a_login_is_what_its_column_holds(monkeypatch):
    """Not what `str()` of a phone object shows."""
    monkeypatch.setattr(User._meta.get_field("username"), "get_prep_value", lambda phone: phone.digits)
    assert bulk_actions.login_of(User(username=Phone("+77012223344"))) == "+77012223344"


@pytest.mark.parametrize(("model", "field"), [(Shipment, "id"), (Line, "order"), (Order, "weight_grams")])
def test_a_login_may_be_of_any_type(model, field, monkeypatch):
    """A UUID, a related row, a number: the text finds the row again."""
    monkeypatch.setattr(model, "USERNAME_FIELD", field, raising=False)
    order = Order.objects.create(weight_grams=77_012)
    row = order if model is Order else model.objects.create(order=order)
    assert model.objects.get(**{field: bulk_actions.login_of(row)}) == row


@pytest.mark.parametrize("field", ["username", "id", "email"])
def test_the_user_is_found_by_the_login(booked, drain, monkeypatch, field):
    """Whatever the shop's users log in with."""
    monkeypatch.setattr(User, "USERNAME_FIELD", field)
    boss = User.objects.create_superuser("boss", email="boss@shop.example")
    bulk_actions.queue("cancel", [booked.pk], asked_by=bulk_actions.login_of(boss))
    drain()
    booked.refresh_from_db()
    assert booked.status == "cancelled"


@pytest.mark.parametrize("login", ["boss", "9" * 40, "1.5"])
def test_a_login_that_no_user_can_have_is_refused(booked, monkeypatch, login):
    """The project has changed its users meanwhile; the actions after it are done."""
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    bulk_actions.queue("cancel", [booked.pk], asked_by=login)
    bulk_actions.queue("refresh", [booked.pk])
    assert do_waiting() == 2
    assert "no longer has the permission" in PendingAction.objects.get().failure


def test_a_deadlock_leaves_it_for_the_next_round(booked, monkeypatch):
    """Nothing is noted."""
    monkeypatch.setattr(actions, "refresh_delivery", broken(OperationalError("database is locked")))
    bulk_actions.queue("refresh", [booked.pk])
    assert do_waiting() == 0
    assert PendingAction.objects.waiting().count() == 1


def test_a_database_that_is_away_ends_the_round(booked, monkeypatch):
    """The worker waits for it."""
    monkeypatch.setattr(actions, "refresh_delivery", broken(OperationalError("gone away")))
    bulk_actions.queue("refresh", [booked.pk])
    with pytest.raises(OperationalError):
        do_waiting()


def test_a_row_that_breaks_does_not_stop_the_others(booked, drain, monkeypatch):
    """Its failure carries no data."""
    Order.objects.create()
    drain()
    keys = list(Delivery.objects.values_list("pk", flat=True))
    real = actions.refresh_delivery
    monkeypatch.setattr(actions, "refresh_delivery", lambda d: real(d) if d.pk == keys[1] else 1 / 0)
    bulk_actions.queue("refresh", keys)
    do_waiting()
    assert PendingAction.objects.get().failure.startswith("ZeroDivisionError at ")


def test_many_are_kept_in_few_statements(booked, django_assert_max_num_queries):
    """A thousand rows at a time, or what the engine takes."""
    with django_assert_max_num_queries(30):
        bulk_actions.queue("refresh", [booked.pk] * 1500)
    assert PendingAction.objects.count() == 1500


def test_what_waits_already_is_not_kept_twice(booked):
    """A double click asks once."""
    bulk_actions.queue("refresh", [booked.pk])
    bulk_actions.queue("refresh", [booked.pk])
    bulk_actions.queue("cancel", [booked.pk])
    assert PendingAction.objects.count() == 2


def test_what_was_acknowledged_already_is_done(dead):
    """A worker may have died in between."""
    replaying.acknowledge_event(dead)
    bulk_actions.queue("acknowledge", [dead.pk])
    assert do_waiting() == 1
    assert not PendingAction.objects.exists()


def test_what_was_deferred_lets_the_others_pass(booked, turnable, monkeypatch):
    """A row that stays locked holds up nobody."""
    bulk_actions.queue("cancel", [booked.pk])
    bulk_actions.queue("refresh", [booked.pk])
    monkeypatch.setattr(actions, "cancel_delivery", broken(OperationalError("database is locked")))
    for _ in range(2):
        bulk_actions.run_pending(limit=1)
    assert PendingAction.objects.get().name == "cancel"


def test_what_is_dismissed_meanwhile_is_not_done(booked, monkeypatch):
    """The page has promised so."""
    bulk_actions.queue("retry", [booked.pk])
    bulk_actions.queue("cancel", [booked.pk])
    monkeypatch.setattr(actions, "retry_delivery", lambda _delivery: PendingAction.objects.all().delete())
    do_waiting()
    booked.refresh_from_db()
    assert booked.cancel_requested_at is None


@pytest.mark.parametrize("change", [{"is_active": False}, {"username": "another"}, {"is_superuser": False}])
def test_who_may_not_any_more_is_not_obeyed(booked, change):
    """Gone, locked out, or without the permission."""
    boss = User.objects.create_superuser("boss")
    bulk_actions.queue("cancel", [booked.pk], asked_by="boss")
    User.objects.filter(pk=boss.pk).update(**change)
    do_waiting()
    booked.refresh_from_db()
    assert booked.cancel_requested_at is None
    assert PendingAction.objects.get().failure == "The user who requested it no longer has the permission."


def test_who_may_is_obeyed(booked):
    """As if it were done in the request."""
    User.objects.create_superuser("boss")
    bulk_actions.queue("cancel", [booked.pk], asked_by="boss")
    do_waiting()
    booked.refresh_from_db()
    assert booked.cancel_requested_at is not None


def test_what_waited_for_a_day_is_refused(booked, turnable):
    """Nobody means it any more."""
    bulk_actions.queue("cancel", [booked.pk])
    turnable.turn(hours=24)
    do_waiting()
    assert "waited too long" in PendingAction.objects.get().failure


def broken(err):
    """Return a service that raises."""

    def fail(*_args, **_kwargs):
        raise err

    return fail


def test_no_dead_letter_is_acknowledged_twice(dead):
    """The second is told that nothing asks for a person."""
    replaying.acknowledge_event(dead)
    with pytest.raises(replaying.CannotAcknowledge):
        replaying.acknowledge_event(dead)
