"""The worker: one round does all that is due, and a stop is clean."""

import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, InterfaceError, OperationalError

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services.outbox import sender
from tests.services.conftest import fail_on
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("threads", ["1", "8"])
def test_once_sends_everything_that_is_due_with_so_many_threads(orders, kaspi, threads, capsys):
    """One means the command's own thread."""
    handle, seen = kaspi.handle, set()

    def watched(*request):
        seen.add(threading.current_thread() is threading.main_thread())
        return handle(*request)

    kaspi.handle = watched
    call_command("kaspi_worker", "--once", "--threads", threads)
    assert (seen, len(kaspi.deliveries)) == ({threads == "1"}, 12)
    assert "calls sent: 12" in capsys.readouterr().out


@pytest.mark.parametrize("threads", ["0", "65", "many"])
def test_the_command_takes_no_other_number_of_threads(threads):
    """Each thread keeps a connection to Kaspi, and the client's pool has 64."""
    with pytest.raises(CommandError, match="must be a whole number from 1 to 64"):
        call_command("kaspi_worker", "--once", "--threads", threads)
    adapter = sender.client_for(conf.account("default"))._session.get_adapter("https://")
    assert adapter._pool_maxsize == sender.MAX_THREADS == 64


def test_a_stopped_worker_claims_nothing_more(worker, orders):
    """The call in flight is finished; the others stay due."""
    worker._wait_for_slot = lambda: worker.stop() or True
    worker.run_round()
    assert sorted(ApiCall.objects.values_list("state", flat=True)) == ["done"] + ["due"] * 11


@pytest.mark.parametrize("trouble", [ZeroDivisionError, DataError, OperationalError])
@pytest.mark.failure_mode("claim: a poison row")
def test_an_error_of_one_call_is_contained(worker, kaspi, due, monkeypatch, caplog, trouble):
    """It is logged, and the next call is sent; a database that fails for one call fails for all: the loop waits."""
    Order.objects.create()
    fail_on(monkeypatch, sender, "send", trouble, lambda pk: pk == due.pk)
    if trouble is OperationalError:
        with pytest.raises(OperationalError):
            worker.run_round()
        return
    worker.run_round()
    assert len(kaspi.deliveries) == 1
    assert "call failed with an error" in caplog.text


@pytest.mark.parametrize("trouble", [OperationalError("gone"), InterfaceError("closed")])
def test_the_worker_waits_for_an_unavailable_database(worker, monkeypatch, caplog, trouble):
    """It goes on when the database is back."""
    troubles = [trouble, None]

    def run_round():
        if trouble := troubles.pop(0):
            raise trouble
        worker.stop()
        return 0

    monkeypatch.setattr(worker, "run_round", run_round)
    monkeypatch.setattr("kaspi_delivery_django.services.outbox.worker.ERROR_PAUSE_S", 0)
    worker.run()
    assert "database error" in caplog.text


def test_bookings_go_before_refreshes(worker, booked, fake_clock, monkeypatch):
    """While a full batch is due nothing is refreshed; then it is."""
    Delivery.objects.update(next_refresh_at=fake_clock.now)
    monkeypatch.setattr("kaspi_delivery_django.services.outbox.worker.BATCH", 2)
    monkeypatch.setattr(sender, "send", lambda _pk: False)
    for _ in range(2):
        Order.objects.create()
    worker.run_round()
    assert not ApiCall.objects.filter(kind="refresh").exists()
    ApiCall.objects.filter(state="due").first().delete()
    worker.run_round()
    assert ApiCall.objects.filter(kind="refresh").exists()


def test_a_sweep_ends_after_its_time(worker, orders, kaspi, monkeypatch):
    """The call in flight is finished; the next sweep does the others."""
    timers, send = [], sender.send

    def timer(after_s, stop):
        return SimpleNamespace(start=lambda: timers.append((after_s, stop)), cancel=lambda: timers.append("cancelled"))

    monkeypatch.setattr("kaspi_delivery_django.services.outbox.worker.threading.Timer", timer)
    monkeypatch.setattr(sender, "send", lambda pk: send(pk) and timers[0][1]() is None)
    assert worker.sweep(within_s=20) == len(kaspi.deliveries) == 1
    assert (timers[0][0], timers[1]) == (20, "cancelled")


@pytest.mark.parametrize("trouble", [OperationalError, InterfaceError, ZeroDivisionError])
@pytest.mark.parametrize(
    "work", [lambda worker, due: worker.send(due.pk), lambda worker, _due: worker.sweep(within_s=60)]
)
def test_an_error_of_a_tasks_call_is_logged(worker, due, monkeypatch, caplog, work, trouble):
    """Without the error's text, which the task queue's log must not show; the call stays due."""
    monkeypatch.setattr(sender, "send", Mock(side_effect=trouble("+7 701 999 8877")))
    assert not work(worker, due)
    assert trouble.__name__ in caplog.text
    assert "999 8877" not in caplog.text
