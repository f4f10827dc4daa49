"""The circuit breaker: open for all workers at once, closed by one trial call, and then without a burst."""

import logging
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import circuit_breaker, sender
from kaspi_delivery_django.services.outbox.circuit_breaker import Breaker
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import accounts, snapshot
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_trial_call_whose_sender_died_is_replaced(due, fake_clock):
    """One caller gets through, and when its lease expires another one."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    admissions = [circuit_breaker.admit(due.delivery, fake_clock.now) for _ in range(2)]
    assert admissions == [Breaker.HALF_OPEN, Breaker.OPEN]
    assert circuit_breaker.admit(due.delivery, fake_clock.now + circuit_breaker.TRIAL_LEASE) is Breaker.HALF_OPEN


@pytest.mark.failure_mode("request: the gate reopens")
def test_pending_calls_are_spread_out(due, orders, fake_clock, monkeypatch):
    """Over half a minute, with jitter: all calls of the account, and no other account's, nor claimed ones."""
    monkeypatch.setattr(circuit_breaker, "BATCH", 3)
    first, *rest = ApiCall.objects.order_by("pk")
    others = [call.pk for call in rest[::2]]
    Delivery.objects.filter(calls__in=others).update(account="almaty")
    ApiCall.objects.filter(pk=first.pk).update(state="sending")
    circuit_breaker.reset(due.delivery, fake_clock.now)
    spread = ApiCall.objects.filter(next_attempt_at__gt=fake_clock.now)
    assert not spread.exists()  # the breaker was closed
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    circuit_breaker.reset(due.delivery, fake_clock.now)
    assert set(spread) == {call for call in rest if call.pk not in others}
    times = set(spread.values_list("next_attempt_at", flat=True))
    assert len(times) > 3
    assert max(times) <= fake_clock.now + circuit_breaker.SPREAD


def test_calls_beyond_a_limit_are_not_delayed(due, orders, fake_clock, monkeypatch):
    """What is read at once stays small."""
    monkeypatch.setattr(circuit_breaker, "MAX_SPREAD", 3)
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    circuit_breaker.reset(due.delivery, fake_clock.now)
    assert ApiCall.objects.filter(next_attempt_at__gt=fake_clock.now).count() == 3


def test_a_call_that_is_claimed_meanwhile_keeps_its_lease(due, fake_clock, monkeypatch):
    """Another worker may claim a call between the read and the update."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    lease = fake_clock.now + timedelta(minutes=1)
    times = circuit_breaker._spread_times

    def claim_first(now):
        ApiCall.objects.update(state="sending", next_attempt_at=lease)
        return times(now)

    monkeypatch.setattr(circuit_breaker, "_spread_times", claim_first)
    circuit_breaker.reset(due.delivery, fake_clock.now)
    assert fresh(due).next_attempt_at == lease


def test_one_statement_without_a_join_spreads_a_batch(due, fake_clock, monkeypatch):
    """Without statistics PostgreSQL plans a join for few rows, and takes minutes."""
    taken = []
    for steps in (1, 64):
        monkeypatch.setattr(circuit_breaker, "SPREAD_STEPS", steps)
        ApiCall.objects.update(next_attempt_at=fake_clock.now - timedelta(seconds=1))
        circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
        with CaptureQueriesContext(connection) as captured:
            circuit_breaker.reset(due.delivery, fake_clock.now)
        taken.append(len(captured))
        assert [one["sql"] for one in captured if "JOIN" in one["sql"] or one["sql"].count("SELECT") > 1] == []
    assert taken[0] == taken[1]


def test_a_breaker_stays_closed_when_spreading_fails(due, fake_clock, monkeypatch, caplog):
    """It is committed first; the calls go without a delay then."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    monkeypatch.setattr(circuit_breaker, "_spread_times", lambda _now: 1 / 0)
    with transaction.atomic():
        circuit_breaker.reset(due.delivery, fake_clock.now)
    assert circuit_breaker.admit(due.delivery, fake_clock.now) is Breaker.CLOSED
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.failure_mode("create: key, address or version is wrong")
def test_many_refusals_make_one_alert(due, fake_clock, caplog):
    """401 for every call is one line in the log, and the longest pause that any of them asks for."""
    for minutes in (60, 5, 5):
        circuit_breaker.trip(due.delivery, until=fake_clock.now + timedelta(minutes=minutes), reason="401")
    assert caplog.text.count("circuit breaker opened") == 1
    assert AccountState.objects.get().closed_until == fake_clock.now + timedelta(hours=1)


