"""The gate: closed for every worker at once, opened by one probe, without a herd."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import circuit_breaker, sender
from kaspi_delivery_django.services.outbox.circuit_breaker import Admission
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.failure_mode("request: the gate reopens")
def test_one_probe_goes_first(due, turnable):
    """When the pause is over one caller gets through; the others wait for its answer."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    admissions = [circuit_breaker.admit(due.delivery, turnable.now) for _ in range(3)]
    assert admissions == [Admission.TRIAL, Admission.BLOCKED, Admission.BLOCKED]


def test_a_probe_that_dies_lets_another_try(due, turnable):
    """The probe's lease ends."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    circuit_breaker.admit(due.delivery, turnable.now)
    assert circuit_breaker.admit(due.delivery, turnable.now + circuit_breaker.TRIAL_LEASE) is Admission.TRIAL


@pytest.mark.failure_mode("request: the gate reopens")
def test_the_rest_follows_spread_out(due, turnable):
    """What waited is spread over half a minute, with jitter."""
    for _ in range(20):
        Order.objects.create()
    circuit_breaker.reset(due.delivery, turnable.now)
    assert not ApiCall.objects.filter(next_attempt_at__gt=turnable.now).exists()
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    circuit_breaker.reset(due.delivery, turnable.now)
    times = set(ApiCall.objects.values_list("next_attempt_at", flat=True))
    assert len(times) > 5
    assert max(times) <= turnable.now + circuit_breaker.SPREAD


def test_batches_of_what_waited_follow_each_other(due, turnable, monkeypatch):
    """All calls of the account are spread, and no other account's, nor what is being sent."""
    monkeypatch.setattr(circuit_breaker, "BATCH", 3)
    for _ in range(9):
        Order.objects.create()
    first, *rest = ApiCall.objects.order_by("pk")
    others = [call.pk for call in rest[::2]]
    Delivery.objects.filter(calls__in=others).update(account="almaty")
    ApiCall.objects.filter(pk=first.pk).update(state="sending")
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    circuit_breaker.reset(due.delivery, turnable.now)
    left = ApiCall.objects.filter(next_attempt_at__lte=turnable.now)
    assert set(left.values_list("pk", flat=True)) == {first.pk, *others}


def test_calls_beyond_a_limit_are_not_delayed(due, turnable, monkeypatch):
    """What is read at once stays small."""
    monkeypatch.setattr(circuit_breaker, "MAX_SPREAD", 3)
    for _ in range(9):
        Order.objects.create()
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    circuit_breaker.reset(due.delivery, turnable.now)
    assert ApiCall.objects.filter(next_attempt_at__gt=turnable.now).count() == 3


def test_a_call_that_is_claimed_meanwhile_keeps_its_lease(due, turnable, monkeypatch):
    """Another worker may claim a call between the read and the update."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    lease = turnable.now + timedelta(minutes=1)
    times = circuit_breaker._spread_times

    def claim_first(now):
        ApiCall.objects.update(state="sending", next_attempt_at=lease)
        return times(now)

    monkeypatch.setattr(circuit_breaker, "_spread_times", claim_first)
    circuit_breaker.reset(due.delivery, turnable.now)
    assert fresh(due).next_attempt_at == lease


def test_one_statement_without_a_join_spreads_a_batch(due, turnable, monkeypatch):
    """However many shares there are: without statistics PostgreSQL plans a join for few rows, and takes minutes."""
    taken = []
    for steps in (1, 64):
        monkeypatch.setattr(circuit_breaker, "SPREAD_STEPS", steps)
        ApiCall.objects.update(next_attempt_at=turnable.now - timedelta(seconds=1))
        circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
        with CaptureQueriesContext(connection) as captured:
            circuit_breaker.reset(due.delivery, turnable.now)
        taken.append(len(captured))
        assert [one["sql"] for one in captured if "JOIN" in one["sql"] or one["sql"].count("SELECT") > 1] == []
    assert taken[0] == taken[1]


def test_a_gate_stays_open_when_the_rest_cannot_be_spread(due, turnable, monkeypatch, caplog):
    """The gate's opening is committed first; the calls go without a delay then."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    monkeypatch.setattr(circuit_breaker, "_spread_times", lambda _now: 1 / 0)
    with transaction.atomic():
        circuit_breaker.reset(due.delivery, turnable.now)
    assert circuit_breaker.admit(due.delivery, turnable.now) is Admission.ALLOWED
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.failure_mode("create: key, address or version is wrong")
def test_a_hundred_refusals_make_one_alert(due, turnable, caplog):
    """401 for every call is one line in the log, not a hundred."""
    for _ in range(100):
        circuit_breaker.trip(due.delivery, until=turnable.now + timedelta(minutes=5), reason="401")
    assert caplog.text.count("gate closed") == 1


@pytest.mark.failure_mode("create: key, address or version is wrong")
def test_a_wrong_key_probes_about_every_five_minutes(kaspi, due, turnable):
    """401: the work waits, and goes by itself once the key is right."""
    kaspi.faults.add(Fault(operation="create", status=401))
    sender.send(due.pk)
    pause = AccountState.objects.get().closed_until - turnable.now
    assert timedelta(minutes=4) <= pause <= timedelta(minutes=6)
    turnable.turn(minutes=6)
    assert sender.send(due.pk)
    assert fresh(due).state == "done"


def test_another_account_has_a_gate_of_its_own(due, turnable):
    """One account's pause never touches another's."""
    circuit_breaker.trip(due.delivery, until=turnable.now + timedelta(minutes=5), reason="401")
    due.delivery.account = "almaty"
    assert circuit_breaker.admit(due.delivery, turnable.now) is Admission.ALLOWED


def test_a_longer_pause_is_never_shortened(due, turnable):
    """An hour stays an hour, whatever a slower answer says."""
    circuit_breaker.trip(due.delivery, until=turnable.now + timedelta(hours=1), reason="429")
    circuit_breaker.trip(due.delivery, until=turnable.now + timedelta(seconds=2), reason="429")
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(hours=1)


def test_a_probe_that_is_not_sent_is_given_back(due, turnable):
    """A row that is too old to go must not cost the others a minute."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    turnable.turn(hours=25)
    assert not sender.send(due.pk)
    assert circuit_breaker.admit(due.delivery, turnable.now) is Admission.TRIAL


def test_a_probe_that_is_told_to_wait_waits_as_long_as_kaspi_says(kaspi, due, turnable):
    """Its own lease, which is longer, does not count."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=5))
    sender.send(due.pk)
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(seconds=5)


def test_a_probe_without_an_answer_shortens_no_longer_pause(kaspi, due, turnable):
    """Another call, that was under way, was told to wait for an hour."""
    circuit_breaker.trip(due.delivery, until=turnable.now + timedelta(hours=1), reason="429")
    circuit_breaker.release_trial(due.delivery, turnable.now)
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(hours=1)


def test_a_probe_without_an_answer_leaves_the_gate_closed(kaspi, due, turnable):
    """Only Kaspi's answer opens it."""
    circuit_breaker.trip(due.delivery, until=turnable.now, reason="429")
    kaspi.faults.add(Fault(operation="create", latency_s=60))
    sender.send(due.pk)
    assert circuit_breaker.admit(due.delivery, turnable.now) is Admission.TRIAL
