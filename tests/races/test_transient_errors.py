"""Deadlocks and lock timeouts: one retry at once, then later, and nothing is lost."""

import threading
from itertools import count

import pytest
from django.db import OperationalError, connection

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services.db import is_lock_timeout, is_transient, run_in_transaction
from tests.conftest import PATIENCE_S, event
from tests.services.conftest import FailingStatements, caused
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

TROUBLES = {
    "PostgreSQL deadlock": caused(OperationalError, sqlstate="40P01"),
    "PostgreSQL serialization failure": caused(OperationalError, sqlstate="40001"),
    "PostgreSQL lock timeout": caused(OperationalError, sqlstate="55P03"),
    "MariaDB record changed": OperationalError(1020, "Record has changed since last read"),
    "MariaDB lock timeout": OperationalError(1205, "Lock wait timeout exceeded"),
    "MariaDB deadlock": OperationalError(1213, "Deadlock found"),
    "SQLite busy": OperationalError("database is locked"),
}
each_trouble = pytest.mark.parametrize("how", TROUBLES.values(), ids=TROUBLES.keys())


@each_trouble
@pytest.mark.failure_mode("claim: deadlock")
def test_it_is_distinguished_from_other_errors(how):
    """By the driver's own number or state."""
    assert is_transient(how)
    assert not is_transient(OperationalError("server closed the connection"))


@each_trouble
@pytest.mark.parametrize(("times", "done"), [(1, 3), (2, 2)])
@pytest.mark.failure_mode("claim: deadlock")
def test_one_is_retried_at_once_and_two_defer_the_call(kaspi, drain, caplog, how, times, done):
    """The batch goes on, and the next round sends the deferred call."""
    for _ in range(3):
        Order.objects.create()
    with connection.execute_wrapper(FailingStatements('"api_key_fingerprint" = ', how, times)):
        drain()
    assert ApiCall.objects.filter(state="done").count() == done
    assert ("deferred" in caplog.text) == (done < 3)
    drain()
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"done"}
    assert len(kaspi.requests) == len(kaspi.deliveries) == 3


@each_trouble
@pytest.mark.failure_mode("webhook: the database fails")
def test_a_webhook_that_meets_it_twice_is_sent_again_by_kaspi(booked, drain, post_webhook, how):
    """503 with Retry-After, and nothing is stored; for a held lock the worker applies the event."""
    document = event(booked, "accepted")
    with connection.execute_wrapper(FailingStatements('INSERT INTO "kaspi_delivery_webhookevent"', how, 2)):
        answer = post_webhook(document)
    if connection.vendor != "sqlite" and is_lock_timeout(how):
        assert answer.json() == {"status": "parked"}  # the inbox itself is not locked
        drain()
    else:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert not WebhookEvent.objects.exists()
        assert post_webhook(document).status_code == 200
    assert Delivery.objects.get().status == "accepted"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, and no deadlocks")
@pytest.mark.failure_mode("claim: deadlock")
def test_a_real_deadlock_is_survived_by_both(kaspi, at_once):
    """Two transactions lock two deliveries in opposite order: the victim retries."""
    keys = [Delivery.objects.get(object_id=str(Order.objects.create().pk)).pk for _ in range(2)]
    meeting, committed = threading.Barrier(2, timeout=PATIENCE_S), threading.Event()

    def work(first, second):
        attempts = count(1)

        def inside():
            is_retry = next(attempts) > 1
            if is_retry:  # which could take its first lock before the other wakes up: they would deadlock again
                assert committed.wait(PATIENCE_S)
            rows = Delivery.objects.select_for_update()
            rows.get(pk=first)
            if not is_retry:
                meeting.wait()
            rows.get(pk=second)
            return is_retry

        def run():
            is_retried = run_in_transaction(inside)
            committed.set()
            return is_retried

        return run

    assert sorted(at_once(work(*keys), work(*reversed(keys)))) == [False, True]
