"""What is cancelled before it was sent is cancelled: one meaning for staff, customers, programs and the shop."""

import pytest
from django.db import transaction

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, link_delivery, reissue_delivery
from kaspi_delivery_django.services.db import lock_current
from kaspi_delivery_django.services.deliveries import notifications, status
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from kaspi_delivery_django.stats import snapshot
from kaspi_delivery_django.statuses import status_label
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/kaspi_delivery/delivery/"


@pytest.fixture
def heard():
    """Record the signals of the shop."""
    found = []

    def note_created(**_kwargs):
        found.append("booked")

    def note_changed(change, **_kwargs):
        found.append(change.to_status)

    delivery_created.connect(note_created)
    delivery_status_changed.connect(note_changed)
    yield found
    delivery_created.disconnect(note_created)
    delivery_status_changed.disconnect(note_changed)


def test_the_shop_hears_it_once(due, heard):
    """As a change of status, and never as a booking; asked for twice, too."""
    cancel_delivery(due.delivery, reason="a mistake")
    cancel_delivery(due.delivery)
    assert heard == ["cancelled"]
    step = due.delivery.history.get()
    assert (step.from_status, step.source, step.note) == ("", "cancel", "a mistake")


def test_a_receiver_that_raises_is_called_again(due, heard, drain, turnable):
    """The worker repeats the one signal, and not the other."""

    def fail(**_kwargs):
        raise ValueError

    delivery_status_changed.connect(fail)
    cancel_delivery(due.delivery)
    delivery_status_changed.disconnect(fail)
    turnable.turn(minutes=2)
    drain()
    assert heard == ["cancelled", "cancelled"]


def test_programs_read_it_too(due):
    """The status that a customer's app reads is the one that staff see."""
    data = TrackingSerializer(cancel_delivery(due.delivery)).data
    assert (data["status"], data["label"], data["is_final"]) == ("cancelled", "Cancelled", True)


def test_staff_read_it_in_lists_and_figures(due, admin_client):
    """It is cancelled there too: the filters, and the counts of dashboard, report and metrics."""
    delivery = cancel_delivery(due.delivery)
    lists = [admin_client.get(LIST, {"status": status}).context["cl"] for status in ("cancelled", "not_booked")]
    assert [list(shown.queryset) for shown in lists] == [[delivery], []]
    assert not any(standing.read().deliveries.values())


def test_the_next_generation_can_be_booked(due, drain):
    """By a person, as after any cancel."""
    second = reissue_delivery(cancel_delivery(due.delivery))
    drain()
    assert (fresh(second).status, second.generation) == ("created", 2)


@pytest.mark.parametrize("state", ["due", "stuck", "refused"])
def test_whatever_it_waited_for(due, state):
    """Its turn, a person, or a correction."""
    ApiCall.objects.update(state=state, reason="" if state == "due" else "refused")
    Delivery.objects.update(attention="" if state == "due" else "refused")
    delivery = cancel_delivery(due.delivery)
    assert (delivery.status, delivery.attention) == ("cancelled", "")


@pytest.mark.parametrize(("status", "left"), [(401, "cancelled"), (400, "cancelled"), (503, "")])
def test_a_cancel_that_came_while_it_was_sent_ends_it_too(due, drain, kaspi, status, left):
    """If Kaspi surely has not booked it; else its outcome is found out first."""
    kaspi.faults.add(Fault(operation="create", status=status))
    Delivery.objects.update(cancel_requested_at=due.created_at)
    drain()
    assert (fresh(due.delivery).status, fresh(due.delivery).attention) == (left, "")


def test_a_wish_to_cancel_is_kept_by_who_confirms_that_it_is_absent(due):
    """It was to be cancelled, and Kaspi does not have it."""
    ApiCall.objects.update(state="stuck", unknown_since=due.created_at, reason="outcome_unknown")
    Delivery.objects.update(attention="outcome_unknown")
    assert cancel_delivery(due.delivery).status == ""
    assert acknowledge_delivery(due.delivery, confirmed_absent=True).status == "cancelled"


def test_what_was_refused_and_acknowledged_is_not_cancelled(due, heard):
    """Somebody ships it otherwise: the shop must not read of a cancel."""
    ApiCall.objects.update(state="refused", reason="refused")
    Delivery.objects.update(attention="refused")
    assert acknowledge_delivery(due.delivery).status == ""
    assert heard == []


def test_programs_read_of_no_cancel_of_what_was_acknowledged(due):
    """The status that a customer's app reads is the one that staff see: not booked, not cancelled, not ended."""
    ApiCall.objects.update(state="refused", reason="refused")
    Delivery.objects.update(attention="refused")
    delivery = acknowledge_delivery(due.delivery)
    data = TrackingSerializer(delivery).data
    assert (data["status"], data["label"], data["is_final"]) == ("", "We are arranging your delivery", False)
    assert (status_label(delivery.status), snapshot.read().deliveries[""]) == ("Not booked yet", 1)


def test_a_refused_one_that_is_rebooked_is_not_cancelled(due, heard):
    """The order is still to be shipped."""
    ApiCall.objects.update(state="refused", reason="refused")
    reissue_delivery(due.delivery)
    assert (fresh(due.delivery).status, heard) == ("", [])


def test_an_event_that_shows_a_booking_after_all_has_it_cancelled(due, post_webhook, heard):
    """Other software has booked it under our name: Kaspi's word counts, and the cancel is sent."""
    delivery = cancel_delivery(due.delivery)
    data = {"deliveryId": "dlv_9", "externalOrderId": delivery.external_order_id, "status": "accepted"}
    post_webhook({"eventId": "wh_1", "type": "delivery.accepted", "attempt": 1, "data": data})
    found = fresh(delivery)
    assert (found.delivery_id, found.status, found.attention) == ("dlv_9", "accepted", "")
    assert delivery.calls.get(kind="cancel").state == "due"
    notifications.notify_pending(limit=10, using="default")
    assert heard == ["cancelled", "booked", "accepted"]
    steps = delivery.history.order_by("pk").values_list("from_status", "to_status")
    assert list(steps) == [("", "cancelled"), ("cancelled", "accepted")]


def test_a_parcel_that_kaspi_revives_is_not_announced_as_new(booked, heard):
    """Its booking was announced when it was made."""
    heard.clear()
    for word, act in (("cancelled", status.apply), ("created", status.correct)):
        with transaction.atomic():
            locked = lock_current(booked)
            news = status.StatusUpdate(status=word, source="refresh")
            act(locked, news, *([status.transition_of(locked, news)] if act is status.apply else []))
            status.save(locked)
    assert heard == ["cancelled", "created"]


def test_a_person_can_link_what_was_booked_after_all(booked, drain, kaspi):
    """Kaspi is asked, and its answer is taken as it is."""
    delivery_id = booked.delivery_id
    ApiCall.objects.update(state="due", unknown_since=None)
    Delivery.objects.update(delivery_id=None, status="")
    link_delivery(cancel_delivery(booked), delivery_id)
    kaspi.cancel_is_slow = True
    drain()
    assert (fresh(booked).delivery_id, fresh(booked).status) == (delivery_id, "created")


def test_it_is_anonymized_like_any_other(due, turnable, kaspi, drain):
    """A month after its end."""
    kaspi.faults.add(Fault(operation="create", status=401))
    drain()
    cancel_delivery(due.delivery, reason="Aigerim moved")
    turnable.turn(days=31)
    list(pruning.anonymize_personal_data(ended_before=turnable.now, batch=10))
    assert fresh(due.delivery).blanked_at
    assert fresh(due.delivery).cancel_reason == ""
