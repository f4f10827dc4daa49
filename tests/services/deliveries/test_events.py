"""Linking a delivery to Kaspi's id, and applying events to it: parked ones after the link, new ones at once."""

import json

import pytest
from django.db import transaction

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services import acknowledge_delivery
from kaspi_delivery_django.services.deliveries import events, status
from kaspi_delivery_django.services.locks import lock_current
from tests.conftest import NOON, event
from tests.services.conftest import fresh

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_clock")]
RECEIVED = {"account": "default", "environment": "sandbox", "received_at": NOON}


@pytest.fixture
def delivery(due):
    """Return a delivery that is not linked."""
    return due.delivery


@pytest.fixture
def accepted(make_linked):
    """Return a delivery that Kaspi has accepted."""
    return make_linked(status="accepted", status_at=NOON)


@pytest.fixture
def other(make_linked):
    """Return another order's delivery, which is linked."""
    return make_linked(delivery_id="dlv_other")


def link(delivery, delivery_id):
    """Link under the lock, as every caller does."""
    with transaction.atomic():
        return events.link_and_apply(lock_current(delivery), delivery_id)


def apply(delivery, document):
    """Apply a new event under the lock; return it."""
    row = WebhookEvent(**RECEIVED, event_id=document["eventId"], body=json.dumps(document))
    with transaction.atomic():
        events.apply(lock_current(delivery), row)
    return row


def park(delivery, value, *, event_id="wh_1", at=NOON, delivery_id="dlv_1"):
    """Store an event that arrived before its delivery was known."""
    document = event(delivery, value, event_id=event_id, at=at)
    document["data"]["deliveryId"] = delivery_id
    return WebhookEvent.objects.create(
        **RECEIVED,
        event_id=event_id,
        type=document["type"],
        body=json.dumps(document),
        kaspi_delivery_id=delivery_id,
        external_order_id=delivery.external_order_id,
        occurred_at=at,
        state="parked",
    )


def test_a_linked_id_never_changes(delivery):
    """The same id again changes nothing, and another is refused."""
    assert link(delivery, "dlv_1")
    before = fresh(delivery).updated_at
    assert link(delivery, "dlv_1")
    assert not link(delivery, "dlv_2")
    assert (fresh(delivery).delivery_id, fresh(delivery).updated_at) == ("dlv_1", before)


@pytest.mark.parametrize("known", ["dlv_1", None])
def test_a_second_parcel_is_flagged(delivery, other, known, caplog):
    """Another id for this delivery, or the id of another order's."""
    delivery.delivery_id = known
    assert not events.link(delivery, "dlv_other")
    assert (delivery.delivery_id, delivery.attention) == (known, "second_parcel")
    assert "second parcel" in caplog.text


def test_another_account_may_have_the_same_id(delivery, other):
    """Ids are unique in an account."""
    Delivery.objects.filter(pk=other.pk).update(account="almaty")
    assert link(delivery, "dlv_other")


@pytest.mark.parametrize("state", ApiCall.State.values)
def test_a_link_finishes_the_create(delivery, state):
    """A claimed one is left to its sender."""
    ApiCall.objects.update(state=state)
    link(delivery, "dlv_1")
    assert ApiCall.objects.get().state == ("sending" if state == "sending" else "done")


@pytest.mark.parametrize(
    ("reason", "left"), [("outcome_unknown", ""), ("too_old", ""), ("refused", ""), ("order_edited", "order_edited")]
)
def test_a_link_clears_flags_of_the_booking(delivery, reason, left):
    """Others stay."""
    Delivery.objects.update(attention=reason)
    link(delivery, "dlv_1")
    assert fresh(delivery).attention == left


