"""Two users, or two saves, at the same delivery."""

import pytest
from django.db import transaction

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotReissue, DeliveryError
from kaspi_delivery_django.models import ApiCall, Delivery
from tests.shop.models import Note, Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.failure_mode("save: many saves")
def test_eight_saves_of_one_order_make_one_delivery(kaspi, at_once):
    """The other transactions are committed all the same."""
    Order.objects.bulk_create([Order()])

    def save():
        with transaction.atomic():
            Order.objects.get().save()
            Note.objects.create(text="the loser's")

    assert at_once(*[save] * 8) == [None] * 8
    assert (Delivery.objects.count(), ApiCall.objects.count(), Note.objects.count()) == (1, 1, 8)


@pytest.mark.failure_mode("cancel: two people")
def test_two_cancels_ask_kaspi_once(booked, drain, kaspi, at_once):
    """Two admins, or a double click."""
    ended = at_once(*[lambda: services.cancel_delivery(booked, reason="out of stock")] * 2)
    assert not any(isinstance(end, Exception) for end in ended)
    drain()
    assert len([r for r in kaspi.requests if r.path.endswith("/cancel")]) == 1
    assert Delivery.objects.get().status == "cancelled"


@pytest.mark.failure_mode("cancel: while the create is open")
def test_a_cancel_beside_the_claim_ends_one_way(due, kaspi, drain, at_once):
    """Withdrawn before it is sent, or booked and then cancelled: never an unwanted parcel."""
    delivery = due.delivery
    at_once(lambda: services.cancel_delivery(delivery, reason="no"), drain)
    drain()
    drain()
    delivery.refresh_from_db()
    assert {record.status for record in kaspi.deliveries.values()} <= {"cancelled"}
    assert delivery.status == "cancelled" or delivery.calls.get().state == "abandoned"


def test_two_users_who_rebook_open_one_generation(lost, at_once):
    """The second reads that there is one already."""
    ended = at_once(*[lambda: services.reissue_delivery(lost, confirmed_absent=True)] * 4)
    assert [type(end) for end in ended].count(Delivery) == 1
    assert [type(end) for end in ended].count(CannotReissue) == 3
    assert sorted(Delivery.objects.values_list("generation", flat=True)) == [1, 2]


@pytest.mark.parametrize(
    "act",
    [
        services.retry_delivery,
        lambda row: services.link_delivery(row, "dlv_1"),
        lambda row: services.acknowledge_delivery(row, confirmed_absent=True),
    ],
    ids=["retry", "link", "acknowledge"],
)
def test_two_users_who_do_the_same_do_it_once(lost, at_once, act):
    """No second row, and no error but one of ours."""
    ended = at_once(*[lambda: act(lost)] * 4)
    assert all(isinstance(end, Delivery | ApiCall | DeliveryError) for end in ended), ended
    assert ApiCall.objects.filter(kind="create").count() == 1
    assert ApiCall.objects.filter(kind="link").count() <= 1


def test_two_replays_apply_an_event_once(dead_letter, booked, at_once):
    """One of them finds it applied."""
    assert set(at_once(*[lambda: services.replay_event(dead_letter)] * 4)) == {"applied"}
    assert booked.history.filter(to_status="accepted").count() == 1
