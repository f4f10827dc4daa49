"""Claims: what may be sent, in one transaction, with a number of statements that does not grow with the calls."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, due_calls, leases, sender
from tests.services.conftest import fail_on
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

ADAPTERS_STATEMENTS = 3  # a savepoint, the order's lines, and its end


def keys():
    return list(ApiCall.objects.order_by("pk").values_list("pk", flat=True))


def claim_all():
    claimed, _blocked = claims.claim_many(keys())
    return claimed


@pytest.mark.failure_mode("create: outcome unknown")
def test_all_are_claimed_and_frozen(orders, fake_clock):
    """A claim has the values of its row: `unknown_since` is committed before a byte leaves."""
    claimed = claim_all()
    assert {claim.delivery.external_order_id for claim in claimed} == {f"order-{order.pk}" for order in orders}
    for claim in claimed:
        call = ApiCall.objects.get(pk=claim.call.pk)
        names = ("state", "claim_token", "next_attempt_at", "attempts", "unknown_since", "payload", "base_url")
        assert [getattr(call, name) for name in names] == [getattr(claim.call, name) for name in names]
        assert (call.state, call.attempts, call.unknown_since) == ("sending", 1, fake_clock.now)
        assert call.next_attempt_at == fake_clock.now + leases.LEASE
        assert call.payload
        assert (claim.was_unknown, claim.is_trial) == (False, False)
    assert set(Delivery.objects.values_list("dropoff_name", flat=True)) == {"Aigerim"}


def test_two_senders_claim_different_calls(orders, at_once):
    """SKIP LOCKED or the conditional UPDATE decides."""
    found = at_once(claim_all, claim_all)
    claimed = [claim.call.pk for claims_of_one in found if isinstance(claims_of_one, list) for claim in claims_of_one]
    assert sorted(claimed) == sorted(set(claimed))
    assert set(ApiCall.objects.filter(state="sending").values_list("pk", flat=True)) == set(claimed)


@pytest.mark.failure_mode("claim: two workers")
def test_a_call_that_was_claimed_since_it_was_read_is_not_leased(orders, fake_clock):
    """Without a row lock the conditional UPDATE decides, row by row."""
    read = [
        leases.Claim(call, call.delivery, claims.conf.account("default"), was_unknown=False, is_trial=False)
        for call in ApiCall.objects.order_by("pk")
    ]
    ApiCall.objects.filter(pk=read[0].call.pk).update(state="unknown")
    leased = run_in_transaction(lambda: leases.take_all(read, fake_clock.now, frozen=()))
    assert [claim.call.pk for claim in leased] == [claim.call.pk for claim in read[1:]]


def test_unknown_since_is_kept(orders, fake_clock):
    """The key's lifetime begins with the first attempt."""
    earlier = fake_clock.now - timedelta(hours=3)
    account = claims.conf.account("default")
    sent = {"api_key_fingerprint": account.api_key_fingerprint, "base_url": account.base_url}
    ApiCall.objects.filter(pk=keys()[0]).update(state="unknown", unknown_since=earlier, payload="{}", **sent)
    again = next(claim for claim in claim_all() if claim.call.pk == keys()[0])
    assert (again.was_unknown, again.call.unknown_since) == (True, earlier)
    assert ApiCall.objects.get(pk=again.call.pk).unknown_since == earlier


@pytest.mark.failure_mode("create: the order is a day old")
def test_blocked_calls_do_not_delay_the_others(orders, fake_clock):
    """One is too old, one of a removed account, one booked, and one of a deleted order."""
    old, gone, is_booked, deleted, *_rest = keys()
    ApiCall.objects.filter(pk=old).update(queued_at=fake_clock.now - timedelta(hours=24))
    Delivery.objects.filter(calls=gone).update(account="nowhere")
    Delivery.objects.filter(calls=is_booked).update(delivery_id="dlv_1")
    Delivery.objects.filter(calls=deleted).update(object_id="a-1")  # the shop changed the type of its keys
    assert len(claim_all()) == 8
    states = dict(ApiCall.objects.values_list("pk", "state"))
    assert [states[pk] for pk in (old, gone, is_booked, deleted)] == ["stuck", "stuck", "done", "abandoned"]
    reasons = [Delivery.objects.get(calls=pk).attention for pk in (old, gone)]
    assert reasons == ["too_old", "configuration_changed"]


def test_an_adapter_error_is_contained_to_its_order(orders, monkeypatch):
    """The other calls are claimed."""
    error = AdapterFailed("it broke")
    fail_on(monkeypatch, claims.payloads, "_build", error, lambda _delivery, order: order.pk == orders[0].pk)
    assert len(claim_all()) == 11
    assert ApiCall.objects.get(state="stuck").reason == "adapter_failed"


