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
from kaspi_delivery_django.services.deliveries import actions, notifications
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, due_calls, plain_bookings, sender
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
    """Let the shop have sold before."""
    from benchmarks.past import fill  # noqa: PLC0415  # its SQL is that of the two

    fill(ROWS)


def prune():
    """Delete and blank one batch after the other."""
    soon = timezone.now() + timedelta(days=1)
    list(pruning.prune_events(received_before=soon, batch=100))
    list(pruning.prune_attempts(failed_before=soon, batch=100))
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
    """Fail with the statements that read a large table from end to end."""
    found = list(plans(work))
    assert found
    assert [(sql, line) for sql, plan in found for line in plan.splitlines() if is_read_whole(sql, line)] == []


def is_read_whole(sql, line):
    """Tell whether the line of a statement's plan reads a large table from end to end."""
    small = {alias for table, alias in ALIASED.findall(sql) if table == AccountState._meta.db_table}
    small -= {alias for table, alias in ALIASED.findall(sql) if table in LARGE}
    return bool(READ_WHOLE.search(line)) and not any(line.endswith(f"SCAN {alias}") for alias in small)


def test_a_plan_without_an_index_is_seen():
    """Nobody looks for a parcel by its description."""
    [(_sql, plan)] = plans(lambda: list(Delivery.objects.filter(parcel_description="Books")))
    assert READ_WHOLE.search(plan)


def test_a_webhook(booked, post_webhook):
    """By Kaspi's id, and by the order's where that is not known yet."""
    assert_by_index(lambda: post_webhook(event(booked, "accepted")))
    Delivery.objects.filter(pk=booked.pk).update(delivery_id=None)
    assert_by_index(lambda: post_webhook(event(booked, "in_transit", event_id="wh_2")))


def test_a_repeated_webhook(booked, post_webhook):
    """By the event's id."""
    post_webhook(event(booked, "accepted"))
    assert_by_index(lambda: post_webhook(event(booked, "accepted")))


@pytest.mark.parametrize("term", ["2026-7", "order-7", "ORDER-", "omarova7", "Almaty", "9999", "no-such-parcel"])
def test_a_search(term):
    """Of all that a delivery is found by, whole and by its beginning."""

    def search():
        found = Delivery.objects.matching(term, order_ids=[term], shows_personal=True)
        list(Delivery.objects.filter(found).order_by("-pk")[:50])

    assert_by_index(search)


def test_an_orders_saves(kaspi):
    """The first, which books, and another."""
    order = Order()
    assert_by_index(order.save)
    assert_by_index(order.save)


def test_a_claim_and_an_answer(due):
    """What is due, and all that sending takes."""
    assert_by_index(lambda: due_calls.select(limit=1))
    assert_by_index(lambda: claims.claim(due.pk, using="default"))
    ApiCall.objects.filter(pk=due.pk).update(state="due", next_attempt_at=clock.now())
    assert_by_index(lambda: sender.send(due.pk))


def test_claims_and_answers_together(due):
    """What sending takes when many go at once."""
    [claim], _blocked = claims.claim_many([due.pk], using="default")
    answer = sender.transmit(claim)
    assert_by_index(
        lambda: plain_bookings.record_many([plain_bookings.Booking(claim=claim, remote=answer)], using="default")
    )
    ApiCall.objects.filter(pk=due.pk).update(state="due", next_attempt_at=clock.now())
    assert_by_index(lambda: claims.claim_many([due.pk], using="default"))


def test_the_calls_behind_a_gate_that_opens(due):
    """By what is due, and by the keys."""
    now = clock.now()
    circuit_breaker.trip(due.delivery, until=now, reason="429")
    assert_by_index(lambda: circuit_breaker.reset(due.delivery, now))
    assert ApiCall.objects.get(pk=due.pk).next_attempt_at > now


@pytest.mark.parametrize(
    "chore",
    [
        partial(inbox.apply_parked, using="default"),
        bulk_actions.run_pending,
        partial(actions.refresh_stale, using="default"),
        partial(notifications.notify_pending, using="default"),
    ],
)
def test_a_workers_chore(kaspi, chore):
    """Most of the time there is nothing to do."""
    assert_by_index(lambda: chore(limit=100))


def test_claims_of_dead_workers(kaspi):
    """By what is due."""
    assert_by_index(due_calls.release_expired)


