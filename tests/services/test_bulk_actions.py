"""Bulk actions that a request could not finish: the worker runs them row by row, and keeps refused ones."""

import re
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import translation

from kaspi_delivery_django.models import ApiCall, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import bulk_actions, errors, inbox
from kaspi_delivery_django.services.deliveries import actions
from kaspi_delivery_django.signals import delivery_status_changed
from tests.services.conftest import fresh
from tests.shop.models import Line, Order, Shipment

pytestmark = pytest.mark.django_db(transaction=True)


REFUSALS = {
    ("cancel", "in_transit"): "It can no longer be cancelled: its status is In transit.",
    ("retry", "created"): 'There is nothing to retry. To resend a refused booking, use "Rebook".',
    ("acknowledge", "created"): "It needs no manual review.",
}


def run_pending():
    return bulk_actions.run_pending(limit=100)


@pytest.mark.parametrize("runner", ["worker", "inline"])
def test_the_task_itself_sends_nothing(booked, kaspi, settings, runner):
    """The worker sends at its own rate."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    before = len(kaspi.requests)
    bulk_actions.queue("refresh", [booked.pk])
    assert run_pending() == 1
    assert len(kaspi.requests) == before
    assert ApiCall.objects.filter(kind="refresh", state="due").exists()


def test_a_refused_action_is_kept_with_the_reason(booked, fake_clock):
    """Until staff dismiss it."""
    Delivery.objects.update(status="delivered")
    bulk_actions.queue("cancel", [booked.pk])
    run_pending()
    refused = PendingAction.objects.get()
    assert "can no longer be cancelled" in refused.failure
    assert refused.failed_at == fake_clock.now
    assert run_pending() == 0
    bulk_actions.dismiss(refused)
    assert not PendingAction.objects.exists()


@pytest.mark.parametrize(("row", "english"), REFUSALS.items())
def test_a_refusal_is_stored_in_english_and_read_in_any_language(booked, dead_letter, settings, row, english):
    """Whatever the worker's language; its values are translated as well."""
    name, status = row
    settings.LANGUAGE_CODE = "kk"
    Delivery.objects.update(status=status)
    WebhookEvent.objects.update(state="applied")
    with translation.override("kk"):
        bulk_actions.queue(name, [dead_letter.pk if name == "acknowledge" else booked.pk])
        run_pending()
    stored = PendingAction.objects.get().failure
    assert stored == english
    for language in ("ru", "kk"):
        with translation.override(language):
            assert not re.search("[a-z]{5}", errors.translated_refusal(stored))


def test_receivers_of_a_bulk_action_get_it_in_the_projects_language(due, settings, connect_only):
    """Not in the one that refusals are stored in."""
    received = []
    connect_only(delivery_status_changed, lambda **_known: received.append(translation.get_language()))
    settings.LANGUAGE_CODE = "kk"
    bulk_actions.queue("cancel", [due.delivery_id])
    run_pending()
    assert received == ["kk"]


@pytest.mark.parametrize(("name", "state"), [("replay", "applied"), ("acknowledge", "acknowledged")])
def test_an_action_on_an_event_is_run(dead_letter, name, state):
    """As if it was received now, or by taking it off the dead letters."""
    bulk_actions.queue(name, [dead_letter.pk])
    run_pending()
    assert fresh(dead_letter).state == state
    assert not PendingAction.objects.exists()


def test_an_event_that_fails_again_is_kept(dead_letter):
    """With its failure."""
    WebhookEvent.objects.update(body="{}")
    bulk_actions.queue("replay", [dead_letter.pk])
    run_pending()
    assert PendingAction.objects.get().failure == "It failed again."


def test_an_action_without_a_row_is_refused(due, fake_clock):
    """The row was deleted by hand: Django deletes its actions with it, and SQL does not."""
    bulk_actions.queue("retry", [due.delivery_id])
    Delivery.objects.get(pk=due.delivery_id).delete()
    assert run_pending() == 0
    PendingAction.objects.create(name="cancel", created_at=fake_clock.now)
    run_pending()
    assert PendingAction.objects.get().failure == "The row was deleted."


def test_a_login_is_its_columns_value(monkeypatch):
    """Not the `str()` of an object, such as a phone that is shown without its middle."""
    monkeypatch.setattr(User._meta.get_field("username"), "get_prep_value", lambda phone: f"{phone} 1223344")
    assert bulk_actions.login_of(User(username="+77012")) == "+77012 1223344"


@pytest.mark.parametrize(("model", "field"), [(Shipment, "id"), (Line, "order"), (Order, "weight_grams")])
def test_a_login_may_be_of_any_type(model, field, monkeypatch):
    """A UUID, a related row, a number: the text finds the row again."""
    monkeypatch.setattr(model, "USERNAME_FIELD", field, raising=False)
    order = Order.objects.create(weight_grams=77_012)
    row = order if model is Order else model.objects.create(order=order)
    assert model.objects.get(**{field: bulk_actions.login_of(row)}) == row


