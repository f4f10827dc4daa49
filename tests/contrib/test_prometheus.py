"""The metrics: gauges of the tables at a scrape, counters of the signals, and the worker's port."""

import gc
import http.client
import io
import logging
import re
import socket
import sys
import weakref
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from kaspi_delivery_django.client import OutcomeUnknown
from kaspi_delivery_django.contrib import prometheus
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import (
    call_attempted,
    delivery_needs_attention,
    delivery_status_changed,
    webhook_answered,
)
from kaspi_delivery_django.stats import snapshot
from tests.conftest import NOON, PATIENCE_S, event

ROOT = Path(__file__).resolve().parent.parent.parent
rows = pytest.mark.django_db(transaction=True)


@pytest.fixture
def registry():
    """Return a registry of its own, connected."""
    own = CollectorRegistry()
    prometheus.connect(own)
    return own


@pytest.fixture
def value(registry):
    """Look one sample up; names lack the prefix."""
    return lambda name, **labels: registry.get_sample_value(f"kaspi_delivery_{name}", labels)


def test_connecting_makes_no_query_and_ends_with_the_registry():
    """It happens in `ready`, before there may be a database: this test has none."""
    registry = CollectorRegistry()
    prometheus.connect(registry)
    assert list(prometheus.Collector().describe()) == []
    gone = weakref.ref(registry)
    del registry
    gc.collect()
    assert gone() is None


@rows
def test_connecting_twice_is_once(registry, client, value):
    """A reload, or two apps that both do it; what never happened has the time 0, so that an alert fires."""
    prometheus.connect(registry)
    assert value("last_webhook_timestamp_seconds") == 0
    assert value("worker_seen_timestamp_seconds", account="default", environment="sandbox") == 0
    client.post("/kaspi/webhook/", b"{}", content_type="application/json")
    assert value("webhooks_total", outcome="unauthorized", http_status="401") == 1
    assert generate_latest(registry).decode().count("# TYPE kaspi_delivery_up gauge") == 1


@rows
def test_the_tables_are_read_at_the_scrape(value, booked, drain, post_webhook, fake_clock):
    """Each of the app's processes shows the same."""
    drain()
    post_webhook(event(booked, "accepted", attempt=3))
    Delivery.objects.update(attention="order_edited", delivery_by=NOON)
    fake_clock.advance(minutes=1)
    assert value("up") == 1
    assert (value("deliveries", status="accepted"), value("deliveries", status="not_booked")) == (1, 0)
    assert (value("attention", reason="order_edited"), value("overdue")) == (1, 1)
    assert value("last_webhook_timestamp_seconds") == NOON.timestamp()
    assert value("worker_seen_timestamp_seconds", account="default", environment="sandbox") == NOON.timestamp()
    assert (value("webhook_events_last_day"), value("webhook_most_attempts_last_day")) == (1, 3)
    assert value("webhook_events_repeated_last_day") == 1


@rows
def test_what_is_pending_or_failed_is_read_too(value, due, fake_clock):
    """Calls, circuit breakers, dead letters, and what failed in the last hour."""
    WebhookEvent.objects.create(event_id="wh_1", type="x", body="{}", state="conflict", received_at=NOON)
    AccountState.objects.create(account="default", environment="sandbox", closed_until=NOON)
    for status in (503, 503, None, 799):
        FailedAttempt.objects.create(call=due, kind="create", at=NOON, http_status=status)
    fake_clock.advance(minutes=2)
    assert (value("calls", state="due"), value("oldest_due_age_seconds")) == (1, 180)
    assert (value("dead_letters", state="conflict"), value("actions", state="waiting")) == (1, 0)
    assert value("gate_closed", account="default", environment="sandbox") == 1
    assert value("failed_attempts_last_hour", kind="create", answer="503") == 2
    assert value("failed_attempts_last_hour", kind="create", answer="no_answer") == 1
    assert value("failed_attempts_last_hour", kind="create", answer="7xx") == 1


@rows
def test_a_scrape_makes_four_statements(registry, due, django_assert_num_queries):
    """However many rows there are."""
    with django_assert_num_queries(4):
        generate_latest(registry)


@rows
def test_a_database_that_is_away_costs_the_host_nothing(registry, value, monkeypatch, caplog):
    """Its other metrics are shown; it is logged once, and again after it was back."""
    Gauge("shop_carts", "The host's own.", registry=registry).set(5)

    def away():
        raise OperationalError("could not connect as kaspi with password x")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(snapshot, "read", away)
        assert (value("up"), value("up"), registry.get_sample_value("shop_carts")) == (0, 0, 5)
        assert value("overdue") is None
    assert caplog.text.count("metrics not read: error=OperationalError") == 1
    assert "password" not in caplog.text
    assert value("up") == 1


@rows
def test_a_scrape_leaves_the_connection_as_it_was(registry, at_once):
    """An exporter makes a thread for each scrape, and Django would close none of theirs; a view's stays open."""

    def scrape():
        generate_latest(registry)
        return connection.connection

    connection.ensure_connection()
    before = connection.connection
    assert (at_once(scrape), scrape() is before) == ([None], True)


@rows
def test_a_connection_that_broke_is_opened_again(value, monkeypatch):
    """A thread that lives long would otherwise never see the database again."""
    connection.ensure_connection()
    connection.connection.close()
    monkeypatch.setattr(connections["default"], "is_usable", lambda: False)
    assert (value("up"), value("up")) == (0, 1)


