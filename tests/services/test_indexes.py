"""Every statement of a busy shop's day finds its rows by an index, however many there are."""

import re
from datetime import date, timedelta
from functools import partial

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from kaspi_delivery_django import tracking
from kaspi_delivery_django.admin import filters
from kaspi_delivery_django.api.serializers import readable
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import bulk_actions, clock, inbox
from kaspi_delivery_django.services.db import delete_in_batches
from kaspi_delivery_django.services.deliveries import actions, notifications
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, due_calls, leases, plain_bookings, sender
from kaspi_delivery_django.stats import report
from tests.conftest import event
from tests.shop.models import Order

pytestmark = [
    pytest.mark.skipif(connection.vendor not in {"postgresql", "sqlite"}, reason="plans are read of these two"),
    pytest.mark.django_db(transaction=True),
]
LARGE = [model._meta.db_table for model in (Delivery, ApiCall, WebhookEvent, StatusChange)]
READ_WHOLE = re.compile(rf"(?:Seq Scan on|\bSCAN) (?:U\d|{'|'.join(LARGE)})\b(?! USING)")
ALIASED = re.compile(r'"(\w+)" "?(U\d)\b')
ROWS = 500


@pytest.fixture(autouse=True)
def past():
    from benchmarks.past import fill  # noqa: PLC0415  # its SQL is that of the two

    fill(ROWS)


def prune():
    soon = timezone.now() + timedelta(days=1)
    for _name, old in pruning.old_rows(soon):
        list(delete_in_batches(old, batch=100, dry_run=False))
    list(pruning.anonymize_personal_data(ended_before=soon, batch=100))


def plans(work):
    """Do it, and return how the engine reads for each statement that it took."""
    executed = []

    def record(execute, sql, params, *rest):
        executed.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(record):
        work()
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan TO off")
        for sql, params in executed:
            if sql.split()[0] in {"SELECT", "UPDATE", "DELETE"}:
                cursor.execute(f"{explain} {sql}", params)
                yield sql, "\n".join(str(row[-1]) for row in cursor.fetchall())
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")


def assert_by_index(work):
    found = list(plans(work))
    assert found
    assert [(sql, line) for sql, plan in found for line in plan.splitlines() if is_read_whole(sql, line)] == []


def is_read_whole(sql, line):
    """Return whether the line of a statement's plan reads a large table from end to end."""
    small = {alias for table, alias in ALIASED.findall(sql) if table == AccountState._meta.db_table}
    small -= {alias for table, alias in ALIASED.findall(sql) if table in LARGE}
    return bool(READ_WHOLE.search(line)) and not any(line.endswith(f"SCAN {alias}") for alias in small)


def test_a_plan_without_an_index_is_seen():
    """There is no index on a parcel's description."""
    [(_sql, plan)] = plans(lambda: list(Delivery.objects.filter(parcel_description="Books")))
    assert READ_WHOLE.search(plan)


def test_an_orders_saves_and_its_webhooks(kaspi, drain, post_webhook):
    """The first save, which books, and another; by Kaspi's id, the order's where that is unknown, and the event's."""
    order = Order()
    assert_by_index(order.save)
    assert_by_index(order.save)
    drain()
    booked = Delivery.objects.latest("pk")
    assert_by_index(lambda: post_webhook(event(booked, "accepted")))
    assert_by_index(lambda: post_webhook(event(booked, "accepted")))
    assert_by_index(lambda: Client().get(tracking.tracking_path(booked)))
    assert_by_index(lambda: tracking.delivery_of(booked.order))
    Delivery.objects.filter(pk=booked.pk).update(delivery_id=None)
    assert_by_index(lambda: post_webhook(event(booked, "in_transit", event_id="wh_2")))


def test_a_search():
    """Of all that a delivery is found by, whole and by its beginning."""
    for term in ("2026-7", "order-7", "ORDER-", "omarova7", "Almaty", "9999", "no-such-parcel"):
        found = Delivery.objects.matching(term, order_ids=[term], shows_personal=True)
        assert_by_index(lambda found=found: list(Delivery.objects.filter(found).order_by("-pk")[:50]))


