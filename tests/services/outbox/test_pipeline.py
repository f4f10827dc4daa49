"""The pipeline: threads do HTTP only, one thread claims and records, and all promises hold as for one call."""

import threading
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from django.db import DataError, InterfaceError, OperationalError, connections

from kaspi_delivery_django import services
from kaspi_delivery_django.client import NotReached
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import (
    circuit_breaker,
    claims,
    due_calls,
    leases,
    pipeline,
    plain_bookings,
    rate_limit,
    sender,
)
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import call_attempted
from tests.conftest import PATIENCE_S
from tests.services.conftest import fail_on
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(kaspi):
    """Return a silent worker that sends four calls at once."""
    return Worker(log=lambda _line: None, threads=4)


def states():
    return sorted(ApiCall.objects.values_list("state", flat=True))


def test_each_call_is_sent_once(worker, kaspi, orders, connect_only):
    """As many requests as orders. The threads use no database; `call_attempted` is sent in the one that has it."""
    handle, used, received = kaspi.handle, [], []

    def is_main():
        return threading.current_thread() is threading.main_thread()

    def watched(*request):
        used.append((is_main(), [one for one in connections.all(initialized_only=True) if one.connection is not None]))
        return handle(*request)

    def listen(call, error, **_rest):
        received.append((call.delivery.external_order_id, error, is_main()))

    kaspi.handle = watched
    connect_only(call_attempted, listen)
    assert worker.run_round() == 12
    assert used == [(False, [])] * 12
    assert sorted(received) == sorted((f"order-{order.pk}", None, True) for order in orders)
    assert {len(kaspi.deliveries_for(f"order-{order.pk}")) for order in orders} == {1}
    assert set(ApiCall.objects.values_list("state", "attempts", "unknown_since")) == {("done", 1, None)}


def test_the_rows_equal_those_of_a_single_call(worker, booked, orders):
    """The rows do not show how they were sent."""
    worker.run_round()
    written = [row_of(delivery) for delivery in Delivery.objects.order_by("pk")]
    assert [row for row in written if row != written[0]] == []


VARYING = {"id", "object_id", "delivery", "external_key", "order_label", "label_key", "created_at", "updated_at"}
VARYING |= {"payload_sha256", "order_sha256", "request_id"}


def row_of(delivery):
    """Return the stored values of a delivery, without those that identify it."""
    values = {}
    for row in (delivery, delivery.calls.get(), delivery.history.get()):
        for field in row._meta.concrete_fields:
            value = str(getattr(row, field.attname)).replace(delivery.delivery_id, "ID")
            values[row._meta.model_name, field.name] = value.replace(f"order-{delivery.object_id}", "ORDER")
    return {name: value for name, value in values.items() if name[1] not in VARYING}


def test_failures_are_recorded_one_by_one(worker, kaspi, orders):
    """A refusal, a lost answer and a success are each recorded as such."""
    kaspi.faults.add(Fault(operation="create", status=422))
    kaspi.faults.add(Fault(operation="create", drop="after"))
    assert worker.run_round() == 12
    assert states() == ["done"] * 10 + ["refused", "unknown"]


def test_stop_finishes_the_calls_in_flight(worker, kaspi):
    """No more calls are claimed."""
    for _ in range(30):
        Order.objects.create()
    handle = kaspi.handle
    kaspi.handle = lambda *request: worker.stop() or handle(*request)
    worker.run_round()
    done = states().count("done")
    assert states() == ["done"] * done + ["due"] * (30 - done)
    assert len(kaspi.requests) == done <= 8


@pytest.mark.parametrize(
    ("latency_s", "capacities"),
    [(10.0, {0: 5, 3: 2, 4: 1, 5: 0, 9: 0}), (0.01, {0: 20, 3: 17, 4: 16, 9: 11, 15: 5, 16: 0})],
)
def test_the_prefetch_follows_the_latency(worker, latency_s, capacities):
    """With a slow Kaspi one call is prefetched; with a fast one busy threads wait for a worthwhile claim."""
    calls, found = worker._pipeline, {}
    calls._latency_s = latency_s
    for calls._in_flight in capacities:
        found[calls._in_flight] = calls._capacity()
    assert found == capacities


