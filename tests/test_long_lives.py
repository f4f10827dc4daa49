"""Lives that take long: every order of six events, and a day without webhooks."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services.inbox import receiving
from tests.conftest import NOON, event
from tests.shop.models import Order

LIFE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")


def receive(document):
    body = json.dumps(document).encode()
    return receiving.receive(conf.account("default"), read_event(body), body)


def ends(delivery, arrived, coming):
    """Try every order of what is coming, one half of it twice; yield what arrived, and how it ended."""
    if not coming:
        delivery.refresh_from_db()
        steps = list(delivery.history.order_by("pk").values_list("to_status", "applied"))
        yield arrived, delivery.status, steps
    for number, word in coming:
        document = event(delivery, word, event_id=f"wh_{number}", at=NOON + timedelta(minutes=number))
        savepoint = connection.savepoint()
        for _ in range(1 + number % 2):
            assert receive(document) in {"applied", "noted"}
        yield from ends(delivery, (*arrived, word), [one for one in coming if one != (number, word)])
        connection.savepoint_rollback(savepoint)


@pytest.mark.django_db
@pytest.mark.failure_mode("status: any order of events")
def test_every_order_of_six_events_ends_the_same(booked):
    """All 720 permutations of a life and a repeated step: one end, a complete history, and no step backwards."""
    found = list(ends(booked, (), list(enumerate((*LIFE, "accepted")))))
    assert len(found) == 720
    for arrived, status, steps in found:
        assert (status, sorted(word for word, _applied in steps)) == ("delivered", sorted(LIFE)), arrived
        applied = [word for word, is_applied in steps if is_applied]
        assert applied == sorted(applied, key=LIFE.index), arrived


@pytest.mark.django_db(transaction=True)
@pytest.mark.failure_mode("refresh: Kaspi is silent")
def test_a_day_without_webhooks_is_made_up_for_in_one_round(kaspi, drain, turnable):
    """Every status is restored, with each step once; another day of silence adds nothing."""
    final = ("accepted", "in_transit", "out_for_delivery", "delivered", "cancelled")
    for _ in final:
        Order.objects.create()
    drain()
    kaspi.webhook_url = None
    for delivery, end in zip(Delivery.objects.order_by("pk"), final, strict=True):
        for status in _way_to(end):
            turnable.turn(hours=1)
            kaspi.move(delivery.delivery_id, status, turnable.timestamp())
    turnable.now = NOON + timedelta(hours=24)
    drain()
    assert list(Delivery.objects.order_by("pk").values_list("status", flat=True)) == list(final)
    history = {d.status: [c.to_status for c in d.history.order_by("at", "pk")] for d in Delivery.objects.all()}
    assert history == {end: ["created", *_way_to(end)] for end in final}
    turnable.turn(hours=24)
    drain()
    assert StatusChange.objects.count() == sum(len(steps) for steps in history.values())


def _way_to(end):
    return ["cancelled"] if end == "cancelled" else list(LIFE[1 : LIFE.index(end) + 1])
