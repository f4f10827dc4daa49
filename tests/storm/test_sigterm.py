"""SIGTERM in the middle of a call: it is finished and recorded, nothing more is claimed, and the exit code is 0."""

import threading

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from tests.conftest import PATIENCE_S
from tests.shop.models import Order
from tests.storm.run import Plan
from tests.storm.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


THREADS, MOST_UNDER_WAY = 2, 4
ORDERS = 12


@pytest.mark.failure_mode("claim: SIGTERM")
def test_a_worker_that_is_asked_to_stop_finishes_its_call():
    """What is under way is done; the others stay due."""
    with Stage(Plan(orders=ORDERS, faults=0, workers=1, threads=THREADS, speed=1)) as stage:
        asked = threading.Event()
        handle = stage.kaspi.handle
        stage.kaspi.handle = lambda *request: asked.set() or handle(*request)
        stage.kaspi.faults.add(Fault(latency_s=1.0, times=None))
        for _ in range(ORDERS):
            Order.objects.create()
        assert asked.wait(PATIENCE_S)
        _web, worker = stage.processes
        assert worker.terminate() == 0
        sent = len(stage.kaspi.requests)
    assert 1 <= sent <= MOST_UNDER_WAY
    assert sorted(ApiCall.objects.values_list("state", flat=True)) == ["done"] * sent + ["due"] * (ORDERS - sent)
    assert Delivery.objects.filter(delivery_id__isnull=False).count() == sent
