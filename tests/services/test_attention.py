"""The list that asks for a person: what stays on it, and what may push what aside."""

import pytest

from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import attention
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.shop.models import Order


@pytest.fixture
def delivery(db):
    """Return a delivery that needs nobody."""
    Order.objects.create()
    return Delivery.objects.get()


@pytest.mark.parametrize("later", [*Attention])
def test_a_second_parcel_stays_marked(delivery, later):
    """Nothing is graver."""
    attention.flag(delivery, Attention.SECOND_PARCEL)
    attention.flag(delivery, later)
    assert delivery.attention == Attention.SECOND_PARCEL


@pytest.mark.parametrize("passing", [Attention.CONTRADICTION, Attention.ORDER_EDITED])
def test_what_may_clear_itself_replaces_nothing(delivery, passing):
    """Or the next answer of Kaspi's would clear the graver reason with it."""
    attention.flag(delivery, Attention.CANCEL_REFUSED)
    attention.flag(delivery, passing)
    assert delivery.attention == Attention.CANCEL_REFUSED


def test_a_graver_reason_replaces_a_passing_one(delivery):
    """The person reads what matters."""
    attention.flag(delivery, Attention.ORDER_EDITED)
    attention.flag(delivery, Attention.CANCEL_REFUSED)
    assert delivery.attention == Attention.CANCEL_REFUSED


@pytest.mark.django_db(transaction=True)
def test_the_shop_is_told_once(delivery):
    """After the commit, with the reason."""
    told = []

    def receiver(sender, delivery, attention, **kwargs):
        told.append(attention)

    delivery_needs_attention.connect(receiver)
    attention.flag(delivery, Attention.REFUSED)
    attention.flag(delivery, Attention.REFUSED)
    delivery_needs_attention.disconnect(receiver)
    assert told == ["refused"]
