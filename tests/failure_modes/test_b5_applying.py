"""B5: applying news to a delivery."""

import pytest
from django.db import connection

from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.signals import delivery_status_changed
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def post_webhook(post_webhook, booked, settings):
    """Post webhooks in a project whose web processes send the signals themselves."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    return post_webhook


@pytest.fixture
def hear():
    """Connect a receiver for the test."""
    connected = []

    def connect(receiver):
        connected.append(receiver)
        delivery_status_changed.connect(receiver, weak=False)

    yield connect
    for receiver in connected:
        delivery_status_changed.disconnect(receiver)


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00Z", "2019-12-31T23:59:59Z", "2026-03-02T12:00:01Z", "2026-03-01T12:00:00"]
)
def test_b5_a_time_that_cannot_be_true_is_replaced_and_noted(booked, post_webhook, turnable, stamp):
    """From 2020 to a day ahead, and aware: else the time of arrival."""
    letter = event(booked, "accepted")
    letter["data"]["timestamp"] = stamp
    assert post_webhook(letter).json() == {"status": "applied"}
    change = StatusChange.objects.get(to_status="accepted")
    assert change.at == turnable.now
    assert "cannot be true" in change.note


def test_b5_contradictory_ends_are_decided_by_a_refresh(booked, kaspi, post_webhook, drain):
    """Kaspi's own answer."""
    kaspi.move(booked.delivery_id, "delivered")
    post_webhook(event(booked, "cancelled", event_id="wh_1"))
    assert post_webhook(event(booked, "delivered", event_id="wh_2")).json() == {"status": "conflict"}
    assert Delivery.objects.get().attention == "contradiction"
    drain()
    assert (Delivery.objects.get().status, Delivery.objects.get().attention) == ("delivered", "")


def test_b5_a_receiver_that_raises_changes_nothing_and_is_told_again(booked, post_webhook, drain, turnable, hear):
    """By the worker."""
    troubles = [ValueError(), None]

    def receiver(**_kwargs):
        if trouble := troubles.pop(0):
            raise trouble

    hear(receiver)
    assert post_webhook(event(booked, "accepted")).status_code == 200
    assert Delivery.objects.get().status == "accepted"
    turnable.turn(minutes=2)
    drain()
    assert troubles == []


def test_b5_receivers_run_after_the_commit(booked, post_webhook, hear):
    """What they read is true, and nothing that they do can undo it."""
    inside = []
    hear(lambda **_kwargs: inside.append(connection.in_atomic_block))
    post_webhook(event(booked, "accepted"))
    assert inside == [False]


def test_b5_a_receiver_that_sleeps_while_kaspi_sends_again_changes_nothing(booked, post_webhook, hear):
    """No lock is held meanwhile: the second copy is answered at once, and takes no effect."""
    letter, answers = event(booked, "accepted"), []
    hear(lambda **_kwargs: answers.append(post_webhook(letter).status_code))
    assert post_webhook(letter).status_code == 200
    assert answers == [200]
    assert StatusChange.objects.filter(to_status="accepted").count() == 1


def test_b5_a_receiver_that_saves_the_order_does_not_recurse(booked, post_webhook, hear):
    """It is told once."""
    told = []

    def receiver(change, **_kwargs):
        told.append(change.to_status)
        Order.objects.get().save()

    hear(receiver)
    post_webhook(event(booked, "accepted"))
    assert told == ["accepted"]
    assert Delivery.objects.count() == 1
