"""Many claims in one transaction: the rules are those of `take`, and more calls need no more statements."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, due_calls, sender
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

ADAPTERS_STATEMENTS = 3  # a savepoint, the order's lines, and its end


@pytest.fixture
def orders(kaspi):
    """Save some orders."""
    return [Order.objects.create() for _ in range(6)]


def keys():
    """Return all calls' primary keys."""
    return list(ApiCall.objects.order_by("pk").values_list("pk", flat=True))


def take_all():
    """Claim whatever may be claimed together."""
    claimed, _blocked = claims.claim_many(keys(), using="default")
    return claimed


def test_all_are_claimed_and_frozen(orders, turnable):
    """What a claim holds is what the rows say."""
    claimed = take_all()
    assert {claim.delivery.external_order_id for claim in claimed} == {f"order-{order.pk}" for order in orders}
    for claim in claimed:
        call = ApiCall.objects.get(pk=claim.call.pk)
        names = ("state", "claim_token", "next_attempt_at", "attempts", "unknown_since", "payload", "base_url")
        assert [getattr(call, name) for name in names] == [getattr(claim.call, name) for name in names]
        assert (call.state, call.attempts, call.unknown_since) == ("sending", 1, turnable.now)
        assert call.next_attempt_at == turnable.now + claims.LEASE
        assert call.payload
        assert (claim.was_unknown, claim.is_trial) == (False, False)
    assert set(Delivery.objects.values_list("dropoff_name", flat=True)) == {"Aigerim"}


def test_claimed_calls_are_nobody_elses(orders):
    """The second asker finds none due."""
    take_all()
    assert take_all() == []


def test_of_two_at_once_each_gets_others(orders, at_once):
    """SKIP LOCKED, or the conditional UPDATE."""
    found = at_once(take_all, take_all)
    claimed = [claim.call.pk for claims_of_one in found if isinstance(claims_of_one, list) for claim in claims_of_one]
    assert sorted(claimed) == sorted(set(claimed))
    assert set(ApiCall.objects.filter(state="sending").values_list("pk", flat=True)) == set(claimed)


@pytest.mark.failure_mode("claim: two workers")
def test_what_somebody_has_taken_since_it_was_read_is_not_leased(orders, turnable):
    """Even without a lock: the conditional UPDATE decides, row by row."""
    read = [
        claims.Claim(call, call.delivery, claims.conf.account("default"), was_unknown=False, is_trial=False)
        for call in ApiCall.objects.order_by("pk")
    ]
    ApiCall.objects.filter(pk=read[0].call.pk).update(state="unknown")
    leased = run_in_transaction(lambda: claims._lease_all(read, turnable.now, frozen=()), using="default")
    assert [claim.call.pk for claim in leased] == [claim.call.pk for claim in read[1:]]


def test_an_unknown_outcome_keeps_its_moment(orders, turnable):
    """The key lives from the first attempt on, whoever tries again."""
    earlier = turnable.now - timedelta(hours=3)
    account = claims.conf.account("default")
    sent = {"api_key_fingerprint": claims.clients.fingerprint(account.api_key), "base_url": account.base_url}
    ApiCall.objects.filter(pk=keys()[0]).update(state="unknown", unknown_since=earlier, payload="{}", **sent)
    again = next(claim for claim in take_all() if claim.call.pk == keys()[0])
    assert (again.was_unknown, again.call.unknown_since) == (True, earlier)
    assert ApiCall.objects.get(pk=again.call.pk).unknown_since == earlier


def test_a_refresh_has_no_unknown_outcome(booked):
    """It books nothing."""
    refresh_delivery(booked)
    [claim] = take_all()
    assert (claim.call.kind, claim.call.unknown_since) == ("refresh", None)


def test_what_must_not_go_does_not_hold_up_the_others(orders, turnable):
    """One is too old, one is of an account that is gone, one is booked, one's order is deleted."""
    old, gone, is_booked, deleted, *_rest = keys()
    ApiCall.objects.filter(pk=old).update(queued_at=turnable.now - timedelta(days=2))
    Delivery.objects.filter(calls=gone).update(account="nowhere")
    Delivery.objects.filter(calls=is_booked).update(delivery_id="dlv_1")
    Order.objects.filter(pk=Delivery.objects.get(calls=deleted).object_id).delete()
    assert len(take_all()) == 2
    states = dict(ApiCall.objects.values_list("pk", "state"))
    assert [states[pk] for pk in (old, gone, is_booked, deleted)] == ["stuck", "stuck", "done", "abandoned"]


