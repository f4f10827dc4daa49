"""What Kaspi's headers announce of its API is logged once a day, stored, and shown by `kaspi_report`."""

import logging
from datetime import timedelta

import pytest
from django.core.management import call_command

from kaspi_delivery_django.doctor import local
from kaspi_delivery_django.models import AccountState, ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import circuit_breaker, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import accounts, snapshot
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

SUNSET = "Sunset: Thu, 31 Dec 2026 23:59:59 GMT"


@pytest.fixture
def announcing(kaspi, monkeypatch):
    """Let each of Kaspi's answers carry a sunset."""
    handle = kaspi.handle

    def handle_with_headers(*request):
        answer = handle(*request)
        name, _colon, value = SUNSET.partition(": ")
        object.__setattr__(answer, "headers", {**answer.headers, name: value})
        return answer

    monkeypatch.setattr(kaspi, "handle", handle_with_headers)


def lines(caplog):
    return [record for record in caplog.records if SUNSET in record.getMessage()]


@pytest.mark.parametrize("threads", [1, 8])
def test_it_is_logged_once_a_day(announcing, turnable, caplog, threads):
    """For any number of answers, and with one thread or several."""
    for day in range(1, 3):
        for _ in range(4):
            Order.objects.create()
        Worker(log=lambda _line: None, threads=threads).run_round()
        assert len(lines(caplog)) == day
        assert lines(caplog)[0].levelno == logging.WARNING
        turnable.turn(days=1)
    assert set(ApiCall.objects.values_list("state", flat=True)) <= {"done", "due"}


def test_an_error_announces_too(kaspi, announcing, due):
    """A refusal has the same headers."""
    kaspi.faults.add(Fault(operation="create", status=422))
    sender.send(due.pk)
    assert AccountState.objects.get().announcement == SUNSET


def test_another_announcement_is_logged_at_once(due, turnable, caplog):
    """The first one was another text."""
    for text in (SUNSET, SUNSET, "Warning: 299 - soon"):
        circuit_breaker.record_announcement(due.delivery, text, turnable.now)
    assert [record.getMessage().split("default ")[1] for record in caplog.records] == [SUNSET, "Warning: 299 - soon"]


def test_two_processes_log_it_once(due, turnable, caplog, monkeypatch):
    """The other has written it since we read."""
    circuit_breaker.record_announcement(due.delivery, SUNSET, turnable.now)
    AccountState.objects.update(announced_at=turnable.now - timedelta(days=2), announcement="x")
    monkeypatch.setattr(
        circuit_breaker,
        "_make_state",
        lambda _delivery: AccountState.objects.update(announcement=SUNSET, announced_at=turnable.now),
    )
    circuit_breaker.record_announcement(due.delivery, SUNSET, turnable.now)
    assert len(lines(caplog)) == 1


def test_it_is_shown_while_it_is_fresh(due, turnable, capsys):
    """By the report and the doctor, until Kaspi has not announced it for two days."""
    circuit_breaker.record_announcement(due.delivery, SUNSET, turnable.now)
    call_command("kaspi_report")
    assert SUNSET in capsys.readouterr().out
    [state] = accounts.read()
    findings = {found.name: found for found in local.judge_account(state, snapshot.read())}
    assert SUNSET in findings["version"].says
    assert "1.0.0" in findings["version"].says
    turnable.turn(days=2)
    assert "version" not in {found.name for found in local.judge_account(state, snapshot.read())}
    call_command("kaspi_report")
    assert SUNSET not in capsys.readouterr().out
