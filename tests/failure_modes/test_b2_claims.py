"""B2: who may send a call, and what becomes of it when the sender dies."""

import pytest
from django.db import DataError, transaction

from kaspi_delivery_django.client import Refused, Timeouts
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import claims, results, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.shop.models import Order
from tests.storm import test_sigterm

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claim(kaspi):
    """Return a claim of an order's create."""
    Order.objects.create()
    return claims.claim(ApiCall.objects.get().pk, using="default")


def test_b2_of_two_workers_one_gets_the_row(kaspi, at_once):
    """Whoever comes first."""
    Order.objects.create()
    key = ApiCall.objects.get().pk
    found = at_once(*[lambda: claims.claim(key, using="default")] * 2)
    assert [taken is None for taken in found].count(True) == 1


def test_b2_the_conditional_update_decides(kaspi, turnable):
    """Even without the lock: what somebody else has claimed since it was read is not leased again."""
    Order.objects.create()
    read_before = ApiCall.objects.get()
    taken = claims.claim(read_before.pk, using="default")
    assert not claims._lease(read_before, taken.account, turnable.now)
    assert ApiCall.objects.get().claim_token == taken.call.claim_token


def test_b2_a_dead_workers_lease_ends_in_unknown(claim, turnable):
    """Never in due: it may have booked."""
    turnable.turn(seconds=61)
    assert sender.release_expired() == 1
    assert ApiCall.objects.get().state == "unknown"
    assert ApiCall.objects.get().unknown_since


def test_b2_the_lease_outlives_three_deadlines():
    """Nobody takes over what may still be answered."""
    assert claims.LEASE.total_seconds() >= 3 * Timeouts().total_s


def test_b2_a_late_owner_changes_nothing_but_brings_the_id(claim, turnable, drain, kaspi):
    """Fenced by the token; a deliveryId is never thrown away."""
    answer = sender.transmit(claim, None)
    turnable.turn(seconds=61)
    sender.release_expired()
    run_in_transaction(lambda: results.record(claim, answer, 0.5, using="default"), using="default")
    assert Delivery.objects.get().delivery_id == answer.delivery_id
    drain()
    assert len(kaspi.deliveries) == 1


def test_b2_a_late_owners_failure_changes_nothing(claim, turnable):
    """The next owner's claim stands."""
    turnable.turn(seconds=61)
    sender.release_expired()
    second = claims.claim(claim.call.pk, using="default")
    late = Refused("no", status=422)
    run_in_transaction(lambda: results.record(claim, late, 0.5, using="default"), using="default")
    call = ApiCall.objects.get()
    assert (call.state, call.claim_token) == ("sending", second.call.claim_token)


def test_b2_claim_and_settle_are_durable(claim, monkeypatch, turnable):
    """They never hide inside somebody's transaction: the rows must be there when the bytes leave."""
    ApiCall.objects.update(state="due", claim_token="", next_attempt_at=turnable.now)
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        claims.claim(claim.call.pk, using="default")
    monkeypatch.setattr(claims, "claim", lambda *_args, **_options: claim)
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        sender.send(claim.call.pk)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "second", "last"])
def test_b2_a_poison_row_does_not_stop_the_batch(kaspi, monkeypatch, place):
    """The others go; it asks for staff, because its data would be refused in every round."""
    for _ in range(3):
        Order.objects.create()
    troubles = [DataError() if number == place else None for number in range(3)]
    send = sender.send

    def poisoned(key):
        if trouble := troubles.pop(0):
            raise trouble
        return send(key)

    monkeypatch.setattr(sender, "send", poisoned)
    Worker(say=lambda _line: None).run_round()
    assert sorted(ApiCall.objects.values_list("state", flat=True)) == ["done", "done", "stuck"]


def test_b2_sigterm_finishes_the_call_and_exits_0():
    """A real process; the same as in a storm."""
    test_sigterm.test_a_worker_that_is_asked_to_stop_finishes_its_call()


def test_b2_a_call_that_is_delivered_twice_is_sent_once(kaspi):
    """A task queue holds the primary key alone, and may hand it out as often as it likes."""
    Order.objects.create()
    key = ApiCall.objects.get().pk
    assert [sender.send(key) for _ in range(3)] == [True, False, False]
    assert len(kaspi.requests) == 1
