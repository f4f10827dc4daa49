"""Celery's tasks, and the thread that publishes them. Real brokers are in tests/engines."""

import os
import threading

import pytest
from celery import Celery, _state

from kaspi_delivery_django.contrib import celery as runner
from kaspi_delivery_django.models import AccountState, ApiCall
from kaspi_delivery_django.services.deliveries import runners
from kaspi_delivery_django.services.outbox import rate_limit
from kaspi_delivery_django.services.outbox.leases import LEASE
from tests.conftest import PATIENCE_S
from tests.docs import pages
from tests.shop.models import Order

SEND = "kaspi_delivery.send_call"


@pytest.fixture(autouse=True)
def shop(settings, monkeypatch):
    """The shop's own Celery app, whose broker is this process's memory."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "celery"}
    monkeypatch.setattr(runner, "RETRY_PAUSE_S", 0.01)
    before = _state.default_app, _state._tls.current_app
    app = Celery("shop", broker="memory://", broker_transport_options={"polling_interval": 0.01})
    app.set_default()
    yield app
    app.control.purge()
    _state.set_default_app(before[0])
    _state._set_current_app(before[1])


@pytest.fixture
def task(shop):
    """Return the task that the shop's app has of ours."""
    return shop.tasks[SEND]


@pytest.fixture
def publisher(task):
    """Return a publisher of this test's own."""
    return runner.Publisher(task)


@pytest.fixture
def next_message(shop):
    """Return what takes the next message from the shop's queue: the name of the task, and its arguments."""

    def take():
        with shop.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
            message = queue.get(timeout=PATIENCE_S)
            message.ack()
            return message.headers["task"], message.payload[0]

    return take


class Line:
    """A line to the broker that may be cut."""

    def __init__(self, monkeypatch):
        self._connected = runner._connected
        self.is_cut, self.tries = True, threading.Semaphore(0)
        monkeypatch.setattr(runner, "_connected", self.connect)

    def connect(self, task):
        """Connect, or fail as a broker does that is away."""
        self.tries.release()
        if self.is_cut:
            raise ConnectionRefusedError
        return self._connected(task)

    def wait_for_tries(self, count):
        for _ in range(count):
            assert self.tries.acquire(timeout=PATIENCE_S)


@pytest.fixture
def line(monkeypatch):
    """Cut the line to the broker."""
    return Line(monkeypatch)


@pytest.mark.django_db(transaction=True)
def test_a_due_call_is_a_message_with_a_primary_key(next_message):
    """Nothing of the order is in it; the runner is found by its name in the settings."""
    runners.load_runner()
    Order.objects.create()  # its own commit, outside of a request: the sweep's
    call = ApiCall.objects.get()
    runners.notify_runner(call)
    assert next_message() == (SEND, [call.pk])


@pytest.mark.django_db(transaction=True)
def test_a_task_sends_one_call_once(due, kaspi):
    """A broker that delivers twice does no harm."""
    runner.send_call(due.pk)
    runner.send_call(due.pk)
    assert len(kaspi.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_a_sweep_does_what_a_worker_does(due, kaspi):
    """And is seen as one."""
    runner.sweep()
    assert len(kaspi.deliveries) == 1
    assert AccountState.objects.get().worker_seen_at


@pytest.mark.django_db(transaction=True)
def test_an_eager_app_sends_at_once(due, kaspi, shop):
    """As in a shop's tests: in the same thread, with its connection to the database."""
    shop.conf.task_always_eager = True
    runner.enqueue(due.pk)
    assert len(kaspi.deliveries) == 1


def test_the_options_of_the_tasks(task, shop):
    """A killed worker's call is delivered again, a sweep is not; Celery kills no task that holds a lease."""
    sweep = shop.tasks["kaspi_delivery.sweep"]
    assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True, True, True)
    assert (sweep.acks_late, sweep.ignore_result) == (False, True)
    assert task.time_limit > LEASE.total_seconds()
    assert sweep.time_limit > runner.SWEEP_S


def test_the_documented_schedule_sends_a_sweep(shop, next_message):
    """What docs/running.md has to paste names a task that workers know, with options that it takes."""
    [block] = [block for block in pages.read("docs/running.md").blocks if "BEAT" in block.text]
    pasted = {}
    exec(block.text, pasted)
    [entry] = pasted["CELERY_BEAT_SCHEDULE"].values()
    shop.tasks[entry["task"]].apply_async(**entry["options"])
    assert next_message() == ("kaspi_delivery.sweep", [])


def test_a_worker_shares_its_rate_with_what_it_forks():
    """The limiter is there before the first process is forked."""
    rate_limit.rate_limiter.cache_clear()
    runner.share_turns(sender=None)
    assert rate_limit.rate_limiter.cache_info().currsize == 1


def test_a_broker_that_is_away_gets_the_calls_when_it_is_back(publisher, line, next_message, caplog, monkeypatch):
    """In their order; each outage is logged once, and nothing has waited."""
    monkeypatch.setattr(runner, "IDLE_TIMEOUT_S", 0)
    for calls in ([1, 2], [3]):
        line.is_cut = True
        for pk in calls:
            publisher.publish(pk)
        thread = publisher._thread
        line.wait_for_tries(3)
        line.is_cut = False
        assert [next_message() for _ in calls] == [(SEND, [pk]) for pk in calls]
        thread.join(PATIENCE_S)
        line.tries = threading.Semaphore(0)
    assert caplog.text.count("broker not reached") == 2


def test_a_long_outage_fills_no_memory_and_keeps_no_process_alive(publisher, line, monkeypatch):
    """What is over the limit is left to the sweep, and what is pending at the end of a process too."""
    monkeypatch.setattr(runner, "MAX_PENDING", 10)
    monkeypatch.setattr(runner, "FLUSH_TIMEOUT_S", 0.01)
    for pk in range(20):
        publisher.publish(pk)
    publisher.flush()
    assert list(publisher._calls) == list(range(10))
    publisher._calls.clear()


def test_a_thread_without_work_ends(publisher, next_message, monkeypatch):
    """Its connection would grow stale; the next call gets another thread, and is waited for at the process's end."""
    monkeypatch.setattr(runner, "IDLE_TIMEOUT_S", 0)
    for pk in (1, 2):
        publisher.publish(pk)
        thread = publisher._thread
        publisher.flush()
        assert not publisher._calls
        assert next_message() == (SEND, [pk])
        thread.join(PATIENCE_S)
        assert (thread.is_alive(), publisher._thread) == (False, None)


def test_a_forked_process_has_a_publisher_of_its_own(task, publisher, monkeypatch):
    """Its parent's thread is not there, and its parent's lock may be held for ever: neither is touched."""
    mine = runner._publisher(os.getpid(), task)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    monkeypatch.setattr(publisher, "_changed", None)
    publisher.flush()
    assert runner._publisher(os.getpid(), task) is not mine
