"""B0: the outcome of one attempt to book."""

import pytest

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.deliveries.calls import MAX_FAILURES
from kaspi_delivery_django.services.outbox import claims, results, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def attention():
    """Return why a person is needed."""
    return Delivery.objects.get().attention


@pytest.fixture
def due_call():
    """Return the call of an order; without a sandbox nobody listens at the base URL."""
    Order.objects.create()
    return ApiCall.objects.get()


def test_b0_not_connected_is_due_again(turnable, due_call):
    """No byte left: nothing can be booked."""
    Worker(say=lambda _line: None).run_round()
    due_call.refresh_from_db()
    assert (due_call.state, due_call.unknown_since) == ("due", None)
    assert due_call.next_attempt_at > turnable.now


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301])
def test_b0_a_configuration_fault_waits_behind_the_gate(attempt, caplog, drain, turnable, status):
    """No attempt is burned, the gate is closed for all, and the log says it once."""
    call = attempt(status=status, times=None)
    assert (call.state, call.attempts, call.unknown_since) == ("due", 0, None)
    for _ in range(3):
        pause = (AccountState.objects.get().closed_until - turnable.now).total_seconds()
        assert 240 <= pause <= 360
        Order.objects.create()
        turnable.turn(minutes=6)
        drain()
    assert caplog.text.count("gate closed") == 1
    assert not Delivery.objects.exclude(attention="").exists()


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("0", 1), ("99999", 3600), ("Fri, 01 Jan 2100 00:00:00 GMT", 3600)]
)
def test_b0_429_waits_as_long_as_kaspi_says(attempt, turnable, header, seconds):
    """Clamped to a second at least and an hour at most, for every worker."""
    call = attempt(status=429, retry_after=header)
    assert call.state == "due"
    assert (AccountState.objects.get().closed_until - turnable.now).total_seconds() == seconds


def test_b0_429_with_a_garbled_header_waits_by_our_own_pause(attempt, turnable):
    """At least half a minute."""
    attempt(status=429, retry_after="soon")
    assert (AccountState.objects.get().closed_until - turnable.now).total_seconds() >= 30


@pytest.mark.parametrize("status", [400, 413, 415, 418, 422])
def test_b0_another_4xx_is_refused(attempt, status):
    """The error is kept; a correction is the next generation."""
    call = attempt(status=status, code="invalid")
    assert (call.state, call.http_status, call.error_code) == ("refused", status, "invalid")
    assert attention() == "refused"


@pytest.mark.parametrize("code", ["in_progress", "whatever"])
def test_b0_409_in_progress_is_tried_three_times_over_a_minute(attempt, drain, turnable, creates, code):
    """The same key and bytes; then a person."""
    call = attempt(times=None, status=409, code=code)
    assert call.state == "unknown"
    began = turnable.now
    while call.state == "unknown":
        turnable.turn(seconds=30)
        drain()
        call.refresh_from_db()
    assert (turnable.now - began).total_seconds() >= 60
    assert len(creates()) == MAX_FAILURES
    assert len({(r.idempotency_key, r.body) for r in creates()}) == 1
    assert (call.state, attention()) == ("stuck", "outcome_unknown")


def test_b0_409_payload_mismatch_is_for_a_person(attempt, drain, turnable, creates):
    """Never a fresh key by itself."""
    call = attempt(status=409, code="idempotency_mismatch")
    turnable.turn(days=1)
    drain()
    assert (call.state, attention()) == ("stuck", "key_reused")
    assert len(creates()) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"latency_s": 60},
        {"drop": "after"},
        {"truncate": True},
        {"body": b"<html>"},
        {"body": b"x" * (2 << 20)},
        {"status": 408},
        {"status": 425},
        {"status": 500},
        {"status": 503, "booked": True},
    ],
    ids=str,
)
def test_b0_an_unknown_outcome_sends_the_same_again(attempt, drain, turnable, creates, kaspi, fault):
    """One parcel, whether the first had booked it or not."""
    call = attempt(**fault)
    assert (call.state, call.unknown_since) == ("unknown", turnable.now)
    turnable.turn(minutes=1)
    drain()
    assert len({(r.idempotency_key, r.body) for r in creates()}) == 1
    assert len(kaspi.deliveries) == 1
    assert Delivery.objects.get().delivery_id


def test_b0_a_stored_5xx_is_tried_three_times(attempt, drain, turnable):
    """The stored answer will not change."""
    call = attempt(status=500, stored=True)
    while call.state == "unknown":
        turnable.turn(minutes=20)
        drain()
        call.refresh_from_db()
    assert (call.state, call.attempts, attention()) == ("stuck", MAX_FAILURES + 1, "outcome_unknown")


def test_b0_a_success_without_an_id_is_tried_three_times(attempt, drain, turnable, creates):
    """It may have booked."""
    call = attempt(times=None, body=b"{}")
    while call.state == "unknown":
        turnable.turn(minutes=20)
        drain()
        call.refresh_from_db()
    assert (call.state, len(creates()), attention()) == ("stuck", MAX_FAILURES, "outcome_unknown")


def test_b0_a_success_that_names_another_order_is_not_linked(attempt):
    """A person looks both up."""
    call = attempt(body=b'{"deliveryId": "dlv_1", "status": "created", "externalOrderId": "order-0"}')
    assert (call.state, attention()) == ("stuck", "foreign_delivery")
    assert Delivery.objects.get().delivery_id is None


def test_b0_a_success_links_once_and_judges_its_status(kaspi, due_call, post_webhook):
    """An answer that is older than a webhook never takes the status back."""
    claim = claims.claim(due_call.pk, using="default")
    answer = sender.transmit(claim, None)
    claim.delivery.delivery_id = answer.delivery_id
    post_webhook(event(claim.delivery, "in_transit"))
    assert Delivery.objects.get().status == "in_transit"
    run_in_transaction(lambda: results.record(claim, answer, 0.5, using="default"), using="default")
    assert answer.status == "created"
    assert (Delivery.objects.get().delivery_id, Delivery.objects.get().status) == (answer.delivery_id, "in_transit")


@pytest.mark.parametrize(
    "change",
    [
        {"API_KEY": "another"},
        {"BASE_URL": "http://localhost:2/delivery"},
        {"ENVIRONMENT": "production", "BASE_URL": ""},
    ],
    ids=["key", "address", "environment"],
)
def test_b0_another_configuration_sends_no_unknown_create(attempt, drain, turnable, settings, creates, change):
    """Kaspi's memory of keys belongs to an API key, and to the place that it was sent to."""
    call = attempt(drop="after")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **change}
    turnable.turn(minutes=1)
    drain()
    call.refresh_from_db()
    assert (call.state, attention(), len(creates())) == ("stuck", "configuration_changed", 1)


def test_b0_an_order_that_waited_a_day_is_not_shipped_by_itself(kaspi, drain, turnable, due_call):
    """A three-day outage must not ship stale orders."""
    turnable.turn(hours=24)
    drain()
    assert (kaspi.requests, attention()) == ([], "too_old")