def test_a_silent_delivery(booked, turnable):
    """Its refresh is found by its key."""
    turnable.turn(days=2)
    assert_by_index(lambda: actions.refresh_stale(limit=100, using="default"))
    assert ApiCall.objects.filter(kind="refresh").exists()


def test_pruning(kaspi):
    """Each batch."""
    assert_by_index(prune)
    assert not WebhookEvent.objects.exists()
    assert not Delivery.objects.filter(blanked_at=None).exists()


def test_the_figures(kaspi):
    """Counts stop at ten thousand, and what happened lately is found by its time."""
    assert_by_index(report.read)


@pytest.mark.parametrize(
    ("table", "query"),
    [
        ("delivery", {"day": f"booked:{date(2025, 1, 31)}"}),
        ("delivery", {"day": f"delivered:{date(2025, 1, 31)}"}),
        ("delivery", {"day": "delivered:week"}),
        ("delivery", {"saved_for": "production/default"}),
        ("delivery", {"reason": filters.digest("changed their mind")}),
        ("apicall", {"ended": "create:done"}),
        ("failedattempt", {"answer": "create:503"}),
        ("webhookevent", {"repeated": "1"}),
    ],
)
def test_the_rows_behind_a_number_of_the_dashboard(admin_client, table, query):
    """The filter that the number links."""
    Delivery.objects.filter(pk=ROWS).update(cancel_requested_at=timezone.now(), cancel_reason="changed their mind")
    assert_by_index(lambda: admin_client.get(f"/admin/kaspi_delivery/{table}/", query))


def test_the_question_for_unheard_cancels(kaspi):
    """By the status, or by the next refresh where the status is new to us: what has ended is not read."""
    AccountState.objects.update(cancels_asked_at=None)
    assert_by_index(lambda: CancelSweep().run())


def test_the_question_for_unheard_cancels_of_what_was_never_sent(due):
    """By the list of staff, and by the key: neither an account's deliveries are read, nor all that were never sent."""
    Delivery.objects.filter(pk=due.delivery_id).update(attention="not_wanted")
    own = {"account": due.delivery.account, "environment": due.delivery.environment}
    AccountState.objects.update_or_create(**own, defaults={"cancels_asked_at": None})
    found = list(plans(lambda: CancelSweep().run()))
    by_list = [plan for sql, plan in found if '."attention" = ' in sql and "UPDATE" not in sql]
    assert len(by_list) == 1
    assert "kaspi_delivery_attention" in by_list[0]
    by_key = [plan for sql, plan in found if '."id" IN (' in sql and "kaspi_delivery_delivery" in sql]
    assert len(by_key) == 1
    assert re.search(r"INTEGER PRIMARY KEY|Index Cond: .*\bid = ", by_key[0])


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({}, marks=pytest.mark.skipif(connection.vendor == "sqlite", reason="the table is its own index")),
        {"status": "created"},
        {"attention": "any"},
        {"account": "default"},
        {"created_before": "2025-06-01T00:00:00Z", "created_after": "2025-01-01T00:00:00Z"},
        {"external_order_id": "order-7"},
        {"delivery_id": "dlv_7"},
        {"order_id": "7", "model": "shop.Order"},
        {"search": "2026-7"},
    ],
    ids=str,
)
def test_a_page_of_the_rest_api(admin_client, query):
    """The first, and the second if there is one, with the calls and the history of its rows."""

    def read():
        answer = admin_client.get("/kaspi/api/v1/deliveries/", {**query, "page_size": 5})
        assert answer.status_code == 200
        if following := answer.json()["next"]:
            assert admin_client.get(following).status_code == 200

    assert_by_index(read)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL hashes the table of an EXISTS")
def test_a_page_looks_up_the_other_deliveries_of_its_own_rows_only():
    """Whether there is a later or a return: not for the whole table at once, however cheap the engine takes that."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Delivery._meta.db_table}")
    assert "Seq Scan" not in readable(Delivery.objects.order_by("-pk"))[:5].explain()


def test_a_customers_page(booked):
    """By the delivery's key, and the order's generations."""
    assert_by_index(lambda: Client().get(tracking.tracking_path(booked)))
    assert_by_index(lambda: tracking.delivery_of(booked.order))
