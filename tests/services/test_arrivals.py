"""Every order in which webhooks, and the worker between them, may come: one end for all of them."""

import pytest
from django.db import connection

from tests.conftest import event
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db

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


@pytest.fixture
def arrive(booked, post_webhook, drain):
    def happen(what):
        if what == WORKER:
            drain()
        elif what == MISMATCH:
            post_webhook(event(booked, "delivered", event_id="wh_mismatch", type="delivery.out_for_delivery"))
        else:
            post_webhook(event(booked, what, event_id=f"wh_{what}"))

    return happen


@pytest.fixture
def end(booked, drain, turnable):
    """Let the worker do all that it does by itself today; return what staff and the customer see then."""

    def see():
        began = turnable.now
        for _ in range(4):
            drain()
            turnable.turn(hours=1)
        turnable.now = began
        found, steps = fresh(booked), booked.history.values_list("to_status", flat=True)
        return found.status, found.attention, sorted(steps)

    return see


def ends_of(arrive, end, arrived, coming):
    """Try every order of what is coming, undo each, and yield how it ended."""
    if not coming:
        yield end(), arrived
    for what in sorted(set(coming)):
        rest = list(coming)
        rest.remove(what)
        savepoint = connection.savepoint()
        arrive(what)
        yield from ends_of(arrive, end, (*arrived, what), rest)
        connection.savepoint_rollback(savepoint)


@pytest.mark.parametrize(("truth", "arrivals"), CASES, ids=str)
def test_every_order_of_arrival_ends_the_same(booked, kaspi, arrive, end, truth, arrivals):
    """One status, no flag left, and each status once: a GET that was asked for is sent, whatever came meanwhile."""
    kaspi.move(booked.delivery_id, truth)
    statuses = {"delivered" if what == MISMATCH else what for what in arrivals} - {WORKER}
    expected = (truth, "", sorted({"created", truth, *statuses}))
    wrong = [found for found in ends_of(arrive, end, (), arrivals) if found[0] != expected]
    assert wrong[:3] == []