def test_the_prefetch_keeps_to_the_rate_limit(worker, settings):
    """Else all prefetched calls are sent at once after a stall."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 10}
    calls = worker._pipeline
    calls._latency_s = 0.01
    assert calls._prefetch() == 10 * pipeline.PREFETCH_S


@pytest.mark.parametrize("status", [401, 429])
def test_a_breaker_that_opens_releases_the_claims(worker, kaspi, orders, status):
    """Only calls in flight go on; the others are due again, with the same number of attempts."""
    kaspi.faults.add(Fault(operation="create", status=status, times=100))
    worker.run_round()
    assert len(kaspi.requests) <= 4
    assert states() == ["due"] * 12
    held_back = ApiCall.objects.filter(failed_attempts=None)
    assert set(held_back.values_list("attempts", "unknown_since", "claim_token")) == {(0, None, "")}


def test_nothing_is_claimed_when_a_thread_cannot_start(worker, orders, monkeypatch, caplog):
    """The started threads end, and the calls stay due."""
    start, left = threading.Thread.start, [True, True]

    def grudging(thread):
        if thread.name.startswith("kaspi-http"):
            left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", grudging)
    worker.run_round()
    assert states() == ["due"] * 12
    assert "task failed: calls sent" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kaspi-http")]


def test_a_claim_that_waited_too_long_is_not_sent(worker, kaspi, due, monkeypatch):
    """Its lease might expire in flight. It is due again."""
    monkeypatch.setattr(pipeline, "MAX_WAIT_S", -1.0)
    assert worker.run_round() == 0
    call = ApiCall.objects.get()
    assert (call.state, call.unknown_since, kaspi.requests) == ("due", None, [])


@pytest.mark.failure_mode("cancel: before anything was sent")
def test_a_cancel_while_a_claim_waits_is_not_forgotten(worker, kaspi, due, monkeypatch):
    """Staff cancel a claimed call that no thread has begun, and it is released: no courier is booked."""
    claim_many = claims.claim_many

    def cancelled_meanwhile(pks):
        found = claim_many(pks)
        assert services.cancel_delivery(Delivery.objects.get()).status == ""
        worker.stop()
        return found

    monkeypatch.setattr(claims, "claim_many", cancelled_meanwhile)
    worker.run_round()
    monkeypatch.undo()
    assert ApiCall.objects.get().state == "due"
    Worker(log=lambda _line: None, threads=4).run_round()
    assert (Delivery.objects.get().status, ApiCall.objects.get().state, kaspi.requests) == (
        "cancelled",
        "abandoned",
        [],
    )


@pytest.mark.failure_mode("claim: the worker dies")
def test_the_wait_and_two_exchanges_fit_into_a_lease():
    """A cancel of unknown outcome fetches the delivery first."""
    assert leases.LEASE.total_seconds() > pipeline.MAX_WAIT_S + 2 * 15.0


def test_a_run_ends_after_its_time(worker, kaspi, orders, monkeypatch):
    """Then the worker's other tasks run."""
    monkeypatch.setattr("kaspi_delivery_django.services.outbox.worker.SEND_S", 0.0)
    worker.run_round()
    assert kaspi.requests == []


def test_slots_are_kept(worker, kaspi, orders, monkeypatch):
    """With a rate limit no more calls are claimed than may be sent now."""
    waits = [0.0, 0.01, 0.01, 0.0]
    taken = []

    def until_slot(requests):
        taken.append(requests)
        return waits.pop() if waits else 0.0

    monkeypatch.setattr(rate_limit, "acquire", until_slot)
    monkeypatch.setattr(rate_limit, "batch_size", lambda most: min(most, 3))
    worker.run_round()
    assert len(kaspi.requests) == 12
    assert max(taken) == 3


def test_an_unused_slot_is_released(worker, kaspi, orders, monkeypatch):
    """Here other senders have claimed the calls."""
    given = []
    monkeypatch.setattr(rate_limit, "release", given.append)
    monkeypatch.setattr(claims, "claim_many", lambda *_args, **_options: ([], []))
    worker.run_round()
    assert sum(given) == 16
    assert kaspi.requests == []


def test_stop_releases_a_slot_that_is_waited_for(worker, kaspi, due, monkeypatch):
    """The pipeline no longer needs it."""
    given = []
    monkeypatch.setattr(rate_limit, "release", given.append)
    monkeypatch.setattr(rate_limit, "acquire", lambda _requests: worker.stop() or 60.0)
    worker.run_round()
    assert given
    assert kaspi.requests == []


def test_a_trial_call_goes_alone_and_closes_the_breaker(worker, kaspi, orders, fake_clock):
    """Calls of a half-open breaker are claimed one by one."""
    circuit_breaker.trip(Delivery.objects.first(), until=fake_clock.now, reason="a 401")
    fake_clock.advance(seconds=1)
    worker.run_round()
    assert len(kaspi.requests) == 1
    fake_clock.advance(minutes=1)
    worker.run_round()
    assert states() == ["done"] * 12


@pytest.mark.parametrize("trouble", [ZeroDivisionError, DataError, OperationalError("database is locked")])
def test_a_call_that_fails_the_common_claim_is_found(worker, orders, monkeypatch, caplog, trouble):
    """All are claimed one by one; this one stays due, or is flagged if its data is refused."""
    poisoned = ApiCall.objects.first().pk
    monkeypatch.setattr(claims, "claim_many", Mock(side_effect=trouble))
    fail_on(monkeypatch, claims, "claim", trouble, lambda pk, **_options: pk == poisoned)
    worker.run_round()
    assert states() == ["done"] * 11 + ["stuck" if trouble is DataError else "due"]
    assert "999 8877" not in caplog.text


