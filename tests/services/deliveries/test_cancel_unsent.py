"""A delivery that is cancelled before it was sent is cancelled for staff, customers, programs and the shop alike."""

import pytest
from django.urls import reverse

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, link_delivery, reissue_delivery
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.stats import snapshot
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db


def test_the_shop_gets_one_signal(due, signals, drain):
    """Of the status, never of a booking, also when it is cancelled twice; the order can be rebooked."""
    delivery = cancel_delivery(due.delivery, reason="a mistake")
    cancel_delivery(due.delivery)
    assert signals == ["cancelled"]
    step = delivery.history.get()
    assert (step.from_status, step.source, step.note) == ("", "cancel", "a mistake")
    second = reissue_delivery(delivery)
    drain()
    assert (fresh(second).status, second.generation) == ("created", 2)


def test_everyone_reads_it(due, admin_client):
    """Programs, staff in the list's filters, and the counts of dashboard, report and metrics."""
    delivery = cancel_delivery(due.delivery)
    data = TrackingSerializer(delivery).data
    assert (data["status"], data["label"], data["is_final"]) == ("cancelled", "Cancelled", True)
    url = reverse("admin:kaspi_delivery_delivery_changelist")
    lists = [admin_client.get(url, {"status": value}).context["cl"] for value in ("cancelled", "not_booked")]
    assert [list(shown.queryset) for shown in lists] == [[delivery], []]
    assert not any(snapshot.read().deliveries.values())


@pytest.mark.parametrize("state", ["due", "stuck", "refused"])
@pytest.mark.failure_mode("cancel: before anything was sent")
def test_it_is_cancelled_in_every_idle_state(due, state):
    """No request is needed, and its flag is cleared."""
    reason = "" if state == "due" else "refused"
    ApiCall.objects.update(state=state, reason=reason)
    Delivery.objects.update(attention=reason)
    delivery = cancel_delivery(due.delivery, reason="a mistake")
    assert (delivery.status, delivery.attention, delivery.cancel_reason) == ("cancelled", "", "a mistake")
    assert fresh(due).state == "abandoned"


@pytest.mark.parametrize(("status", "left"), [(401, "cancelled"), (400, "cancelled"), (503, "")])
def test_a_cancel_during_an_attempt(due, drain, kaspi, monkeypatch, status, left):
    """It applies if Kaspi surely has not booked; else the outcome is resolved first."""
    kaspi.faults.add(Fault(operation="create", status=status))
    handle = kaspi.handle

    def cancelled_meanwhile(*request):
        assert cancel_delivery(due.delivery).status == ""
        return handle(*request)

    monkeypatch.setattr(kaspi, "handle", cancelled_meanwhile)
    drain()
    assert (fresh(due.delivery).status, fresh(due.delivery).attention) == (left, "")


def test_a_requested_cancel_applies_when_staff_confirm_that_it_is_absent(due):
    """Kaspi might have booked it until then."""
    ApiCall.objects.update(state="stuck", unknown_since=due.created_at, reason="outcome_unknown")
    Delivery.objects.update(attention="outcome_unknown")
    assert cancel_delivery(due.delivery).status == ""
    assert acknowledge_delivery(due.delivery, confirmed_absent=True).status == "cancelled"


@pytest.mark.parametrize("act", [acknowledge_delivery, reissue_delivery])
def test_an_acknowledged_or_rebooked_delivery_is_not_cancelled(refused, signals, act):
    """The order may be shipped otherwise."""
    act(refused)
    assert (fresh(refused).status, signals) == ("", [])


def test_an_event_of_a_booking_after_all_adds_the_cancel(due, post_webhook, signals):
    """Other software has booked it under our name."""
    delivery = cancel_delivery(due.delivery)
    data = {"deliveryId": "dlv_9", "externalOrderId": delivery.external_order_id, "status": "accepted"}
    post_webhook({"eventId": "wh_1", "type": "delivery.accepted", "attempt": 1, "data": data})
    found = fresh(delivery)
    assert (found.delivery_id, found.status, found.attention) == ("dlv_9", "accepted", "")
    assert delivery.calls.get(kind="cancel").state == "due"
    notifications.notify_pending(limit=10)
    assert signals == ["cancelled", "booked", "accepted"]
    steps = delivery.history.order_by("pk").values_list("from_status", "to_status")
    assert list(steps) == [("", "cancelled"), ("cancelled", "accepted")]


@pytest.mark.failure_mode("cancel: accepted, not done")
def test_staff_link_a_booking_after_all(booked, drain, kaspi, fake_clock):
    """Kaspi's answer sets the status, and is read again until the accepted cancel is done."""
    delivery_id = booked.delivery_id
    ApiCall.objects.update(state="due", unknown_since=None)
    Delivery.objects.update(delivery_id=None, status="")
    link_delivery(cancel_delivery(booked), delivery_id)
    kaspi.cancel_is_slow = True
    drain()  # the link
    drain()  # the cancel
    assert (fresh(booked).delivery_id, fresh(booked).status) == (delivery_id, "created")
    kaspi.move(delivery_id, "cancelled")
    fake_clock.advance(minutes=2)
    drain()
    assert fresh(booked).status == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_it_is_anonymized(due, fake_clock):
    """A month after its end."""
    cancel_delivery(due.delivery, reason="Aigerim moved")
    fake_clock.advance(days=31)
    list(pruning.anonymize_personal_data(ended_before=fake_clock.now, batch=10))
    assert (fresh(due.delivery).blanked_at, fresh(due.delivery).cancel_reason) == (fake_clock.now, "")
