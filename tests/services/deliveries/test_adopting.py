"""What was booked before this app came is followed, and not booked again."""

import json

import pytest

from kaspi_delivery_django.client import UsageError
from kaspi_delivery_django.exceptions import CannotLink, CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import adopt_delivery, cancel_delivery, request_delivery, retry_delivery
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.sandbox.conftest import REQUEST
from tests.services.conftest import fresh
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def order():
    """Return an order that no signal told of."""
    [made] = Order.objects.bulk_create([Order()])
    return made


@pytest.fixture
def by_hand(kaspi, settings):
    """Book with Kaspi as the shop's old code did, under names of its own; return Kaspi's id."""

    def book(name):
        headers = {
            "x-api-key": settings.KASPI_DELIVERY["API_KEY"],
            "Idempotency-Key": f"old-code-{name}",
            "Content-Type": "application/json",
        }
        body = json.dumps({**REQUEST, "externalOrderId": name}).encode()
        return json.loads(kaspi.handle("POST", "/v1/deliveries", headers, body).body)["deliveryId"]

    return book


@pytest.fixture
def told():
    """Return the reasons that the shop is told of."""
    reasons = []

    def receiver(attention, **_kwargs):
        reasons.append(attention)

    delivery_needs_attention.connect(receiver)
    yield reasons
    delivery_needs_attention.disconnect(receiver)


def test_it_is_followed_and_not_booked(order, by_hand, kaspi, drain):
    """Neither now, nor when the order is saved again."""
    delivery_id = by_hand("KZ-1")
    adopt_delivery(order, delivery_id, external_order_id="KZ-1")
    order.save()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.status, delivery.attention) == (delivery_id, "created", "")
    assert list(kaspi.deliveries) == [delivery_id]


def test_without_a_name_the_adapter_says_it(order, by_hand, drain):
    """For a shop whose own code named its orders as this app does."""
    adopt_delivery(order, by_hand(f"order-{order.pk}"))
    drain()
    assert Delivery.objects.get().status == "created"


def test_what_kaspi_does_not_confirm_waits_for_a_person(order, by_hand, kaspi, drain, told):
    """A wrong id is shown, the shop is told, and nothing is booked."""
    adopt_delivery(order, by_hand("KZ-2"), external_order_id="KZ-1")
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.attention, told) == (None, "outcome_unknown", ["outcome_unknown"])
    assert len(kaspi.deliveries) == 1


def test_what_kaspi_confirms_troubles_nobody(order, by_hand, drain, told):
    """An import of many is not an alarm for each."""
    adopt_delivery(order, by_hand("KZ-1"), external_order_id="KZ-1")
    drain()
    assert not told


def test_another_name_is_another_delivery(order):
    """An order is adopted under one name; a list that now has another one is wrong somewhere."""
    adopt_delivery(order, "dlv_1", external_order_id="KZ-1")
    with pytest.raises(CannotLink, match="another delivery"):
        adopt_delivery(order, "dlv_1", external_order_id="KZ-2")


def test_it_is_never_sent_by_a_retry(order):
    """Its key may be forgotten: another POST could be a second parcel."""
    delivery = adopt_delivery(order, "dlv_1")
    ApiCall.objects.filter(kind="link").delete()
    with pytest.raises(CannotRetry, match="too old to be safe"):
        retry_delivery(delivery)


def test_a_wrong_id_is_corrected_by_adopting_again(order, by_hand, drain):
    """An import may be repeated after its list was mended."""
    adopt_delivery(order, by_hand("KZ-2"), external_order_id="KZ-1")
    drain()
    right = by_hand("KZ-1")
    adopt_delivery(order, right, external_order_id="KZ-1")
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.attention) == (right, "")


def test_adopting_twice_asks_nothing_more(order, by_hand, kaspi, drain):
    """What is linked stays linked."""
    delivery_id = by_hand("KZ-1")
    adopt_delivery(order, delivery_id, external_order_id="KZ-1")
    drain()
    before = len(kaspi.requests)
    assert adopt_delivery(order, delivery_id).delivery_id == delivery_id
    drain()
    assert len(kaspi.requests) == before


def test_what_this_app_is_booking_is_not_adopted(order):
    """Its own booking would go on, and be a second parcel."""
    request_delivery(order)
    with pytest.raises(CannotLink, match="another delivery"):
        adopt_delivery(order, "dlv_1")
    assert not ApiCall.objects.filter(kind="link").exists()


def test_a_name_is_taken_once(order, by_hand):
    """Two orders cannot be one parcel."""
    adopt_delivery(order, "dlv_1", external_order_id="KZ-1")
    [other] = Order.objects.bulk_create([Order()])
    with pytest.raises(CannotLink, match="another order has this external_order_id"):
        adopt_delivery(other, "dlv_2", external_order_id="KZ-1")


def test_what_cannot_be_an_id_leaves_no_row(order):
    """A typing error in the list changes nothing."""
    with pytest.raises(CannotLink):
        adopt_delivery(order, "дост-1")
    with pytest.raises(UsageError):
        adopt_delivery(order, "dlv_1", external_order_id="заказ-1")
    assert not Delivery.objects.exists()


def test_an_adapter_that_fails_is_named(order, monkeypatch):
    """The line that raised, as everywhere."""
    monkeypatch.setattr(adapters.OrderAdapter, "account", adapters.NowhereAdapter.account)
    with pytest.raises(CannotLink, match="adapter failed"):
        adopt_delivery(order, "dlv_1")


def test_a_webhook_may_be_faster_than_our_question(order, by_hand, kaspi, drain, deliver_webhooks):
    """Kaspi's word about the old name is taken as soon as the order is adopted."""
    delivery_id = by_hand("KZ-1")
    adopt_delivery(order, delivery_id, external_order_id="KZ-1")
    kaspi.move(delivery_id, "accepted")
    deliver_webhooks()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.status) == (delivery_id, "accepted")


def test_a_cancel_waits_for_the_confirmation(order, by_hand, kaspi, drain):
    """And is sent then."""
    delivery_id = by_hand("KZ-1")
    cancel_delivery(adopt_delivery(order, delivery_id, external_order_id="KZ-1"))
    drain()
    drain()
    assert fresh(Delivery.objects.get()).status == "cancelled"
