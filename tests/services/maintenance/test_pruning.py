"""Pruned data does not come back, and data that is not personal is kept."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock, refresh_delivery
from kaspi_delivery_django.services.db import delete_in_batches
from kaspi_delivery_django.services.maintenance import pruning
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def forget(fake_clock):
    """Let the delivery end and a month pass, and anonymize it."""

    def run(status="delivered"):
        Delivery.objects.update(status=status, status_at=clock.now())
        StatusChange.objects.update(notified_at=fake_clock.now)
        fake_clock.advance(days=31)
        list(pruning.anonymize_personal_data(ended_before=clock.now(), batch=5))

    return run


def test_a_second_parcels_id_outlives_the_personal_data(booked, forget):
    """It is stored nowhere else."""
    ApiCall.objects.update(error_code="second_parcel", error_message="dlv_second")
    forget()
    assert fresh(booked).blanked_at
    assert ApiCall.objects.get().error_message == "dlv_second"


@pytest.mark.parametrize(("is_personal", "kept"), [(True, ""), (False, "Order 742")])
def test_an_orders_name_is_kept_unless_it_may_be_the_customers(booked, forget, is_personal, kept):
    """What the customer's name and city are found by is cleared."""
    assert booked.name_key
    Delivery.objects.update(order_label="Order 742", label_is_personal=is_personal)
    forget()
    delivery = fresh(booked)
    assert (delivery.order_label, delivery.name_key, delivery.surname_key, delivery.city_key) == (kept, "", "", "")
    assert delivery.external_key


def test_notes_do_not_come_back_with_a_late_history(booked, kaspi, drain, fake_clock, forget):
    """A refresh adds missing steps without the courier's notes."""
    for status in ("accepted", "in_transit", "delivered"):
        fake_clock.advance(minutes=1)
        kaspi.move(booked.delivery_id, status, fake_clock.timestamp(), notes="door code 12")
    forget()
    refresh_delivery(booked)
    drain()
    assert StatusChange.objects.filter(to_status="in_transit").exists()
    assert set(StatusChange.objects.values_list("note", flat=True)) == {""}


def test_a_revived_delivery_is_anonymized_again_when_it_has_ended(booked, kaspi, drain, forget):
    """It has personal data again until then."""
    forget("cancelled")
    kaspi.move(booked.delivery_id, "accepted")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).blanked_at is None


def test_batches_are_no_larger_than_asked_for(booked, fake_clock):
    """For any number of rows."""
    booked.status, booked.status_at = "delivered", fake_clock.now - timedelta(days=99)
    for number in range(6):
        booked.pk, booked.object_id = None, f"old-{number}"
        booked.external_order_id = booked.delivery_id = f"dlv_{number}"
        booked.save()
    assert list(pruning.anonymize_personal_data(ended_before=fake_clock.now, batch=4)) == [4, 2]
    assert Order.objects.count() == 1


def old_rows():
    """Return what would be deleted now, by its name."""
    return dict(pruning.old_rows(clock.now()))


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_events_of_one_moment_are_all_deleted(fake_clock, batch):
    """A batch may end among them; kept rows are passed once."""
    states = ["parked", "applied", "applied", "failed", "applied", "noted", "applied"]
    for number, state in enumerate(states):
        WebhookEvent.objects.create(event_id=f"wh_{number}", body="{}", state=state, received_at=clock.now())
    fake_clock.advance(days=91)
    counts = list(delete_in_batches(old_rows()["events"], batch=batch, dry_run=False))
    assert sum(counts) == 5
    assert max(counts) <= batch
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"parked", "failed"}


@pytest.fixture
def old(due, fake_clock):
    """Return an attempt that failed 100 days ago, with Kaspi's message."""
    ago = fake_clock.now - timedelta(days=100)
    return FailedAttempt.objects.create(call=due, kind="create", at=ago, error="x", error_message="+7 701 555 00 42")


def test_old_attempts_are_pruned_with_the_events(old, due, fake_clock):
    """After ninety days; a dry run counts them."""
    FailedAttempt.objects.create(call=due, kind="create", at=fake_clock.now - timedelta(days=80), error="y")
    assert list(delete_in_batches(old_rows()["failed attempts"], batch=10, dry_run=True)) == [2]
    call_command("kaspi_prune")
    assert FailedAttempt.objects.get().error == "y"


def test_kaspis_message_is_cleared_with_the_delivery(old, booked, fake_clock, forget):
    """It may have names."""
    ApiCall.objects.update(state="done")
    PendingAction.objects.create(name="cancel", delivery=booked, reason="Asel", created_at=fake_clock.now)
    forget()
    assert FailedAttempt.objects.get().error_message == ""
    assert (Delivery.objects.get().phone_tail, Delivery.objects.get().parcel_description) == ("", "")
    assert PendingAction.objects.get().reason == ""
