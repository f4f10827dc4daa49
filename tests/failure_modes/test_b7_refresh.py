"""B7: asking Kaspi. Pruning has its rows in tests/management."""

import pytest
from django.conf import settings as django_settings

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import actions
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def gets(kaspi):
    """Return the requests that ask."""
    return [request for request in kaspi.requests if request.method == "GET"]


def test_b7_only_open_deliveries_are_asked_about(booked, kaspi, drain, turnable):
    """What has ended is left in peace."""
    kaspi.webhook_url = None
    kaspi.move(booked.delivery_id, "delivered")
    for _ in range(5):
        turnable.turn(hours=1)
        drain()
    assert len(gets(kaspi)) == 1


def test_b7_the_stalest_is_asked_about_first(kaspi, drain, turnable):
    """In batches."""
    for _ in range(3):
        Order.objects.create()
        drain()
        turnable.turn(minutes=1)
    turnable.turn(hours=1)
    assert actions.refresh_stale(limit=2, using="default") == 2
    asked = ApiCall.objects.filter(kind="refresh").values_list("delivery_id", flat=True)
    assert set(asked) == set(Delivery.objects.order_by("created_at", "pk").values_list("pk", flat=True)[:2])


def test_b7_a_closed_gate_keeps_refreshes_too(booked, kaspi, drain, turnable, settings):
    """They go through the same gate."""
    kaspi.api_key = "rotated"
    turnable.turn(hours=1)
    drain()
    before = len(kaspi.requests)
    drain()
    assert len(kaspi.requests) == before
    assert django_settings.KASPI_DELIVERY["API_KEY"] != kaspi.api_key


def test_b7_404_asks_for_a_person_after_three_over_a_day(booked, kaspi, drain, turnable):
    """And never deletes."""
    kaspi.faults.add(Fault(operation="get", status=404, times=None))
    turnable.turn(hours=1)
    began = turnable.now
    while not Delivery.objects.get().attention:
        drain()
        turnable.turn(hours=1)
    assert len(gets(kaspi)) == 3
    assert (turnable.now - began).total_seconds() >= 24 * 3600
    assert Delivery.objects.get().attention == "not_found"


def test_b7_polling_grows_no_table_and_history_never_doubles(booked, kaspi, drain, turnable):
    """Five days of silence."""
    kaspi.webhook_url = None
    kaspi.move(booked.delivery_id, "accepted")
    for _ in range(20):
        turnable.turn(hours=6)
        drain()
    assert ApiCall.objects.filter(kind="refresh").count() == 1
    assert list(StatusChange.objects.values_list("to_status", flat=True)) == ["created", "accepted"]
