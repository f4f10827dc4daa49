"""Pages, buttons and commands under a router that reads from a replica."""

import io
from contextlib import suppress

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.template import Context, Template
from prometheus_client import CollectorRegistry, generate_latest

from kaspi_delivery_django.contrib import prometheus
from kaspi_delivery_django.models import Delivery, PendingAction
from kaspi_delivery_django.services import bulk_actions
from kaspi_delivery_django.tracking import tracking_path
from tests.conftest import event
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/kaspi_delivery/"
MODELS = ("delivery", "apicall", "failedattempt", "webhookevent", "statuschange", "accountstate", "pendingaction")


@pytest.fixture
def boss(client, replica):
    """Log in a superuser."""
    client.force_login(User.objects.create_superuser("boss", password="p"))
    return client


def test_each_list_and_page_is_read_where_it_is_written(boss, booked, post_webhook, asked):
    """Searched, filtered and exported too; no line comes from a copy that lags behind."""
    post_webhook(event(booked, "accepted"))
    asked.clear()
    for model in MODELS:
        for query in ("", f"?q={booked.external_order_id}", "?o=1", "1/change/", "2/change/"):
            assert boss.get(f"{ADMIN}{model}/{query}", follow=True).status_code == 200
    assert boss.get("/admin/").status_code == 200
    assert boss.get(f"{ADMIN}delivery/{booked.pk}/history/").status_code == 200
    assert booked.delivery_id in boss.get(f"{ADMIN}delivery/labels/").content.decode()
    assert booked.delivery_id in boss.get(f"{ADMIN}delivery/export/?status=accepted").getvalue().decode()
    page = boss.get(f"/admin/shop/order/{booked.object_id}/change/").content.decode()
    assert f"{ADMIN}delivery/{booked.pk}/change/" in page
    assert boss.get("/admin/shop/order/?kaspi_delivery=attention").status_code == 200
    assert asked.of_our_tables == []
    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["CSV export", "Labels"]


def test_the_rest_api_reads_and_acts_where_it_is_written(boss, booked, post_webhook, asked):
    """The list, a search, a delivery, an action with a key that is sent twice, a booking, and the events."""
    api = "/kaspi/api/v1/"
    post_webhook(event(booked, "accepted"))
    asked.clear()
    for path in ("deliveries/?attention=none", "deliveries/?search=order", f"deliveries/{booked.pk}/", "events/"):
        assert boss.get(f"{api}{path}").status_code == 200
    for _attempt in range(2):
        key = {"Idempotency-Key": "k"}
        path = f"{api}deliveries/{booked.pk}/refresh/"
        assert boss.post(path, {}, "application/json", headers=key).status_code == 202
    booking = {"order_id": booked.object_id}
    assert boss.post(f"{api}deliveries/", booking, "application/json").status_code == 200
    assert asked.of_our_tables == []


@pytest.mark.parametrize(
    ("name", "answers", "status"), [("refresh", {}, "created"), ("cancel", {"reason": "out of stock"}, "cancelled")]
)
def test_an_action_is_recorded_and_done(boss, booked, drain, name, answers, status):
    """Its line in the admin's log is written as well."""
    page = boss.post(f"{ADMIN}delivery/{booked.pk}/do/{name}/", answers, follow=True)
    assert page.status_code == 200
    assert LogEntry.objects.filter(object_id=str(booked.pk)).exists()
    drain()
    assert Delivery.objects.get(pk=booked.pk).status == status


def test_a_bulk_action_and_its_queue_are_done(boss, drain, monkeypatch):
    """Some rows in the request, the others by the worker."""
    monkeypatch.setattr(bulk_actions, "ROWS_PER_REQUEST", 1)
    for _ in range(3):
        Order.objects.create()
    drain()
    keys = list(Delivery.objects.values_list("pk", flat=True))
    data = {"action": "cancel_deliveries", "_selected_action": keys}
    page = boss.post(f"{ADMIN}delivery/", data, follow=True)
    boss.post(f"{ADMIN}delivery/", {**page.context["hidden"], "reason": "out of stock"}, follow=True)
    assert PendingAction.objects.count() == 2
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_customers_pages_tags_and_metrics(client, replica, booked, asked):
    """The page, its JSON, the template tag, and the collector's one statement."""
    asked.clear()
    path = tracking_path(booked)
    assert client.get(path).status_code == 200
    assert client.get(path.replace("/track/", "/api/track/")).json()["status"] == "created"
    text = Template("{% load kaspi_delivery %}{% kaspi_timeline delivery %}").render(Context({"delivery": booked}))
    assert text.strip()
    registry = CollectorRegistry()
    prometheus.connect(registry)
    assert b"kaspi_delivery_up 1.0" in generate_latest(registry)
    assert asked.of_our_tables == []


COMMANDS = [
    ["kaspi_worker", "--once"],
    ["kaspi_worker", "--once", "--threads", "4"],
    ["kaspi_enqueue", "--dry-run"],
    ["kaspi_prune"],
    ["kaspi_replay"],
    ["kaspi_report"],
    ["kaspi_operators"],
    ["kaspi_doctor"],
    ["kaspi_enqueue"],
]


def test_each_command_reads_where_it_writes(replica, kaspi, booked, asked, monkeypatch):
    """What it reports about the shop does not matter here."""
    monkeypatch.setattr(OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all())
    Order.objects.bulk_create([Order()])
    asked.clear()
    for command in COMMANDS:
        with suppress(SystemExit):  # the doctor and the report end so when they find something
            call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
        assert (command, asked.of_our_tables) == (command, [])
        assert Delivery.objects.count() == (2 if command == ["kaspi_enqueue"] else 1)


def test_operators_get_their_permissions_once(replica):
    """The second run reads what the first one has written."""
    for expected in ("15", "0"):
        out = io.StringIO()
        call_command("kaspi_operators", stdout=out)
        assert f": {expected} permissions given" in out.getvalue()
    assert Permission.objects.filter(group__name="Kaspi operators").count() == 15
