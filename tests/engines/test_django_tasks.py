"""Django's tasks as the runner, with the worker of django-tasks-db: Django 6's own tasks, or the backport's."""

import pytest

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from tests.engines.shopping import save_orders

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = ("django", "db_worker", "--interval", "0.1", "--no-startup-delay")


def test_a_saved_order_is_booked_by_a_task_worker(open_shop):
    """The task is enqueued at the commit, and `db_worker` sends."""
    stage = open_shop("django_tasks")
    stage.start(*WORKER)
    save_orders(5)
    stage.wait_until_booked_once(5)


def test_a_task_worker_killed_in_the_middle_of_a_call_books_once(open_shop):
    """The task is lost, for django-tasks-db tries none again; `kaspi_worker --once` from cron finds the call."""
    stage = open_shop("django_tasks")
    stage.kaspi.faults.add(Fault(operation="create", latency_s=20))
    worker = stage.start(*WORKER)
    save_orders(1)
    stage.wait_until(lambda: stage.kaspi.requests)
    worker.kill()
    assert ApiCall.objects.get().state == "sending"
    stage.end_leases()
    stage.start("django", "kaspi_worker", "--once")
    stage.wait_until_booked_once(1)
    first, second = stage.creates()
    assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)