def test_an_unsent_trial_call_is_released(due, fake_clock):
    """A call that is too old must not delay the others by a minute."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    fake_clock.advance(hours=25)
    assert not sender.send(due.pk)
    assert circuit_breaker.admit(due.delivery, fake_clock.now) is Breaker.HALF_OPEN


def test_a_trial_call_with_retry_after_waits_that_long(kaspi, due, fake_clock):
    """The trial's own, longer lease does not count."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=5))
    sender.send(due.pk)
    assert AccountState.objects.get().closed_until == fake_clock.now + timedelta(seconds=5)


def test_a_trial_call_without_an_answer_leaves_the_breaker_open(kaspi, due, fake_clock):
    """Only Kaspi's answer closes it; nor does it shorten the pause that another call in flight was given."""
    circuit_breaker.trip(due.delivery, until=fake_clock.now, reason="429")
    kaspi.faults.add(Fault(operation="create", latency_s=60))
    sender.send(due.pk)
    assert circuit_breaker.admit(due.delivery, fake_clock.now) is Breaker.HALF_OPEN
    circuit_breaker.trip(due.delivery, until=fake_clock.now + timedelta(hours=1), reason="429")
    circuit_breaker.release_trial(due.delivery, fake_clock.now)
    assert AccountState.objects.get().closed_until == fake_clock.now + timedelta(hours=1)


SUNSET = "Sunset: Thu, 31 Dec 2026 23:59:59 GMT"


@pytest.fixture
def announcing(kaspi, monkeypatch):
    """Let each of Kaspi's answers carry a sunset."""
    handle = kaspi.handle

    def handle_with_headers(*request):
        answer = handle(*request)
        object.__setattr__(answer, "headers", {**answer.headers, "Sunset": SUNSET.removeprefix("Sunset: ")})
        return answer

    monkeypatch.setattr(kaspi, "handle", handle_with_headers)


def lines(caplog):
    return [record for record in caplog.records if SUNSET in record.getMessage()]


@pytest.mark.parametrize("threads", [1, 8])
def test_it_is_logged_once_a_day(announcing, fake_clock, caplog, threads):
    """For any number of answers, and with one thread or several."""
    for day in range(1, 3):
        for _ in range(4):
            Order.objects.create()
        Worker(log=lambda _line: None, threads=threads).run_round()
        assert len(lines(caplog)) == day
        assert lines(caplog)[0].levelno == logging.WARNING
        fake_clock.advance(days=1)
    assert set(ApiCall.objects.values_list("state", flat=True)) <= {"done", "due"}


def test_an_error_announces_too(kaspi, announcing, due):
    """A refusal has the same headers."""
    kaspi.faults.add(Fault(operation="create", status=422))
    sender.send(due.pk)
    assert AccountState.objects.get().announcement == SUNSET


def test_another_announcement_is_logged_at_once(due, fake_clock, caplog):
    """The first one was another text."""
    for text in (SUNSET, SUNSET, "Warning: 299 - soon"):
        circuit_breaker.record_announcement(due.delivery, text, fake_clock.now)
    assert [record.getMessage().split("default ")[1] for record in caplog.records] == [SUNSET, "Warning: 299 - soon"]


def test_two_processes_log_it_once(due, fake_clock, caplog, monkeypatch):
    """The other has written it since we read."""
    circuit_breaker.record_announcement(due.delivery, SUNSET, fake_clock.now)
    AccountState.objects.update(announced_at=fake_clock.now - timedelta(days=2), announcement="x")
    monkeypatch.setattr(
        circuit_breaker,
        "_make_state",
        lambda _delivery: AccountState.objects.update(announcement=SUNSET, announced_at=fake_clock.now),
    )
    circuit_breaker.record_announcement(due.delivery, SUNSET, fake_clock.now)
    assert len(lines(caplog)) == 1


def test_it_is_shown_while_it_is_fresh(due, fake_clock, capsys):
    """By the report and the doctor, until Kaspi has not announced it for two days."""
    circuit_breaker.record_announcement(due.delivery, SUNSET, fake_clock.now)
    call_command("kaspi_report")
    assert SUNSET in capsys.readouterr().out
    [state] = accounts.read()
    findings = {found.name: found for found in probes.judge_account(state, snapshot.read())}
    assert SUNSET in findings["version"].message
    assert "1.0.0" in findings["version"].message
    fake_clock.advance(days=2)
    assert "version" not in {found.name for found in probes.judge_account(state, snapshot.read())}
    call_command("kaspi_report")
    assert SUNSET not in capsys.readouterr().out
