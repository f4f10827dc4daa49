"""`manage.py demo`, and what makes it fail."""

import os
import re
from pathlib import Path

import pytest

from example_project.demo.stage import MANAGE, _environment
from example_project.demo.stories import REFUSAL, REFUSED, STRAIGHT, Placed
from example_project.demo.watching import Sight, Watcher
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.faults import Fault
from tests.example_project.conftest import run


def test_the_demo_ends_well(tmp_path):
    """Five orders end as they should; nothing is left in the folder it was started from."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "example_project.settings"}
    printed = run(MANAGE, "demo", cwd=tmp_path, env=environment)
    rows = re.findall(r"^order-(\d+) .* (?:dlv_\w+|-) +(\S+) +(\d)  pass$", printed, re.MULTILINE)
    ends = [("delivered", "1"), ("delivered", "1"), ("cancelled", "1"), ("-", "0"), ("delivered", "1")]
    assert rows == [(str(number), *end) for number, end in enumerate(ends, 1)]
    assert "reported late" in printed
    assert list(tmp_path.iterdir()) == []


def test_no_key_and_no_database_of_the_outside_reaches_the_demo(monkeypatch):
    """Whatever a developer has exported, the demo uses its own sandbox and file."""
    monkeypatch.setenv("KASPI_DELIVERY_API_KEY", "a-real-key")
    monkeypatch.setenv("KASPI_DELIVERY_RUNNER", "worker")
    monkeypatch.setenv("DATABASE_URL", "postgres://a-real-database")
    environment = _environment(Path("/tmp/demo"), "http://127.0.0.1:1")
    assert environment["DATABASE_URL"] == "sqlite:////tmp/demo/shop.sqlite3"
    assert "KASPI_DELIVERY_API_KEY" not in environment
    assert "KASPI_DELIVERY_RUNNER" not in environment


def test_a_second_parcel_fails_the_demo():
    """Two deliveries at Kaspi for one order are one too many."""
    kaspi = FakeKaspi()
    request = {"externalOrderId": "order-1", "dropoff": {"contact": {"name": "Aigerim"}}}
    records = [kaspi._book(request) for _ in range(2)]
    placed = Placed(story=STRAIGHT, url="/orders/1/", number="1", took_s=0.1)
    watcher = Watcher(browser=None, kaspi=kaspi)
    watcher.last[placed.url] = Sight(status="delivered", delivery_id=records[0].delivery_id)
    assert "Kaspi has 2 deliveries" in watcher.outcome_of(placed).wrong


@pytest.mark.parametrize(("status", "wrong"), [(REFUSAL, ()), (500, ("Kaspi did not refuse it",))])
def test_an_order_that_was_not_refused_fails_the_demo(status, wrong):
    """The order that is left for staff is one that Kaspi refused, not one that went missing."""
    kaspi = FakeKaspi()
    kaspi.faults.add(Fault(operation="create", status=status))
    kaspi.handle("POST", "/v1/deliveries", {"Idempotency-Key": "order-4"}, b"")
    placed = Placed(story=REFUSED, url="/orders/4/", number="4", took_s=0.1)
    assert Watcher(browser=None, kaspi=kaspi).outcome_of(placed).wrong == wrong
