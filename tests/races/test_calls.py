"""Many workers for one call; many calls, each once."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import circuit_breaker, claims
from kaspi_delivery_django.services.outbox.circuit_breaker import Breaker
from kaspi_delivery_django.services.outbox.leases import Claim
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import record_late
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 8


@pytest.fixture(params=["skip locked", "wait"])
def locking(request, monkeypatch):
    """With SKIP LOCKED, and without: it only makes claims faster."""
    if request.param == "wait":
        monkeypatch.setattr(type(connection.features), "has_select_for_update_skip_locked", False)


def work():
    Worker(log=lambda _line: None).run_until_idle()


@pytest.mark.failure_mode("claim: two workers")
def test_one_of_eight_workers_gets_the_claim(due, at_once, locking):
    """The conditional UPDATE decides."""
    found = at_once(*[lambda: claims.claim(due.pk)] * WORKERS)
    assert [isinstance(claim, Claim) for claim in found].count(True) == 1
    assert [claim is None for claim in found].count(True) == WORKERS - 1
    due.refresh_from_db()
    assert (due.state, due.attempts) == ("sending", 1)


@pytest.mark.failure_mode("claim: two workers")
def test_eight_workers_book_each_order_once(kaspi, at_once, locking, fake_clock):
    """As many POSTs as orders, as many parcels as orders.

    An answer that two deadlocks in a row have kept from being recorded is asked for again, with the same key.
    """
    orders = [Order.objects.create() for _ in range(16)]
    assert at_once(*[work] * WORKERS) == [None] * WORKERS
    work()
    assert len(kaspi.requests) == len(orders)
    fake_clock.advance(minutes=2)  # longer than a lease
    work()
    assert {len(kaspi.deliveries_for(f"order-{order.pk}")) for order in orders} == {1}
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"done"}


@pytest.mark.failure_mode("claim: a late owner")
def test_a_claim_that_was_taken_over_links_once(due, kaspi, drain, fake_clock, at_once):
    """The first sender records late, beside the second: one id, and neither answer is lost."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    first = claims.claim(due.pk)
    fake_clock.advance(minutes=2)
    drain()
    fake_clock.advance(minutes=2)
    ApiCall.objects.update(state="unknown", next_attempt_at=fake_clock.now)
    second = claims.claim(due.pk)
    [record] = kaspi.deliveries.values()
    answer = RemoteDelivery(delivery_id=record.delivery_id, status="created")
    ended = at_once(*[lambda claim=claim: record_late(claim, answer) for claim in (first, second)])
    assert ended == [None, None]
    assert Delivery.objects.get().delivery_id == record.delivery_id
    assert ApiCall.objects.get().state == "done"
    assert Delivery.objects.get().history.count() == 1


@pytest.mark.failure_mode("request: the gate reopens")
def test_one_of_eight_gets_the_trial_call(due, fake_clock, at_once):
    """The others wait for its answer."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="a 401")
    fake_clock.advance(seconds=1)
    found = at_once(*[lambda: circuit_breaker.admit(due.delivery, fake_clock.now)] * WORKERS)
    assert sorted(found, key=str) == [Breaker.HALF_OPEN, *[Breaker.OPEN] * (WORKERS - 1)]
    assert AccountState.objects.get().closed_until > fake_clock.now


@pytest.mark.failure_mode("request: the gate reopens")
def test_a_breaker_that_eight_open_at_once_is_open(due, fake_clock, at_once):
    """The first writes the account's row; the others find it, or get a deadlock."""
    until = fake_clock.now + timedelta(minutes=5)

    def close():
        run_in_transaction(lambda: circuit_breaker.trip(Delivery.objects.get(), until=until, reason="a 429"))

    ended = at_once(*[close] * WORKERS)
    assert None in ended
    assert all(end is None or isinstance(end, OperationalError) for end in ended)
    assert circuit_breaker.admit(due.delivery, fake_clock.now) is Breaker.OPEN