def test_slow_adapters_do_not_keep_rows_locked(orders, monkeypatch):
    """Calls that are not built within a second stay due."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", -1.0)
    assert claim_all() == []
    assert set(ApiCall.objects.values_list("state", "payload")) == {("due", "")}


def test_a_lease_begins_when_it_is_taken(orders, fake_clock, monkeypatch):
    """The time that the adapter took does not count."""
    keep = claims.payloads.store
    monkeypatch.setattr(
        claims.payloads, "store", lambda built, **options: keep(built, **options) or fake_clock.advance(seconds=5)
    )
    assert {claim.call.next_attempt_at for claim in claim_all()} == {fake_clock.now + leases.LEASE}


def test_a_cancel_acts_and_a_refresh_does_not(booked, fake_clock):
    """So the outcome of a refresh is never unknown."""
    cancel_delivery(booked, reason="no")
    refresh_delivery(booked)
    claimed = {claim.call.kind: claim.call.unknown_since for claim in claim_all()}
    assert claimed == {"cancel": fake_clock.now, "refresh": None}


def test_two_calls_of_one_delivery_share_its_instance(booked, fake_clock):
    """Neither overwrites the other's flags."""
    cancel_delivery(booked, reason="no")
    ApiCall.objects.filter(kind="cancel").update(state="unknown", unknown_since=fake_clock.now - timedelta(hours=24))
    refresh_delivery(booked)
    Order.objects.update(address="somewhere else")
    [claim] = claim_all()
    assert claim.call.kind == "refresh"
    assert Delivery.objects.get().attention == "cancel_unknown"


def test_more_calls_need_no_more_statements(kaspi):
    """Except for the queries of the shop's adapter, which a frozen payload does not need."""
    assert statements(7) - statements(2) <= 5 * ADAPTERS_STATEMENTS
    assert statements(2, frozen=True) == statements(7, frozen=True)


def statements(size, *, frozen=False):
    """Return the number of statements that claim so many new orders."""
    ApiCall.objects.update(next_attempt_at=None)
    for _ in range(size):
        Order.objects.create()
    due = list(due_calls.select(limit=100))
    ApiCall.objects.filter(pk__in=due).update(payload="{}" if frozen else "")
    with CaptureQueriesContext(connection) as asked:
        claimed, _blocked = claims.claim_many(due)
    assert len(claimed) == size
    return len(asked)


@pytest.mark.parametrize("change", ["not due", "no key", "locked"])
def test_a_trial_call_that_may_not_be_sent_is_not_claimed(due, settings, monkeypatch, change):
    """Its row was changed since its batch was read, or is locked."""
    if change == "not due":
        ApiCall.objects.update(next_attempt_at=None)
    elif change == "no key":
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": ""}
    else:
        circuit_breaker.trip(due.delivery, until=due.queued_at - timedelta(minutes=1), reason="a trial call is due")
        monkeypatch.setattr(claims, "lock_unlocked", lambda _rows: [])
    assert claims._claim_trial(due.pk) is None
    assert ApiCall.objects.get().state == "due"


@pytest.mark.failure_mode("claim: inside a transaction")
def test_claims_and_results_are_durable(orders, monkeypatch):
    """They refuse an outer transaction: the rows must be committed when the bytes leave."""
    first, second, *_rest = keys()
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        claims.claim(first)
    claim = claims.claim(second)
    monkeypatch.setattr(claims, "claim", lambda *_args, **_options: claim)
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        sender.send(second)


def test_a_released_call_that_is_renamed_stores_the_payload_that_it_sends(orders, monkeypatch):
    """Its order got another name without a save: the payload is built again, and every attempt sends the same one."""
    leases.release(claims.claim(keys()[0]))
    call = ApiCall.objects.get(pk=keys()[0])
    assert (call.state, call.attempts, call.unknown_since, call.claim_token) == ("due", 0, None, "")
    monkeypatch.setattr(adapters.OrderAdapter, "external_order_id", lambda _self, order: f"parcel-{order.pk}")
    claim = claims.claim(keys()[0])
    call, name = ApiCall.objects.get(pk=keys()[0]), f"parcel-{orders[0].pk}"
    assert name in call.payload
    assert (call.payload, call.payload_sha256) == (claim.call.payload, claim.call.payload_sha256)
    assert (call.idempotency_key, call.delivery.external_order_id) == (name, name)


def test_a_released_call_of_unknown_outcome_stays_unknown(orders, fake_clock):
    """`unknown_since` stays: an earlier attempt may have acted."""
    row = ApiCall.objects.filter(pk=keys()[0])
    row.update(state="sending", unknown_since=fake_clock.now, claim_token="mine", attempts=3)
    leases.release(leases.Claim(row.get(), None, None, was_unknown=True, is_trial=False))
    call = row.get()
    assert (call.state, call.attempts, call.unknown_since) == ("unknown", 2, fake_clock.now)


def test_a_released_trial_call_lets_another_be_the_trial(orders, fake_clock):
    """No request was made, so another call may go at once."""
    delivery = ApiCall.objects.get(pk=keys()[0]).delivery
    circuit_breaker.trip(delivery, until=fake_clock.now, reason="429")
    trial = claims.claim(keys()[0])
    assert trial.is_trial
    leases.release(trial)
    assert circuit_breaker.admit(delivery, fake_clock.now) is circuit_breaker.Breaker.HALF_OPEN