@pytest.mark.parametrize("trouble", [ZeroDivisionError, DataError, OperationalError("database is locked")])
def test_what_cannot_be_recorded_together_is_recorded_alone(worker, orders, monkeypatch, trouble):
    """No answer is lost by an error of another."""
    monkeypatch.setattr(plain_bookings, "record_many", Mock(side_effect=trouble))
    worker.run_round()
    assert states() == ["done"] * 12


def test_an_error_of_the_sending_code_is_contained(worker, orders, monkeypatch, caplog):
    """The call's lease expires, and then its outcome is unknown."""
    poisoned = ApiCall.objects.first().pk
    fail_on(monkeypatch, sender, "transmit", ZeroDivisionError, lambda claim: claim.call.pk == poisoned)
    worker.run_round()
    assert states() == ["done"] * 11 + ["sending"]
    assert "call failed with an error" in caplog.text


@pytest.mark.parametrize("trouble", [OperationalError("gone"), InterfaceError("closed")])
def test_an_unavailable_database_ends_the_round(worker, kaspi, orders, monkeypatch, trouble):
    """Kaspi's answers are recorded if the database is available again at once."""
    record = plain_bookings.record_many
    monkeypatch.setattr(plain_bookings, "record_many", Mock(side_effect=trouble))
    with pytest.raises(type(trouble)):
        worker.run_round()
    booked = Delivery.objects.filter(delivery_id__isnull=False).count()
    assert booked == len(kaspi.deliveries) > 0
    monkeypatch.setattr(plain_bookings, "record_many", record)
    worker.run_round()
    assert states() == ["done"] * 12
    assert len(kaspi.requests) == 12


def test_calls_in_flight_are_recorded_after_a_database_error(worker, kaspi, orders, monkeypatch):
    """Kaspi's late answers are recorded if possible."""
    is_away, handle = threading.Event(), kaspi.handle

    def slow_but_for_the_first(*request):
        is_first = not kaspi.requests
        answer = handle(*request)
        assert is_first or is_away.wait(PATIENCE_S)
        return answer

    def go_away(_answers):
        is_away.set()
        raise InterfaceError

    kaspi.handle = slow_but_for_the_first
    monkeypatch.setattr(pipeline, "_record_plain", go_away)
    with pytest.raises(InterfaceError):
        worker.run_round()
    assert states().count("done") == len(kaspi.requests) > 1
    assert "sending" not in states()


def test_an_unavailable_database_is_tried_once_and_the_answers_are_logged(worker, kaspi, orders, monkeypatch, caplog):
    """Each try may take minutes; the log has the delivery ids before the process is killed."""
    record = Mock(side_effect=InterfaceError)
    monkeypatch.setattr(sender.results, "record", record)
    monkeypatch.setattr(plain_bookings, "record_many", Mock(side_effect=InterfaceError))
    with pytest.raises(InterfaceError):
        worker.run_round()
    assert record.call_count == 1
    for delivery_id in kaspi.deliveries:
        assert f"delivery_id={delivery_id}" in caplog.text


def test_unsent_claims_are_left_to_their_lease_without_a_database(worker, orders, monkeypatch, caplog):
    """There is no answer to log."""
    taken, _blocked = claims.claim_many(list(due_calls.select(limit=3)))
    monkeypatch.setattr(sender.results, "record", Mock(side_effect=InterfaceError))
    answered = [pipeline.Answer(claim=claim, outcome=NotReached("no way")) for claim in taken[:2]]
    worker._pipeline._unrecorded.extend([*answered, pipeline.Answer(claim=taken[2], is_unsent=True)])
    worker._pipeline._rescue()
    assert states().count("sending") == 3
    assert caplog.text.count("answer not recorded") == 2


@pytest.fixture
def pks(kaspi, monkeypatch):
    """Return the keys of three due calls that cannot be claimed together."""
    monkeypatch.setattr(claims, "claim_many", Mock(side_effect=ZeroDivisionError))
    for _ in range(3):
        Order.objects.create()
    return list(ApiCall.objects.values_list("pk", flat=True))


def test_claims_one_by_one_end_after_a_second(pks, monkeypatch):
    """The leases of the claimed calls run; the others stay due."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", -1.0)
    assert pipeline.claim_calls(pks) == []
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"due"}


@pytest.mark.parametrize("claimed", [0, 1, 2])
def test_claimed_calls_are_sent_when_the_database_goes_away(pks, monkeypatch, claimed):
    """The next statement raises the error, or this one when nothing is claimed: the round ends."""
    fail_on(monkeypatch, claims, "claim", InterfaceError, lambda pk, **_options: pk not in pks[:claimed])
    with nullcontext() if claimed else pytest.raises(InterfaceError):
        assert [one.call.pk for one in pipeline.claim_calls(pks)] == pks[:claimed]
