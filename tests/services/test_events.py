"""One event and the delivery it is about: the verdict, and what the inbox says of it."""

import json

import pytest
from django.db import transaction

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.services import acknowledge_delivery, events
from kaspi_delivery_django.services.transactions import lock_again
from tests.conftest import NOON, event
from tests.services.conftest import fresh
from tests.shop.models import Order


@pytest.fixture
def delivery(turnable):
    """Return a delivery that Kaspi has accepted."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_1", status="accepted", status_at=NOON)
    return Delivery.objects.get()


def apply(delivery, document):
    """Apply a new event under the lock; return it."""
    row = WebhookEvent(
        account="default",
        environment="sandbox",
        event_id=document["eventId"],
        body=json.dumps(document),
        received_at=NOON,
    )
    with transaction.atomic():
        events.apply(lock_again(delivery), row)
    return row


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("word", "state", "status"),
    [
        ("in_transit", "applied", "in_transit"),
        ("delivered", "applied", "delivered"),
        ("cancelled", "applied", "cancelled"),
        ("accepted", "noted", "accepted"),
        ("created", "noted", "accepted"),
        ("held_by_customs", "applied", "accepted"),
    ],
)
def test_the_verdict_decides_the_state(delivery, word, state, status):
    """Applied, or noted because there is nothing to change."""
    row = apply(delivery, event(delivery, word))
    assert (fresh(row).state, fresh(delivery).status) == (state, status)
    assert (fresh(row).delivery, fresh(row).applied_at) == (delivery, NOON)


@pytest.mark.django_db
def test_a_contradiction_is_a_conflict(delivery):
    """It is not believed, and shown to a person."""
    Delivery.objects.update(status="delivered")
    row = apply(delivery, event(delivery, "cancelled"))
    assert (row.state, fresh(delivery).attention) == ("conflict", "contradiction")


@pytest.mark.django_db
def test_an_acknowledged_contradiction_comes_back_with_another_event(delivery):
    """Which is a new fact."""
    Delivery.objects.update(status="delivered")
    for event_id in ("wh_1", "wh_2"):
        apply(delivery, event(delivery, "cancelled", event_id=event_id))
        assert fresh(delivery).attention == "contradiction"
        acknowledge_delivery(delivery)


@pytest.mark.django_db
def test_a_repeat_under_another_event_id_leaves_no_second_change(delivery):
    """A status is told once, however many events speak of it."""
    for event_id in ("wh_1", "wh_2"):
        apply(delivery, event(delivery, "in_transit", event_id=event_id))
    assert delivery.history.count() == 1


@pytest.mark.django_db
def test_the_change_names_its_event(delivery):
    """The history leads back to what Kaspi said."""
    row = apply(delivery, event(delivery, "in_transit"))
    change = delivery.history.get()
    assert (change.event, change.source, change.from_status) == (row, "webhook", "accepted")


@pytest.mark.parametrize(
    ("type_", "is_about_it"),
    [
        ("delivery.created", True),
        ("delivery.held_by_customs", True),
        ("delivery.", True),
        ("delivery", False),
        ("deliveries.created", False),
        ("Delivery.created", False),
        ("parcel.delivery.created", False),
    ],
)
def test_a_type_speaks_of_a_delivery_by_its_prefix(type_, is_about_it):
    """New statuses are welcome, other families are not ours."""
    data = {"deliveryId": "d", "externalOrderId": "o", "status": "s"}
    remote = read_event(json.dumps({"eventId": "wh_1", "type": type_, "data": data}).encode())
    assert events.is_about_delivery(remote) is is_about_it