def test_a_link_applies_parked_events(delivery):
    """In the order of Kaspi's clock; events of another id stay parked."""
    later = park(delivery, "in_transit", event_id="wh_2", at=NOON.replace(minute=5))
    sooner = park(delivery, "accepted", event_id="wh_1")
    foreign = park(delivery, "delivered", event_id="wh_3", delivery_id="dlv_2")
    link(delivery, "dlv_1")
    steps = list(delivery.history.order_by("pk").values_list("to_status", "applied"))
    assert steps == [("accepted", True), ("in_transit", True)]
    assert (fresh(delivery).status, fresh(foreign).state) == ("in_transit", "parked")
    for row in (fresh(sooner), fresh(later)):
        assert (row.state, row.delivery, row.applied_at) == ("applied", delivery, NOON)


@pytest.mark.parametrize(("value", "cancels"), [("accepted", 1), ("cancelled", 0)])
def test_a_link_adds_the_remembered_cancel(delivery, value, cancels):
    """Unless a parked event ends the delivery."""
    Delivery.objects.update(cancel_requested_at=NOON, cancel_reason="too late")
    park(delivery, value)
    link(delivery, "dlv_1")
    assert ApiCall.objects.filter(kind="cancel", payload__contains="too late").count() == cancels


def test_a_parked_event_that_fails_delays_no_other(delivery, caplog):
    """An earlier version stored it; the log holds none of its data."""
    broken = park(delivery, "accepted", event_id="wh_1")
    WebhookEvent.objects.update(body='{"eventId": "wh_1", "note": "+7 701 555 0199"}')
    whole = park(delivery, "in_transit", event_id="wh_2")
    assert link(delivery, "dlv_1")
    assert (fresh(broken).state, fresh(whole).state) == ("failed", "applied")
    assert (fresh(delivery).delivery_id, fresh(delivery).status) == ("dlv_1", "in_transit")
    assert "+7 701" not in caplog.text + fresh(broken).error


def test_a_failed_event_leaves_no_partial_change(delivery, monkeypatch):
    """Neither in the row nor in the instance that is saved later."""

    def fail_half_way(locked, *_args):
        locked.status = "delivered"
        locked.save(update_fields=["status"])
        raise ValueError

    monkeypatch.setattr(status, "apply", fail_half_way)
    park(delivery, "accepted")
    with transaction.atomic():
        locked = lock_current(delivery)
        events.link_and_apply(locked, "dlv_1")
    assert (locked.status, fresh(delivery).status) == ("", "")


@pytest.mark.parametrize(
    ("value", "state", "after"),
    [
        ("in_transit", "applied", "in_transit"),
        ("accepted", "noted", "accepted"),
        ("created", "noted", "accepted"),
        ("held_by_customs", "applied", "accepted"),
    ],
)
def test_the_transition_decides_the_events_state(accepted, value, state, after):
    """Applied, or noted because nothing changes; a status is recorded once, under however many ids it arrives."""
    row = fresh(apply(accepted, event(accepted, value)))
    assert (row.state, row.delivery, row.applied_at) == (state, accepted, NOON)
    apply(accepted, event(accepted, value, event_id="wh_2"))
    assert fresh(accepted).status == after
    if after == value != "accepted":
        change = accepted.history.get()
        assert (change.event, change.source, change.from_status) == (row, "webhook", "accepted")


def test_an_acknowledged_contradiction_returns_with_another_event(accepted):
    """Another event is a new fact."""
    Delivery.objects.update(status="delivered")
    for event_id in ("wh_1", "wh_2"):
        apply(accepted, event(accepted, "cancelled", event_id=event_id))
        assert fresh(accepted).attention == "contradiction"
        acknowledge_delivery(accepted)


def test_the_types_prefix_decides_whether_it_is_about_a_delivery():
    """New statuses are accepted, other families ignored."""
    data = {"deliveryId": "d", "externalOrderId": "o", "status": "s"}
    ours = {"delivery.created", "delivery.held_by_customs", "delivery."}
    for type_ in (*ours, "delivery", "deliveries.created", "Delivery.created", "parcel.delivery.created"):
        remote = read_event(json.dumps({"eventId": "wh_1", "type": type_, "data": data}).encode())
        assert events.is_about_delivery(remote) is (type_ in ours), type_