def test_an_account_without_a_key_keeps_its_calls(orders, settings):
    """They wait until it has one."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": ""}
    assert take_all() == []
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"due"}


def test_an_adapter_that_fails_costs_its_own_order_alone(orders, settings, monkeypatch):
    """The others are claimed."""
    bad = orders[0].pk
    build = claims.payloads._build

    def broken(delivery, order):
        if order.pk == bad:
            raise claims.AdapterFailed("it broke")
        return build(delivery, order)

    monkeypatch.setattr(claims.payloads, "_build", broken)
    assert len(take_all()) == 5
    assert ApiCall.objects.get(state="stuck").reason == "adapter_failed"


def test_orders_whose_key_cannot_be_read_are_looked_at_one_by_one(orders):
    """The shop's key has become of another type: that order is as good as gone."""
    Delivery.objects.filter(object_id=str(orders[0].pk)).update(object_id="a-1")
    assert len(take_all()) == 5
    assert ApiCall.objects.get(state="abandoned").delivery.object_id == "a-1"


def test_orders_without_an_adapter_wait_for_a_person(orders, settings):
    """Nobody can build them."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    assert take_all() == []
    assert set(ApiCall.objects.values_list("reason", flat=True)) == {"adapter_failed"}


def test_calls_behind_a_gate_are_named_and_left(orders, turnable):
    """A gate lets one through at a time, and `take` asks it."""
    circuit_breaker.trip(Delivery.objects.first(), until=turnable.now, reason="a 401")
    assert claims.claim_many(keys(), using="default") == ([], keys())


def test_slow_adapters_do_not_keep_rows_locked(orders, monkeypatch):
    """What is not built within a second is left due."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", -1.0)
    assert take_all() == []
    assert set(ApiCall.objects.values_list("state", "payload")) == {("due", "")}


def test_a_lease_begins_when_it_is_taken(orders, turnable, monkeypatch):
    """Not when the adapter was asked."""
    keep = claims.payloads.store
    monkeypatch.setattr(
        claims.payloads, "store", lambda built, **options: keep(built, **options) or turnable.turn(seconds=5)
    )
    assert {claim.call.next_attempt_at for claim in take_all()} == {turnable.now + claims.LEASE}


def test_a_cancel_is_claimed_with_its_moment(booked, turnable):
    """It acts, as a create does."""
    cancel_delivery(booked, reason="no")
    [claim] = take_all()
    assert (claim.call.kind, claim.call.unknown_since) == ("cancel", turnable.now)


def test_two_calls_of_one_delivery_see_what_the_other_did(booked, turnable):
    """What one marks it for is not written over by the other."""
    cancel_delivery(booked, reason="no")
    ApiCall.objects.filter(kind="cancel").update(state="unknown", unknown_since=turnable.now - timedelta(hours=24))
    refresh_delivery(booked)
    Order.objects.update(address="somewhere else")
    [claim] = take_all()
    assert claim.call.kind == "refresh"
    assert Delivery.objects.get().attention == "cancel_unknown"


def test_more_calls_need_no_more_statements(kaspi):
    """But for what the shop's adapter asks."""
    counts = [statements(size) for size in (2, 7)]
    assert counts[1] - counts[0] <= 5 * ADAPTERS_STATEMENTS


def test_frozen_calls_need_no_more_statements_at_all(kaspi):
    """As after a gate that was closed, or a Kaspi that was not reached."""
    assert statements(2, frozen=True) == statements(7, frozen=True)


def statements(size, *, frozen=False):
    """Return how many statements it takes to claim so many new orders."""
    ApiCall.objects.update(next_attempt_at=None)
    for _ in range(size):
        Order.objects.create()
    due = list(due_calls.select(limit=100))
    ApiCall.objects.filter(pk__in=due).update(payload="{}" if frozen else "")
    with CaptureQueriesContext(connection) as asked:
        claimed, _blocked = claims.claim_many(due, using="default")
    assert len(claimed) == size
    return len(asked)


@pytest.mark.parametrize("change", ["gone", "not due", "no key"])
def test_a_call_behind_a_gate_that_cannot_go_is_left_alone(due, settings, change):
    """It was due when its batch was read; what has happened since counts."""
    if change == "gone":
        ApiCall.objects.filter(pk=due.pk).delete()
    elif change == "not due":
        ApiCall.objects.filter(pk=due.pk).update(next_attempt_at=None)
    else:
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": ""}
    assert claims._claim_trial(due.pk, using="default") is None


def test_a_call_whose_delivery_is_locked_is_left_to_a_later_round(due, monkeypatch):
    """Whoever holds the lock may be about to change it; a claim waits for no other transaction."""
    monkeypatch.setattr(claims, "lock_unlocked", lambda _rows: [])
    circuit_breaker.trip(due.delivery, until=due.queued_at - timedelta(minutes=1), reason="a trial call is due")
    assert claims._claim_trial(due.pk, using="default") is None
    assert ApiCall.objects.get().state == "due"


@pytest.mark.failure_mode("claim: inside a transaction")
def test_claims_and_results_are_durable(orders, monkeypatch):
    """They never hide inside another transaction: the rows must be there when the bytes leave."""
    first, second, *_rest = keys()
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        claims.claim(first, using="default")
    claim = claims.claim(second, using="default")
    monkeypatch.setattr(claims, "claim", lambda *_args, **_options: claim)
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        sender.send(second)
