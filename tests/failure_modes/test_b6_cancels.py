"""B6: cancelling."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def cancels(kaspi):
    """Return the POSTs that cancel."""
    return [request for request in kaspi.requests if request.path.endswith("/cancel")]


def test_b6_before_anything_was_sent_it_is_abandoned_without_http(kaspi, drain):
    """Kaspi never hears of the order."""
    Order.objects.create()
    cancel_delivery(Delivery.objects.get())
    drain()
    assert ApiCall.objects.get().state == "abandoned"
    assert kaspi.requests == []


def test_b6_while_the_create_is_unknown_the_wish_is_remembered(attempt, kaspi, drain, turnable):
    """The create is resolved first."""
    call = attempt(drop="after")
    cancel_delivery(call.delivery, reason="no")
    assert cancels(kaspi) == []
    turnable.turn(minutes=1)
    drain()
    drain()
    assert len(cancels(kaspi)) == 1
    assert Delivery.objects.get().status == "cancelled"


def test_b6_200_judges_the_returned_status(booked, kaspi, drain, turnable):
    """Accepted is not cancelled yet: a GET or a webhook brings the end."""
    kaspi.cancel_is_slow = True
    cancel_delivery(booked)
    drain()
    assert Delivery.objects.get().status == "created"
    kaspi.move(booked.delivery_id, "cancelled")
    turnable.turn(minutes=1)
    drain()
    assert Delivery.objects.get().status == "cancelled"


@pytest.mark.parametrize(("status", "attention"), [("in_transit", "cancel_refused"), ("cancelled", "")])
def test_b6_409_is_decided_by_a_get(booked, kaspi, drain, status, attention):
    """In transit, or cancelled already."""
    kaspi.webhook_url = None
    kaspi.move(booked.delivery_id, status)
    cancel_delivery(booked)
    drain()
    drain()
    assert (Delivery.objects.get().status, Delivery.objects.get().attention) == (status, attention)


def test_b6_a_timeout_asks_first_and_posts_once_more(booked, kaspi, drain, turnable):
    """The same key and bytes; then a person."""
    kaspi.faults.add(Fault(operation="cancel", latency_s=60, times=None, drop="before"))
    cancel_delivery(booked)
    for _ in range(5):
        drain()
        turnable.turn(minutes=5)  # less than REFRESH_AFTER, whose GET would come in between
    posts = cancels(kaspi)
    assert len(posts) == 2
    assert len({(post.idempotency_key, post.body) for post in posts}) == 1
    kinds = [request.method for request in kaspi.requests[1:4]]
    assert kinds == ["POST", "GET", "POST"]
    assert ApiCall.objects.get(kind="cancel").state == "stuck"


def test_b6_two_admins_and_a_double_click_post_once(booked, kaspi, drain, at_once):
    """Whoever is second finds the call."""
    at_once(*[lambda: cancel_delivery(booked, reason="no")] * 2)
    drain()
    cancel_delivery(booked, reason="no")
    drain()
    assert len(cancels(kaspi)) == 1


def test_b6_404_never_means_cancelled(booked, kaspi, drain):
    """A person looks."""
    kaspi.faults.add(Fault(operation="cancel", status=404))
    cancel_delivery(booked)
    drain()
    assert Delivery.objects.get().status == "created"
    assert Delivery.objects.get().attention == "not_found"
