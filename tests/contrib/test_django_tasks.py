"""Django's tasks as the runner: what is enqueued, and where. A real worker is in tests/engines."""

from importlib.util import find_spec

import pytest
from django.db import transaction

from kaspi_delivery_django.contrib import django_tasks as runner
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.deliveries import runners
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

DUMMY = f"{'django.tasks' if find_spec('django.tasks') else 'django_tasks'}.backends.dummy.DummyBackend"


@pytest.fixture(autouse=True)
def tasks(settings):
    """A backend that keeps what is enqueued."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "django_tasks"}
    settings.TASKS = {"default": {"BACKEND": DUMMY}}


def enqueued(alias="default"):
    return [result.args for result in runner.task_backends[alias].results]


def test_a_due_call_is_enqueued_by_its_primary_key():
    """Nothing of the order is in the task."""
    Order.objects.create()  # its own commit, outside of a request: the worker's
    call = ApiCall.objects.get()
    runners.notify_runner(call)
    assert enqueued() == [[call.pk]]


def test_a_backend_of_our_name_is_preferred(settings):
    """So that a shop can give us a database or a queue of our own."""
    settings.TASKS = {"default": {"BACKEND": DUMMY}, "kaspi_delivery": {"BACKEND": DUMMY}}
    runner.enqueue(742)
    assert (enqueued(), enqueued("kaspi_delivery")) == ([], [[742]])


def test_a_task_sends_one_call_once(due, kaspi):
    """Run twice, it makes one request."""
    runner.send_call.call(due.pk)
    runner.send_call.call(due.pk)
    assert len(kaspi.requests) == 1


@pytest.mark.parametrize("is_rolled_back", [False, True])
def test_an_order_is_enqueued_at_its_commit_alone(is_rolled_back):
    """A request that is never committed causes no request to Kaspi."""
    with transaction.atomic():
        Order.objects.create()
        assert enqueued() == []
        transaction.set_rollback(is_rolled_back)
    added = ApiCall.objects.values_list("pk", flat=True)
    assert (len(added), enqueued()) == (int(not is_rolled_back), [[pk] for pk in added])
