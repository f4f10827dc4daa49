"""Each failed attempt is recorded, and pruned later."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.maintenance import pruning

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_failed_attempt_is_recorded(due, kaspi, drain, turnable):
    """The call has its last error only."""
    kaspi.faults.add(Fault(operation="create", status=503))
    kaspi.faults.add(Fault(operation="create", drop="before"))
    for _ in range(3):
        drain()
        turnable.turn(hours=1)
    assert Delivery.objects.get().status == "created"
    kept = FailedAttempt.objects.order_by("pk")
    assert [(one.kind, one.http_status, one.call_id) for one in kept] == [
        ("create", 503, due.pk),
        ("create", None, due.pk),
    ]
    assert kept[1].error
    assert str(kept[1]) == f"create {kept[1].error}"


@pytest.fixture
def old(due, turnable):
    """Return an attempt that failed 100 days ago, with Kaspi's message."""
    ago = turnable.now - timedelta(days=100)
    return FailedAttempt.objects.create(call=due, kind="create", at=ago, error="x", error_message="+7 701 555 00 42")


def test_old_attempts_are_pruned_with_the_events(old, due, turnable):
    """After ninety days; a dry run counts them."""
    FailedAttempt.objects.create(call=due, kind="create", at=turnable.now - timedelta(days=80), error="y")
    assert list(pruning.prune_attempts(failed_before=turnable.now, batch=10, dry_run=True)) == [2]
    call_command("kaspi_prune")
    assert FailedAttempt.objects.get().error == "y"


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
