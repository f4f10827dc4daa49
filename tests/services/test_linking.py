"""Kaspi's id is tied to a delivery once, and what waited for it wakes."""

import json

import pytest
from django.db import transaction

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services.db import lock_current
from kaspi_delivery_django.services.deliveries import linking, status
from tests.conftest import NOON, event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("turnable")]


@pytest.fixture
def delivery():
    """Return a delivery that has no id at Kaspi yet."""
    Order.objects.create()
    return Delivery.objects.get()


@pytest.fixture
def other():
    """Return a delivery of another order, which has its id."""
    order = Order.objects.create()
    Delivery.objects.filter(object_id=str(order.pk)).update(delivery_id="dlv_other")
    return Delivery.objects.get(object_id=str(order.pk))


def adopt(delivery, delivery_id):
    """Adopt under the lock, as every caller does."""
    with transaction.atomic():
        return linking.link_and_apply(lock_current(delivery), delivery_id)


def park(delivery, word, *, event_id="wh_1", at=NOON, delivery_id="dlv_1"):
    """Keep an event that came before its delivery was known."""
    document = event(delivery, word, event_id=event_id, at=at)
    document["data"]["deliveryId"] = delivery_id
    return WebhookEvent.objects.create(
        account="default",
        environment="sandbox",
        event_id=event_id,
        type=document["type"],
        body=json.dumps(document),
        kaspi_delivery_id=delivery_id,
        external_order_id=delivery.external_order_id,
        occurred_at=at,
        received_at=NOON,
        state="parked",
    )


def test_a_first_id_is_taken(delivery):
    """It is saved at once."""
    assert adopt(delivery, "dlv_1")
    assert fresh(delivery).delivery_id == "dlv_1"


def test_the_same_id_again_changes_nothing(delivery):
    """Every source may bring it."""
    adopt(delivery, "dlv_1")
    before = fresh(delivery).updated_at
    assert adopt(delivery, "dlv_1")
    assert fresh(delivery).updated_at == before


def test_another_id_is_refused(delivery):
    """A linked id never changes."""
    adopt(delivery, "dlv_1")
    assert not adopt(delivery, "dlv_2")
    assert fresh(delivery).delivery_id == "dlv_1"


@pytest.mark.parametrize("known", ["dlv_1", None])
def test_a_second_parcel_is_flagged(delivery, other, known, caplog):
    """Another id for this delivery, or one that another order has: a person must look."""
    delivery.delivery_id = known
    assert not linking.link(delivery, "dlv_other")
    assert (delivery.delivery_id, delivery.attention) == (known, "second_parcel")
    assert "second parcel" in caplog.text


def test_another_accounts_id_is_free(delivery, other):
    """Ids are a merchant's own."""
    Delivery.objects.filter(pk=other.pk).update(account="almaty")
    assert adopt(delivery, "dlv_other")


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("due", "done"),
        ("unknown", "done"),
        ("stuck", "done"),
        ("refused", "done"),
        ("abandoned", "done"),
        ("sending", "sending"),
        ("done", "done"),
    ],
)
def test_a_link_ends_the_create(delivery, state, after):
    """Only a request that is under way is left to who sends it."""
    ApiCall.objects.update(state=state)
    adopt(delivery, "dlv_1")
    assert ApiCall.objects.get().state == after


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("outcome_unknown", ""),
        ("too_old", ""),
        ("refused", ""),
        ("second_parcel", "second_parcel"),
        ("order_edited", "order_edited"),
    ],
)
def test_a_link_settles_what_was_wrong_with_the_booking(delivery, reason, left):
    """What has nothing to do with it still waits for a person."""
    Delivery.objects.update(attention=reason)
    adopt(delivery, "dlv_1")
    assert fresh(delivery).attention == left


def test_a_link_applies_what_was_parked(delivery):
    """In the order of Kaspi's clock, whatever the order of arrival."""
    later = park(delivery, "in_transit", event_id="wh_2", at=NOON.replace(minute=5))
    sooner = park(delivery, "accepted", event_id="wh_1")
    adopt(delivery, "dlv_1")
    told = list(delivery.history.order_by("pk").values_list("to_status", "applied"))
    assert told == [("accepted", True), ("in_transit", True)]
    assert fresh(delivery).status == "in_transit"
    for row in (fresh(sooner), fresh(later)):
        assert (row.state, row.delivery, row.applied_at) == ("applied", delivery, NOON)


def test_a_link_leaves_what_speaks_of_another_parcel(delivery):
    """Only events of this very id are applied."""
    foreign = park(delivery, "delivered", delivery_id="dlv_2")
    adopt(delivery, "dlv_1")
    assert (fresh(foreign).state, fresh(delivery).status) == ("parked", "")


def test_a_link_sends_a_remembered_cancel(delivery):
    """The wish was kept until there was something to cancel."""
    Delivery.objects.update(cancel_requested_at=NOON, cancel_reason="too late")
    adopt(delivery, "dlv_1")
    assert json.loads(ApiCall.objects.get(kind="cancel").payload) == {"reason": "too late"}


def test_a_cancel_is_not_sent_for_what_has_ended(delivery):
    """The parked event that comes with the link may be its end."""
    Delivery.objects.update(cancel_requested_at=NOON)
    park(delivery, "cancelled")
    adopt(delivery, "dlv_1")
    assert not ApiCall.objects.filter(kind="cancel").exists()


def test_a_parked_event_that_cannot_be_applied_holds_up_nothing(delivery, caplog):
    """Kept by a version that read it otherwise: it fails alone, the others and the link do not."""
    broken = park(delivery, "accepted", event_id="wh_1")
    WebhookEvent.objects.update(body='{"eventId": "wh_1", "note": "+7 701 555 0199"}')
    whole = park(delivery, "in_transit", event_id="wh_2")
    assert adopt(delivery, "dlv_1")
    assert (fresh(broken).state, fresh(whole).state) == ("failed", "applied")
    assert (fresh(delivery).delivery_id, fresh(delivery).status) == ("dlv_1", "in_transit")
    assert "+7 701" not in caplog.text + fresh(broken).error


def test_a_change_that_failed_half_way_leaves_no_trace(delivery, monkeypatch):
    """What the failed event had moved is moved back before anybody saves the delivery."""

    def fail_half_way(locked, *_args):
        locked.status = "delivered"
        locked.save(update_fields=["status"])
        raise ValueError

    monkeypatch.setattr(status, "apply", fail_half_way)
    park(delivery, "accepted")
    with transaction.atomic():
        locked = lock_current(delivery)
        linking.link_and_apply(locked, "dlv_1")
    assert (locked.status, fresh(delivery).status) == ("", "")
