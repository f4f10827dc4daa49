"""A shop whose code breaks on demand: an adapter, and receivers of the signals."""

from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.shop.adapters import AppOrderAdapter, OrderAdapter

QUESTIONS = ("wants_delivery", "wants_cancel", "cancel_reason", "external_order_id", "account", "build_request")
PHONE = "+7 727 111 0000"
ADDRESSES = ("Abay 1, Almaty", "Satpaev 2, Almaty", "Dostyk 3, Almaty")
PRIVATE = (PHONE, "Aigerim", *(address.split(",")[0] for address in ADDRESSES))


class Mood:
    """Which question the adapter fails on, whether the receivers fail, and where it was asked."""

    question = ""
    receivers = False
    surroundings: ClassVar[set] = set()


def surrounding():
    return get_language(), get_current_timezone_name()


def note(question, order):
    """Note where the adapter is asked; raise, naming a customer's data, when it is to break on this question."""
    Mood.surroundings.add(surrounding())
    if Mood.question == question:
        raise ValueError(f"{order.phone} {order.address}")


def asked(question):
    """Return a method that notes where it is called, and answers as the adapter beneath."""

    def ask(self, order):
        note(question, order)
        return getattr(super(Moody, self), question)(order)

    return ask


class Moody:
    """A careful shop's adapter with a bad day, whose answers read as whoever asks them does."""

    wants_delivery = asked("wants_delivery")
    wants_cancel = asked("wants_cancel")
    cancel_reason = asked("cancel_reason")
    external_order_id = asked("external_order_id")
    account = asked("account")

    def build_request(self, order):
        note("build_request", order)
        request = super().build_request(order)
        text = f"{request.parcel.description}, {surrounding()}"
        return replace(request, parcel=replace(request.parcel, description=text))


class MoodyAdapter(Moody, OrderAdapter):
    """Of orders with a number as their key."""


class MoodyAppAdapter(Moody, AppOrderAdapter):
    """Of orders with a UUID as their key."""


@contextmanager
def listening(notified):
    """Connect receivers that note the changes they took, and raise when they are to."""

    def receive(sender, delivery, **kwargs):
        if Mood.receivers:
            raise ValueError(delivery.dropoff_phone)
        if "change" in kwargs:
            notified.add(kwargs["change"].pk)

    signals = (delivery_created, delivery_status_changed, delivery_needs_attention)
    for signal in signals:
        signal.connect(receive)
    try:
        yield
    finally:
        for signal in signals:
            signal.disconnect(receive)
        Mood.question, Mood.receivers = "", False
        Mood.surroundings.clear()
