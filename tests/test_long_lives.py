"""Lives that take long: every order in which events, and the worker between them, may come; a day without webhooks."""

from datetime import timedelta

import pytest
from django.db import connection

from kaspi_delivery_django.models import Delivery, StatusChange
from tests.conftest import NOON, event
from tests.services.conftest import fresh
from tests.shop.models import Order

LIFE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")
WORKER = "the worker's round"
MISMATCH = "a type and a status that differ"
CASES = [
    ("delivered", ("accepted", "in_transit", "cancelled", "delivered", WORKER)),
    ("cancelled", ("accepted", "in_transit", "cancelled", "delivered")),
    ("delivered", ("in_transit", "cancelled", "delivered", WORKER, WORKER)),
    ("delivered", ("accepted", MISMATCH, "delivered", WORKER)),
    ("cancelled", ("accepted", MISMATCH, "cancelled", WORKER)),
    ("delivered", ("in_transit", "cancelled", MISMATCH, "delivered")),
    ("in_transit", ("accepted", "in_transit", MISMATCH, WORKER)),
]


def every_order(arrive, coming, arrived=()):
    """Try every order of what is coming, undo each, and yield it when all has arrived."""
    if not coming:
        yield arrived
    for what in sorted(set(coming)):
        rest = list(coming)
        rest.remove(what)
        savepoint = connection.savepoint()
        arrive(what)
        yield from every_order(arrive, rest, (*arrived, what))
        connection.savepoint_rollback(savepoint)


@pytest.mark.django_db
@pytest.mark.failure_mode("status: any order of events")
def test_every_order_of_six_events_ends_the_same(booked, post_webhook):
    """A life and a repeated step, half of them twice: one end, a complete history, and no step backwards."""

    def arrive(what):
        word, *again = what.split()
        place = LIFE.index(word)
        document = event(booked, word, event_id=f"wh_{place}{len(again)}", at=NOON + timedelta(minutes=place))
        for _ in range(1 + place % 2):
            assert post_webhook(document).status_code == 200

    for arrived in every_order(arrive, (*LIFE, "accepted again")):
        steps = list(booked.history.order_by("pk").values_list("to_status", "applied"))
        found = (fresh(booked).status, sorted(word for word, _applied in steps))
        assert found == ("delivered", sorted(LIFE)), arrived
        applied = [word for word, is_applied in steps if is_applied]
        assert applied == sorted(applied, key=LIFE.index), arrived


@pytest.mark.django_db
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_order_of_contradictions_ends_the_same(booked, kaspi, post_webhook, drain, fake_clock, case):
    """One status, no flag left, and each status once: a GET that was asked for is sent, whatever came meanwhile."""
    began, (truth, arrivals) = fake_clock.now, case

    def arrive(what):
        if what == WORKER:
            drain()
        elif what == MISMATCH:
            post_webhook(event(booked, "delivered", event_id="wh_mismatch", type="delivery.out_for_delivery"))
        else:
            post_webhook(event(booked, what, event_id=f"wh_{what}"))

    kaspi.move(booked.delivery_id, truth)
    statuses = {"delivered" if what == MISMATCH else what for what in arrivals} - {WORKER}
    expected = (truth, "", sorted({"created", truth, *statuses}))
    for arrived in every_order(arrive, arrivals):
        for _ in range(4):
            drain()
            fake_clock.advance(hours=1)
        fake_clock.now, found = began, fresh(booked)
        steps = sorted(booked.history.values_list("to_status", flat=True))
        assert (found.status, found.attention, steps) == expected, arrived


@pytest.mark.django_db(transaction=True)
@pytest.mark.failure_mode("refresh: Kaspi is silent")
def test_a_day_without_webhooks_is_made_up_for_in_one_round(kaspi, drain, fake_clock):
    """Every status is restored, with each step once; another day of silence adds nothing."""
    ways = {end: ["created", *LIFE[1 : LIFE.index(end) + 1]] for end in LIFE[1:]}
    ways["cancelled"] = ["created", "cancelled"]
    for _ in ways:
        Order.objects.create()
    drain()
    kaspi.webhook_url = None
    for delivery, way in zip(Delivery.objects.order_by("pk"), ways.values(), strict=True):
        for status in way[1:]:
            fake_clock.advance(hours=1)
            kaspi.move(delivery.delivery_id, status, fake_clock.timestamp())
    fake_clock.now = NOON + timedelta(hours=24)
    for _ in range(2):
        drain()
        history = {d.status: [c.to_status for c in d.history.order_by("at", "pk")] for d in Delivery.objects.all()}
        assert history == ways
        fake_clock.advance(hours=24)
    assert StatusChange.objects.count() == sum(map(len, ways.values()))
