"""Signals belong to the program that calls a command: it keeps its handlers, whatever it calls and wherever."""

import os
import signal
import threading
from unittest.mock import Mock

import pytest
from django.core.management import CommandError
from django.db import connections

from kaspi_delivery_django.management.exits import SIGNALS, stopped_by_signals
from kaspi_delivery_django.sandbox import cli
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import PATIENCE_S
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

rows = pytest.mark.django_db(transaction=True)

COMMANDS = [
    ["kaspi_worker", "--once"],
    ["kaspi_worker", "--once", "--threads", "1"],
    *([f"kaspi_{name}"] for name in ("enqueue", "prune", "replay", "report", "operators", "doctor")),
    ["kaspi_sandbox", "--port", "0", "--quiet"],
]


@pytest.fixture
def own_handlers():
    """Have the program handle both signals itself; return its handlers."""
    own = {number: lambda *_: None for number in SIGNALS}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield own
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def calm(monkeypatch, kaspi):
    """Let each command have something to do, and none serve for ever."""
    monkeypatch.setattr(OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all())
    monkeypatch.setattr(cli.time, "sleep", Mock(side_effect=KeyboardInterrupt))


@rows
def test_a_program_keeps_its_handlers(own_handlers, calm, run):
    """After each of our commands."""
    for command in COMMANDS:
        run(*command)
        assert {number: signal.getsignal(number) for number in SIGNALS} == own_handlers, command


@rows
def test_each_command_works_in_a_thread(calm, run):
    """A scheduler calls it there, where no handler can be set."""
    raised = []

    def work():
        for command in COMMANDS:
            try:
                run(*command)
            except BaseException as err:  # noqa: BLE001  # the test looks at it
                raised.append((command, err))
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE_S)
    assert (raised, thread.is_alive()) == ([], False)


def test_handlers_are_restored_after_an_error(own_handlers):
    """Whatever the command raised."""
    with pytest.raises(CommandError), stopped_by_signals(lambda: None):
        raise CommandError("trouble")
    assert signal.getsignal(signal.SIGTERM) is own_handlers[signal.SIGTERM]


def test_a_signal_stops_a_worker(own_handlers):
    """Only inside."""
    worker = Worker(log=lambda _line: None)
    with stopped_by_signals(worker.stop):
        os.kill(os.getpid(), signal.SIGTERM)
    assert worker._stopped.is_set()
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_handler_that_python_did_not_set_becomes_the_default(monkeypatch):
    """It cannot be named, so it cannot be restored."""
    given = []
    monkeypatch.setattr(signal, "signal", lambda _number, handler: given.append(handler))
    with stopped_by_signals(lambda: None):
        given.clear()
    assert given == [signal.SIG_DFL] * 2
