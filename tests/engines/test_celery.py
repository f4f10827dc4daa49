"""Celery as the runner: what its workers book, and what is left when one is killed."""

import pytest

from kaspi_delivery_django.models import AccountState, ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from tests.engines.shopping import save_orders

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_saved_order_is_booked_without_a_sweep(broker, open_shop):
    """The task is published at the commit, and a worker sends."""
    stage = open_shop("celery", broker.url)
    stage.start_worker()
    save_orders(5)
    stage.wait_until_booked_once(5)


def test_the_beat_does_all_that_a_worker_does(broker, open_shop):
    """What no message was published about is sent, and the admin sees that a worker runs."""
    open_shop("worker")
    save_orders(5)
    stage = open_shop("celery", broker.url)
    stage.start_worker()
    stage.start_beat()
    stage.wait_until_booked_once(5)
    assert AccountState.objects.get().worker_seen_at


@pytest.mark.parametrize("victim", ["the process that sends", "the whole worker"])
def test_a_worker_killed_in_the_middle_of_a_call_books_once(broker, open_shop, victim):
    """Kaspi has booked it, the answer is lost: after the lease the same bytes go again, with the same key."""
    stage = open_shop("celery", broker.url)
    stage.kaspi.faults.add(Fault(operation="create", latency_s=20))
    worker = stage.start_worker()
    save_orders(1)
    stage.wait_until(lambda: stage.kaspi.requests)
    if victim == "the whole worker":
        worker.kill()
        stage.start_worker()
    else:
        worker.kill_children()
    assert ApiCall.objects.get().state == "sending"
    stage.end_leases()
    stage.start_beat()
    stage.wait_until_booked_once(1)
    first, second = stage.creates()
    assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)


def test_all_processes_of_a_worker_keep_to_one_rate(redis, open_shop):
    """MAX_REQUESTS_PER_SECOND is the worker's, however many processes it forks."""
    stage = open_shop("celery", redis.url)
    save_orders(30)
    stage.start_worker(concurrency=4, rate=10)
    stage.wait_until_booked_once(30)
    assert stage.asked_at[-1] - stage.asked_at[0] > 2  # 2.9 s, or 0.7 s if each had a rate of its own


def test_a_forked_web_server_publishes_itself(redis, open_shop):
    """Its parent's thread is not there; and neither of them hangs when it ends."""
    open_shop("worker")
    save_orders(2)
    stage = open_shop("celery", redis.url)
    calls = ApiCall.objects.values_list("pk", flat=True)
    server = stage.start("tests.engines.forking", *map(str, calls))
    stage.start_worker()
    stage.wait_until_booked_once(2)
    assert server.wait() == 0