@rows
def test_webhooks_are_counted_by_what_became_of_them(value, booked, post_webhook, settings):
    """With the answer's status; signature failures are there before the first one."""
    assert value("webhooks_total", outcome="unauthorized", http_status="401") == 0
    post_webhook(event(booked, "accepted"))
    post_webhook(event(booked, "accepted"), signature="0" * 64)
    post_webhook(b" " * 70_000)
    assert value("webhooks_total", outcome="applied", http_status="200") == 1
    assert value("webhooks_total", outcome="unauthorized", http_status="401") == 1
    assert value("webhooks_total", outcome="too_large", http_status="413") == 1
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "WEBHOOK_SECRETS": []}
    for _ in range(3):  # its ERROR line comes once an hour
        post_webhook(b"{}", secret="unknown")
    assert value("webhooks_total", outcome="not_configured", http_status="503") == 3


@rows
def test_attempts_changes_and_flags_are_counted(value, due, drain, kaspi, fake_clock, post_webhook):
    """By answer, status and reason, and timed; a success that Kaspi replayed is counted, from the start at 0."""
    assert value("replays_total", kind="create") == 0
    kaspi.faults.add(Fault(operation="create", status=503))
    kaspi.faults.add(Fault(operation="create", drop="after"))
    for _ in range(3):
        drain()
        fake_clock.advance(minutes=10)
    booked = Delivery.objects.get()
    post_webhook(event(booked, "accepted", at=fake_clock.now))
    kaspi.faults.add(Fault(operation="cancel", status=409))
    cancel_delivery(booked)
    drain()
    answers = {name: value("attempts_total", kind="create", answer=name) for name in ("503", "no_answer", "ok")}
    assert answers == {"503": 1, "no_answer": 1, "ok": 1}
    assert value("request_seconds_count", kind="create") == 3
    assert value("replays_total", kind="create") == 1
    assert value("status_changes_total", status="accepted") == 1
    assert value("needs_attention_total", reason="cancel_refused") == 1


def test_labels_are_few_and_the_receivers_touch_no_database(monkeypatch):
    """A word of Kaspi's that is new is "other", a status that HTTP does not know goes by its class."""
    monkeypatch.setattr(delivery_status_changed, "receivers", [])  # without the example shop's
    registry = CollectorRegistry()
    prometheus.connect(registry)
    webhook_answered.send(object, http_status=401, outcome="unauthorized")
    delivery_needs_attention.send(object, delivery=Delivery(), attention="refused")
    for number in range(50):
        change = StatusChange(to_status=f"teleported_{number}")
        delivery_status_changed.send(object, delivery=Delivery(), change=change)
        error = OutcomeUnknown("odd", status=540 + number)
        call_attempted.send(object, call=ApiCall(kind="create"), error=error, seconds=0)
    text = "".join(line for line in generate_latest(registry).decode().splitlines(keepends=True) if "_total{" in line)
    assert 'status_changes_total{status="other"} 50.0' in text
    assert 'attempts_total{answer="5xx",kind="create"} 50.0' in text
    assert "teleported" not in text


@pytest.fixture
def work(monkeypatch, kaspi):
    """Run `kaspi_worker`; return what `meanwhile` got from the port that it names, and what it printed."""

    def run(*arguments, meanwhile):
        out, got = io.StringIO(), []

        def run_until_asked(_worker):
            got.append(meanwhile(int(re.search(r"metrics on port (\d+) of 127", out.getvalue())[1])))

        monkeypatch.setattr(Worker, "run", run_until_asked)
        call_command("kaspi_worker", *arguments, stdout=out)
        return got[0], out.getvalue()

    return run


def get(port):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as asked:
        asked.request("GET", "/metrics")
        answer = asked.getresponse()
        return answer.status, answer.read().decode()


@rows
def test_the_worker_serves_the_metrics(work, due):
    """Over a socket, on the loopback address, until it stops."""
    ports = []
    (status, text), printed = work("--metrics-port", "0", meanwhile=lambda port: ports.append(port) or get(port))
    assert status == 200
    assert 'kaspi_delivery_calls{state="due"} 1.0' in text
    assert printed.endswith("kaspi_worker is ready\nkaspi_worker has stopped\n")
    with pytest.raises(OSError, match="refused"):
        get(ports[0])


@rows
def test_a_port_that_is_taken_is_an_error_in_words(work):
    """No traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"No metrics on port {port} of 127.0.0.1: .*Try another port"):
            work("--metrics-port", str(port), meanwhile=get)


def test_without_the_extra_the_worker_says_what_to_install(work, monkeypatch):
    """It names the extra."""
    monkeypatch.delitem(sys.modules, "kaspi_delivery_django.contrib.prometheus")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(CommandError, match=r"pip install 'kaspi-delivery-django\[prometheus\]'") as wrong:
        work("--metrics-port", "0", meanwhile=get)
    assert wrong.value.returncode == 2


@pytest.mark.parametrize(
    "arguments", [("--metrics-port=70000",), ("--metrics-port=x",), ("--once", "--metrics-port=0")]
)
def test_a_port_that_cannot_be_is_refused(work, arguments):
    """And so is one for a worker that does not stay."""
    with pytest.raises(CommandError, match=r"from 0 to 65535|not allowed with"):
        work(*arguments, meanwhile=get)


@rows
def test_the_docs_name_every_metric_and_no_other(registry, due, drain):
    """Alerts on a metric that is not there never fire."""
    drain()
    FailedAttempt.objects.create(call=due, kind="create", at=NOON - timedelta(minutes=1))
    text = generate_latest(registry).decode()
    exported = set(re.findall(r"^# TYPE (kaspi_delivery_\w+)", text, re.MULTILINE))
    exported = {name for name in exported if not name.endswith("_created")}
    documented = set(re.findall(r"\bkaspi_delivery_(?!django)\w+", (ROOT / "docs" / "running.md").read_text()))
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in documented} == exported
