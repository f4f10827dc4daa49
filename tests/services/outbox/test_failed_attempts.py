"""Each failed attempt is recorded, and pruned later."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.signals import call_attempted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def attempts():
    """Record the signal's arguments during the test."""
    received = []

    def hear(call, error, seconds, **_kwargs):
        received.append((call.kind, error.status if error else None, seconds >= 0))

    call_attempted.connect(hear)
    yield received
    call_attempted.disconnect(hear)


def test_each_failed_attempt_is_recorded(due, kaspi, drain, turnable):
    """The call has its last error only."""
    kaspi.faults.add(Fault(operation="create", status=503, times=2))
    for _ in range(3):
        drain()
        turnable.turn(hours=1)
    assert Delivery.objects.get().status == "created"
    kept = FailedAttempt.objects.order_by("pk").values_list("kind", "http_status", "call")
    assert list(kept) == [("create", 503, due.pk)] * 2


def test_an_attempt_without_an_answer_has_no_status(due, kaspi, drain):
    """It has the kind of error."""
    kaspi.faults.add(Fault(operation="create", drop="before"))
    drain()
    attempt = FailedAttempt.objects.get()
    assert attempt.http_status is None
    assert attempt.error
    assert str(attempt) == f"create {attempt.error}"


def test_a_successful_attempt_is_not_recorded(booked):
    """A success costs no row."""
    assert not FailedAttempt.objects.exists()


def test_call_attempted_is_sent_for_each_attempt(due, kaspi, drain, turnable, attempts):
    """With its error, or none."""
    kaspi.faults.add(Fault(operation="create", status=503, times=1))
    drain()
    turnable.turn(hours=1)
    drain()
    assert attempts == [("create", 503, True), ("create", None, True)]


@pytest.fixture
def old(due, turnable):
    """Return an attempt that failed 100 days ago, with Kaspi's message."""
    ago = turnable.now - timedelta(days=100)
    return FailedAttempt.objects.create(call=due, kind="create", at=ago, error="x", error_message="+7 701 555 00 42")


def test_old_attempts_are_pruned_with_the_events(old, due, turnable):
    """After ninety days."""
    FailedAttempt.objects.create(call=due, kind="create", at=turnable.now - timedelta(days=80), error="y")
    call_command("kaspi_prune")
    assert FailedAttempt.objects.get().error == "y"


def test_a_dry_run_counts_them(old, turnable):
    """And deletes none."""
    assert list(pruning.prune_attempts(failed_before=turnable.now, batch=10, dry_run=True)) == [1]
    assert FailedAttempt.objects.exists()


def test_kaspis_message_is_cleared_with_the_delivery(old, booked, turnable):
    """It may have names."""
    Delivery.objects.update(status="delivered", status_at=turnable.now - timedelta(days=99))
    ApiCall.objects.update(state="done")
    PendingAction.objects.create(name="cancel", delivery=booked, reason="Asel", created_at=turnable.now)
    booked.history.update(notified_at=turnable.now)
    list(pruning.anonymize_personal_data(ended_before=turnable.now, batch=10))
    assert FailedAttempt.objects.get().error_message == ""
    assert (Delivery.objects.get().phone_tail, Delivery.objects.get().parcel_description) == ("", "")
    assert PendingAction.objects.get().reason == ""
