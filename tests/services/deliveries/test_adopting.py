"""A delivery that Kaspi had before this app was installed is linked to its order, which is not booked again."""

import pytest

from kaspi_delivery_django.client import UsageError
from kaspi_delivery_django.exceptions import CannotLink, CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import adopt_delivery, cancel_delivery, request_delivery, retry_delivery
from tests.sandbox.conftest import Partner, document
from tests.services.conftest import fresh
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order():
    """Return an order that was saved without a signal."""
    [made] = Order.objects.bulk_create([Order()])
    return made


@pytest.fixture
def by_hand(kaspi):
    """Book as the shop's old code did, under its own names; return Kaspi's id."""
    partner = Partner(kaspi)
    return lambda name: document(partner.create(f"old-code-{name}", externalOrderId=name))["deliveryId"]


@pytest.mark.parametrize("name", ["KZ-1", None])
def test_an_adopted_order_is_linked_and_not_booked(order, by_hand, kaspi, drain, flags, name):
    """Neither when the order is saved again nor when it is adopted twice; the adapter names it by default."""
    delivery_id = by_hand(name or f"order-{order.pk}")
    adopt_delivery(order, delivery_id, external_order_id=name)
    order.save()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.status, delivery.attention) == (delivery_id, "created", "")
    before = len(kaspi.requests)
    assert adopt_delivery(order, delivery_id).delivery_id == delivery_id
    drain()
    assert (list(kaspi.deliveries), len(kaspi.requests), flags) == ([delivery_id], before, [])


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_an_adopted_delivery_is_followed(order, by_hand, kaspi, drain, deliver_webhooks, is_confirmed):
    """Under its old name, also if a webhook comes before the confirmation, which is then no longer needed."""
    delivery_id = by_hand("KZ-1")
    adopt_delivery(order, delivery_id, external_order_id="KZ-1")
    if is_confirmed:
        drain()
    kaspi.move(delivery_id, "accepted")
    deliver_webhooks()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.status) == (delivery_id, "accepted")
    assert delivery.calls.get(kind="link").state == "done"
    assert [request.method for request in kaspi.requests].count("GET") == int(is_confirmed)


def test_an_unconfirmed_delivery_is_flagged_until_it_is_corrected(order, by_hand, kaspi, drain, flags):
    """With a signal to the shop; nothing is booked, and an import may be repeated with a corrected list."""
    adopt_delivery(order, by_hand("KZ-2"), external_order_id="KZ-1")
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.attention, flags) == (None, "outcome_unknown", ["outcome_unknown"])
    assert len(kaspi.deliveries) == 1
    right = by_hand("KZ-1")
    adopt_delivery(order, right, external_order_id="KZ-1")
    drain()
    assert (fresh(delivery).delivery_id, fresh(delivery).attention) == (right, "")


def test_an_order_and_a_name_belong_together(order):
    """An import with another name has a mistake, and two orders cannot share a delivery."""
    adopt_delivery(order, "dlv_1", external_order_id="KZ-1")
    with pytest.raises(CannotLink, match="another delivery"):
        adopt_delivery(order, "dlv_1", external_order_id="KZ-2")
    [other] = Order.objects.bulk_create([Order()])
    with pytest.raises(CannotLink, match="another order has this external_order_id"):
        adopt_delivery(other, "dlv_2", external_order_id="KZ-1")


def test_a_retry_never_books_an_adopted_order(order):
    """Kaspi may have forgotten its key: a POST could book a second parcel."""
    delivery = adopt_delivery(order, "dlv_1")
    ApiCall.objects.filter(kind="link").delete()
    with pytest.raises(CannotRetry, match="too old to be safe"):
        retry_delivery(delivery)


def test_a_pending_booking_is_not_adopted(order):
    """It would become a second parcel."""
    request_delivery(order)
    with pytest.raises(CannotLink, match="another delivery"):
        adopt_delivery(order, "dlv_1")
    assert not ApiCall.objects.filter(kind="link").exists()


def test_an_invalid_id_adds_no_row(order, monkeypatch):
    """Nor does an invalid name, or a failing adapter."""
    with pytest.raises(CannotLink):
        adopt_delivery(order, "дост-1")
    with pytest.raises(UsageError):
        adopt_delivery(order, "dlv_1", external_order_id="заказ-1")
    monkeypatch.setattr(adapters.OrderAdapter, "account", adapters.NowhereAdapter.account)
    with pytest.raises(CannotLink, match="adapter failed"):
        adopt_delivery(order, "dlv_1")
    assert not Delivery.objects.exists()


def test_a_cancel_waits_for_the_confirmation(order, by_hand, drain):
    """It is sent then."""
    cancel_delivery(adopt_delivery(order, by_hand("KZ-1"), external_order_id="KZ-1"))
    drain()
    drain()
    assert Delivery.objects.get().status == "cancelled"