def test_claims_and_answers(due):
    """All that sending takes, alone and together, and the calls behind a circuit breaker that closes."""

    def make_due():
        ApiCall.objects.filter(pk=due.pk).update(state="due", next_attempt_at=clock.now())

    assert_by_index(lambda: due_calls.select(limit=1))
    assert_by_index(lambda: claims.claim(due.pk))
    make_due()
    assert_by_index(lambda: claims.claim_many([due.pk]))
    make_due()
    [claim], _blocked = claims.claim_many([due.pk])
    booking = (claim, sender.transmit(claim))
    assert_by_index(lambda: plain_bookings.record_many([booking]))
    Delivery.objects.filter(pk=due.delivery_id).update(delivery_id=None, status="")
    make_due()
    assert_by_index(lambda: sender.send(due.pk))
    make_due()
    now = clock.now()
    circuit_breaker.trip(due.delivery, until=now, reason="429")
    assert_by_index(lambda: circuit_breaker.reset(due.delivery, now))
    assert ApiCall.objects.get(pk=due.pk).next_attempt_at > now


def test_a_workers_tasks(booked, fake_clock):
    """Most of the time there is nothing to do; then a stale delivery's refresh is found by its key."""
    refresh = partial(actions.refresh_stale, limit=100)
    assert_by_index(leases.release_expired)
    assert_by_index(lambda: inbox.apply_parked(limit=100))
    assert_by_index(lambda: bulk_actions.run_pending(limit=100))
    assert_by_index(lambda: notifications.notify_pending(limit=100))
    assert_by_index(refresh)
    fake_clock.advance(days=2)
    assert_by_index(refresh)
    assert ApiCall.objects.filter(kind="refresh").exists()


def test_the_figures_and_pruning(kaspi):
    """Counts stop at ten thousand, what happened lately is found by its time, and so is each batch."""
    assert_by_index(report.read)
    assert_by_index(prune)
    assert not WebhookEvent.objects.exists()
    assert not Delivery.objects.filter(blanked_at=None).exists()


def test_the_rows_behind_a_number_of_the_dashboard(admin_client):
    """The filter that the number links."""
    Delivery.objects.filter(pk=ROWS).update(cancel_requested_at=timezone.now(), cancel_reason="changed their mind")
    for table, query in (
        ("delivery", {"day": f"booked:{date(2025, 1, 31)}"}),
        ("delivery", {"day": f"delivered:{date(2025, 1, 31)}"}),
        ("delivery", {"day": "delivered:week"}),
        ("delivery", {"saved_for": "production/default"}),
        ("delivery", {"reason": filters.digest("changed their mind")}),
        ("apicall", {"ended": "create:done"}),
        ("failedattempt", {"answer": "create:503"}),
        ("webhookevent", {"repeated": "1"}),
    ):
        assert_by_index(lambda page=(f"/admin/kaspi_delivery/{table}/", query): admin_client.get(*page))


def test_the_cancel_sweep(due):
    """By the status or the next refresh; unsent deliveries by the list of staff and by their keys."""
    own = {"account": due.delivery.account, "environment": due.delivery.environment}
    AccountState.objects.create(**own, cancels_asked_at=None)
    assert_by_index(lambda: CancelSweep().run())
    Delivery.objects.filter(pk=due.delivery_id).update(attention="not_wanted")
    AccountState.objects.update(cancels_asked_at=None)
    found = list(plans(lambda: CancelSweep().run()))
    [by_list] = [plan for sql, plan in found if '."attention" = ' in sql and "UPDATE" not in sql]
    assert "kaspi_delivery_attention" in by_list
    [by_key] = [plan for sql, plan in found if '."id" IN (' in sql and "kaspi_delivery_delivery" in sql]
    assert re.search(r"INTEGER PRIMARY KEY|Index Cond: .*\bid = ", by_key)


def test_a_page_of_the_rest_api(admin_client):
    """The first, and the second if there is one, with the calls and the history of its rows."""

    def read(query):
        answer = admin_client.get("/kaspi/api/v1/deliveries/", {**query, "page_size": 5})
        assert answer.status_code == 200
        if following := answer.json()["next"]:
            assert admin_client.get(following).status_code == 200

    for query in (
        *([{}] if connection.vendor != "sqlite" else []),  # there the table is its own index
        {"status": "created"},
        {"attention": "any"},
        {"account": "default"},
        {"created_before": "2025-06-01T00:00:00Z", "created_after": "2025-01-01T00:00:00Z"},
        {"external_order_id": "order-7"},
        {"delivery_id": "dlv_7"},
        {"order_id": "7", "model": "shop.Order"},
        {"search": "2026-7"},
    ):
        assert_by_index(partial(read, query))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL hashes the table of an EXISTS")
def test_a_page_looks_up_the_other_deliveries_of_its_own_rows_only():
    """Whether there is a later or a return: not for the whole table at once, however cheap the engine takes that."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Delivery._meta.db_table}")
    assert "Seq Scan" not in readable(Delivery.objects.order_by("-pk"))[:5].explain()