@pytest.mark.parametrize("field", ["username", "id", "email"])
def test_the_user_is_found_by_the_login(booked, drain, monkeypatch, field):
    """Whatever the shop's users log in with. A round runs the action with its reason, and sends it."""
    monkeypatch.setattr(User, "USERNAME_FIELD", field)
    boss = User.objects.create_superuser("boss", email="boss@shop.example")
    bulk_actions.queue("cancel", [booked.pk], asked_by=bulk_actions.login_of(boss), reason="out of stock")
    drain()
    assert (fresh(booked).status, fresh(booked).cancel_reason) == ("cancelled", "out of stock")
    assert not PendingAction.objects.exists()


@pytest.mark.parametrize("login", ["boss", "9" * 40, "1.5"])
def test_a_login_that_no_user_can_have_is_refused(booked, monkeypatch, login):
    """The project has changed its user model meanwhile; later actions run."""
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    bulk_actions.queue("cancel", [booked.pk], asked_by=login)
    bulk_actions.queue("refresh", [booked.pk])
    assert run_pending() == 2
    assert "no longer has the permission" in PendingAction.objects.get().failure


@pytest.mark.parametrize("text", ["database is locked", "gone away"])
def test_a_database_error_leaves_it_for_the_next_round(booked, monkeypatch, text):
    """A deadlock delays no other action; an unavailable database ends the round."""
    monkeypatch.setattr(actions, "cancel_delivery", Mock(side_effect=OperationalError(text)))
    bulk_actions.queue("cancel", [booked.pk])
    bulk_actions.queue("refresh", [booked.pk])
    with nullcontext() if "locked" in text else pytest.raises(OperationalError):
        for _ in range(2):
            bulk_actions.run_pending(limit=1)
    left = PendingAction.objects.waiting().values_list("name", flat=True)
    assert list(left) == (["cancel"] if "locked" in text else ["cancel", "refresh"])


def test_an_error_of_one_row_is_contained(booked, drain, monkeypatch):
    """Its failure has no data."""
    Order.objects.create()
    drain()
    keys = list(Delivery.objects.values_list("pk", flat=True))
    real = actions.refresh_delivery
    monkeypatch.setattr(actions, "refresh_delivery", lambda d: real(d) if d.pk == keys[1] else 1 / 0)
    bulk_actions.queue("refresh", keys)
    run_pending()
    assert PendingAction.objects.get().failure.startswith("ZeroDivisionError at ")


def test_many_are_queued_in_few_statements(booked, django_assert_max_num_queries):
    """Up to the engine's limit each."""
    with django_assert_max_num_queries(8):
        bulk_actions.queue("refresh", [booked.pk] * 300)
    assert PendingAction.objects.count() == 300


def test_an_action_is_queued_once(booked):
    """As for a double click."""
    bulk_actions.queue("refresh", [booked.pk])
    bulk_actions.queue("refresh", [booked.pk])
    bulk_actions.queue("cancel", [booked.pk])
    assert PendingAction.objects.count() == 2


def test_an_acknowledged_event_is_done(dead_letter):
    """A worker may have died in between."""
    inbox.acknowledge_event(dead_letter)
    bulk_actions.queue("acknowledge", [dead_letter.pk])
    assert run_pending() == 1
    assert not PendingAction.objects.exists()


def test_a_dismissed_action_is_not_run(booked, monkeypatch):
    """As the page promises."""
    bulk_actions.queue("retry", [booked.pk])
    bulk_actions.queue("cancel", [booked.pk])
    monkeypatch.setattr(actions, "retry_delivery", lambda _delivery: PendingAction.objects.all().delete())
    run_pending()
    assert fresh(booked).cancel_requested_at is None


@pytest.mark.parametrize("change", [{"is_active": False}, {"username": "another"}, {"is_superuser": False}])
def test_an_action_of_a_user_without_the_permission_is_refused(booked, change):
    """The user was deleted or deactivated, or has lost the permission."""
    boss = User.objects.create_superuser("boss")
    bulk_actions.queue("cancel", [booked.pk], asked_by="boss")
    User.objects.filter(pk=boss.pk).update(**change)
    run_pending()
    assert fresh(booked).cancel_requested_at is None
    assert PendingAction.objects.get().failure == "The user who requested it no longer has the permission."


def test_an_action_older_than_a_day_is_refused(booked, fake_clock):
    """It may no longer be wanted."""
    bulk_actions.queue("cancel", [booked.pk])
    fake_clock.advance(hours=24)
    run_pending()
    assert "waited too long" in PendingAction.objects.get().failure
