"""SIGTERM in the middle of a call: it is finished and recorded, nothing more is claimed, and the exit code is 0."""

import threading

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from tests.shop.models import Order
from tests.storm.run import Plan
from tests.storm.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 30


def test_a_worker_that_is_asked_to_stop_finishes_its_call():
    """The one under way is done; the others stay due."""
    with Stage(Plan(orders=3, faults=0, workers=1, speed=1)) as stage:
        asked = threading.Event()
        handle = stage.world.handle
        stage.world.handle = lambda *request: asked.set() or handle(*request)
        stage.world.faults.add(Fault(latency_s=1.0, times=None))
        for _ in range(3):
            Order.objects.create()
        assert asked.wait(PATIENCE_S)
        _web, worker = stage.processes
        assert worker.terminate() == 0
        assert len(stage.world.requests) == 1
    assert sorted(ApiCall.objects.values_list("state", flat=True)) == ["done", "due", "due"]
    assert Delivery.objects.filter(delivery_id__isnull=False).count() == 1
