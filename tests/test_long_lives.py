"""Lives that take long: a day at the boundary of a key, every order of six events, a day without webhooks."""

from datetime import timedelta
from itertools import permutations

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import inbox
from tests.conftest import NOON, event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LIFE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")


def creates(kaspi):
    """Return the POSTs that would book."""
    return [request for request in kaspi.requests if request.path.endswith("/deliveries")]


@pytest.fixture
def lost(kaspi, drain, turnable):
    """Return the create of an order that Kaspi has booked, while its answer was lost."""
    kaspi.webhook_url = None
    kaspi.faults.add(Fault(operation="create", drop="after"))
    Order.objects.create()
    drain()
    call = ApiCall.objects.get()
    assert (call.state, call.unknown_since) == ("unknown", turnable.now)
    return call


@pytest.mark.failure_mode("create: 23 hours have passed")
def test_just_before_23_hours_the_same_bytes_go_once_more(lost, kaspi, drain, turnable):
    """The key is still known at Kaspi: the replay answers, and there is one parcel."""
    turnable.turn(hours=22, minutes=59)
    drain()
    first, second = creates(kaspi)
    assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)
    assert len(kaspi.deliveries) == 1
    assert Delivery.objects.get().delivery_id


@pytest.mark.failure_mode("create: 23 hours have passed")
def test_at_23_hours_nothing_goes_and_a_person_is_asked(lost, kaspi, drain, turnable):
    """An hour later Kaspi would have forgotten the key, and would book a second parcel."""
    turnable.turn(hours=23)
    drain()
    turnable.turn(days=3)
    drain()
    lost.refresh_from_db()
    assert len(creates(kaspi)) == 1
    assert (lost.state, lost.next_attempt_at) == ("stuck", None)
    assert Delivery.objects.get().attention == "outcome_unknown"


@pytest.mark.failure_mode("status: any order of events")
def test_every_order_of_six_events_ends_the_same(booked):
    """All 720 permutations of a life and a repeated step, half of them twice: one end, a complete history."""
    account = conf.account("default")
    letters = [_letter(booked, number, status) for number, status in enumerate((*LIFE, "accepted"))]
    for order in permutations(letters):
        _start_over(booked)
        for letter in (*order, *order[::2]):
            inbox.receive(account, read_event(letter), letter)
        booked.refresh_from_db()
        steps = list(booked.history.values_list("to_status", flat=True))
        assert (booked.status, sorted(steps)) == ("delivered", sorted(LIFE))
        applied = booked.history.filter(applied=True).order_by("pk").values_list("to_status", flat=True)
        assert list(applied) == sorted(applied, key=LIFE.index)
        counts = set(WebhookEvent.objects.values_list("state", "received_count"))
        assert counts <= {(state, count) for state in ("applied", "noted") for count in (1, 2)}


@pytest.mark.failure_mode("refresh: Kaspi is silent")
def test_a_day_without_webhooks_is_made_up_for_in_one_round(kaspi, drain, turnable):
    """Every status is restored, with each step once; another day of silence adds nothing."""
    ends = ("accepted", "in_transit", "out_for_delivery", "delivered", "cancelled")
    for _ in ends:
        Order.objects.create()
    drain()
    kaspi.webhook_url = None
    for delivery, end in zip(Delivery.objects.order_by("pk"), ends, strict=True):
        for status in _way_to(end):
            turnable.turn(hours=1)
            kaspi.move(delivery.delivery_id, status, turnable.timestamp())
    turnable.now = NOON + timedelta(hours=24)
    drain()
    assert list(Delivery.objects.order_by("pk").values_list("status", flat=True)) == list(ends)
    history = {d.status: [c.to_status for c in d.history.order_by("at", "pk")] for d in Delivery.objects.all()}
    assert history == {end: ["created", *_way_to(end)] for end in ends}
    turnable.turn(hours=24)
    drain()
    assert StatusChange.objects.count() == sum(len(steps) for steps in history.values())


def _letter(delivery, number, status):
    at = NOON + timedelta(minutes=number)
    document = event(delivery, status, event_id=f"wh_{number}", at=at)
    return repr(document).replace("'", '"').encode()


def _start_over(delivery):
    WebhookEvent.objects.all().delete()
    StatusChange.objects.exclude(to_status="created").delete()
    Delivery.objects.update(status="created", status_at=NOON, attention="", next_refresh_at=None)


def _way_to(end):
    return ["cancelled"] if end == "cancelled" else list(LIFE[1 : LIFE.index(end) + 1])
