"""A shop whose code breaks when it is told to: an adapter, and receivers of the signals."""

from contextlib import contextmanager

from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.shop.kaspi import OrderAdapter

QUESTIONS = ("wants_delivery", "wants_cancel", "cancel_reason", "external_order_id", "account", "build_request")
PHONE = "+7 727 111 0000"
ADDRESSES = ("Abay 1, Almaty", "Satpaev 2, Almaty", "Dostyk 3, Almaty")
PRIVATE = (PHONE, "Aigerim", *(address.split(",")[0] for address in ADDRESSES))


class Mood:
    """Which question the adapter fails on, and whether the receivers fail."""

    question = ""
    receivers = False


def complain(question, order):
    """Raise, naming a customer's data, when the adapter is to break on this question."""
    if Mood.question == question:
        raise ValueError(f"{order.phone} {order.address}")


class MoodyAdapter(OrderAdapter):
    """A careful shop's adapter with a bad day."""

    def wants_delivery(self, order):
        complain("wants_delivery", order)
        return super().wants_delivery(order)

    def wants_cancel(self, order):
        complain("wants_cancel", order)
        return super().wants_cancel(order)

    def cancel_reason(self, order):
        complain("cancel_reason", order)
        return super().cancel_reason(order)

    def external_order_id(self, order):
        complain("external_order_id", order)
        return super().external_order_id(order)

    def account(self, order):
        complain("account", order)
        return super().account(order)

    def build_request(self, order):
        complain("build_request", order)
        return super().build_request(order)


@contextmanager
def listening(told):
    """Connect receivers that note the changes they took, and raise when they are to."""

    def hear(sender, delivery, **kwargs):
        if Mood.receivers:
            raise ValueError(delivery.dropoff_phone)
        if "change" in kwargs:
            told.add(kwargs["change"].pk)

    signals = (delivery_created, delivery_status_changed, delivery_needs_attention)
    for signal in signals:
        signal.connect(hear)
    try:
        yield
    finally:
        for signal in signals:
            signal.disconnect(hear)
        Mood.question, Mood.receivers = "", False
