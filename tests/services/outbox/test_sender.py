"""One attempt, from the claim to the recorded row: the table of outcomes, over the sandbox."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from kaspi_delivery_django.client import ServerFault, phones
from kaspi_delivery_django.client.transport import DeadlineAdapter
from kaspi_delivery_django.models import AccountState, ApiCall, Attention, Delivery, FailedAttempt, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.outbox import claims, due_calls, leases, sender
from tests.conftest import record_late
from tests.services.conftest import fresh, posts
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_ORDER = b'{"deliveryId": "dlv_other", "status": "created", "externalOrderId": "order-other"}'


def test_a_success_links_mirrors_and_records(kaspi, due):
    """201: id, tracking address, promised time and first status are stored."""
    assert sender.send(due.pk)
    delivery, call = fresh(due.delivery), fresh(due)
    [remote] = kaspi.deliveries.values()
    assert (delivery.delivery_id, delivery.status) == (remote.delivery_id, "created")
    assert delivery.tracking_url.endswith(remote.delivery_id)
    assert delivery.pickup_by < delivery.delivery_by
    assert (delivery.dropoff_name, delivery.parcel_weight_grams) == ("Aigerim", 500)
    assert (call.state, call.attempts, call.next_attempt_at) == ("done", 1, None)
    assert call.unknown_since is None
    assert StatusChange.objects.get().source == "create"


def test_the_payload_is_frozen_before_the_first_attempt(kaspi, due, fake_clock):
    """Each attempt of a key has the same bytes, even after an edit of the order."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    Order.objects.update(address="somewhere else")
    fake_clock.advance(minutes=1)
    sender.send(due.pk)
    first, second = posts(kaspi)
    assert (first.body, first.idempotency_key) == (second.body, second.idempotency_key)
    assert first.body.decode() == fresh(due).payload


@pytest.mark.parametrize(
    ("fault", "state", "unknown", "http_status"),
    [
        pytest.param({"latency_s": 60}, "unknown", True, None, id="read-timeout"),
        pytest.param({"drop": "before"}, "unknown", True, None, id="reset-before"),
        pytest.param({"drop": "after"}, "unknown", True, None, id="reset-after"),
        pytest.param({"truncate": True}, "unknown", True, None, id="truncated"),
        pytest.param({"body": b"<html>"}, "unknown", True, 201, id="undecodable"),
        pytest.param({"body": b"{}"}, "unknown", True, 201, id="no-delivery-id"),
        pytest.param({"status": 408}, "unknown", True, 408, id="408"),
        pytest.param({"status": 425}, "unknown", True, 425, id="425"),
        pytest.param({"status": 500}, "unknown", True, 500, id="500"),
        pytest.param({"status": 503}, "unknown", True, 503, id="503"),
        pytest.param({"status": 409, "code": "in_progress"}, "unknown", True, 409, id="409-in-progress"),
        pytest.param({"status": 401}, "due", False, 401, id="401"),
        pytest.param({"status": 403}, "due", False, 403, id="403"),
        pytest.param({"status": 404}, "due", False, 404, id="404"),
        pytest.param({"status": 405}, "due", False, 405, id="405"),
        pytest.param({"status": 302}, "due", False, 302, id="redirect"),
        pytest.param({"status": 429}, "due", False, 429, id="429"),
        pytest.param({"status": 400}, "refused", False, 400, id="400"),
        pytest.param({"status": 413}, "refused", False, 413, id="413"),
        pytest.param({"status": 422}, "refused", False, 422, id="422"),
        pytest.param({"status": 409, "code": "conflict"}, "stuck", True, 409, id="409-mismatch"),
        pytest.param({"body": OTHER_ORDER}, "stuck", True, 201, id="another-order"),
    ],
)
@pytest.mark.failure_mode("create: any outcome of one attempt")
@pytest.mark.failure_mode("create: the answer names another order")
def test_outcome_of_a_create(kaspi, due, fault, state, unknown, http_status):
    """The row's state after one attempt; a 2xx about another order's delivery is not linked."""
    kaspi.faults.add(Fault(operation="create", **fault))
    sender.send(due.pk)
    call = fresh(due)
    assert (call.state, call.unknown_since is not None) == (state, unknown)
    assert call.http_status == http_status
    assert (call.next_attempt_at is None) == (state in {"refused", "stuck"})
    assert bool(fresh(due.delivery).attention) == (state in {"refused", "stuck"})
    assert fresh(due.delivery).delivery_id is None


@pytest.mark.failure_mode("create: no connection")
def test_a_refused_connection_costs_only_time(due, fake_clock):
    """It did nothing for sure: due again, after a backoff."""
    with sender.transport(DeadlineAdapter()):
        sender.send(due.pk)
    call = fresh(due)
    assert (call.state, call.unknown_since, call.attempts) == ("due", None, 1)
    assert call.next_attempt_at > fake_clock.now


@pytest.mark.failure_mode("create: 23 hours have passed")
def test_the_23_hour_rule_at_its_boundary(kaspi, due, fake_clock):
    """At 22 h 59 min one more POST with the same bytes; at 23 h none, and staff decide."""
    kaspi.faults.add(Fault(operation="create", status=500, times=None))
    sender.send(due.pk)
    fake_clock.advance(hours=22, minutes=59)
    assert sender.send(due.pk)
    assert posts(kaspi)[0].body == posts(kaspi)[1].body
    fake_clock.advance(minutes=1)
    ApiCall.objects.update(next_attempt_at=fake_clock.now)
    assert not sender.send(due.pk)
    assert len(posts(kaspi)) == 2
    assert fresh(due).state == "stuck"
    assert fresh(due.delivery).attention == Attention.OUTCOME_UNKNOWN


@pytest.mark.parametrize("change", [{"API_KEY": "a-new-key"}, {"BASE_URL": "http://localhost:2/delivery"}])
@pytest.mark.failure_mode("create: key, address or environment has changed")
def test_an_unknown_create_never_goes_to_another_kaspi(kaspi, due, settings, fake_clock, change):
    """Promise 3: another key, or another address, may not know the idempotency key."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **change}
    fake_clock.advance(minutes=1)
    assert not sender.send(due.pk)
    assert fresh(due.delivery).attention == Attention.CONFIGURATION_CHANGED


@pytest.mark.failure_mode("request: a row of another environment")
def test_a_row_of_another_environment_is_never_sent(kaspi, due, configure):
    """Switching to production ships no test orders."""
    configure(ENVIRONMENT="production", BASE_URL="")
    assert not sender.send(due.pk)
    assert (fresh(due).state, kaspi.requests) == ("stuck", [])


@pytest.mark.failure_mode("create: a replayed answer is old")
def test_a_replayed_answer_never_moves_a_status_backwards(kaspi, booked, fake_clock):
    """The stored 201 has `created`, however far the parcel is by now."""
    Delivery.objects.update(status="in_transit", delivery_id=None)
    booked.calls.update(state="unknown", next_attempt_at=fake_clock.now)
    sender.send(booked.calls.get().pk)
    assert fresh(booked).status == "in_transit"
    assert fresh(booked).delivery_id == booked.delivery_id


@pytest.mark.parametrize(
    ("name", "message"),
    [("BrokenBuilder", "Error"), ("WrongBuilder", "must return"), ("DatabaseBreaker", ""), (None, "ORDER_ADAPTERS")],
)
def test_an_adapter_error_is_flagged(kaspi, due, settings, caplog, name, message):
    """Nothing is sent, our rows are not rolled back, and the log has no customer's data."""
    adapters = [f"tests.shop.adapters.{name}"] if name else []
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": adapters}
    assert not sender.send(due.pk)
    assert (fresh(due).state, fresh(due.delivery).attention) == ("stuck", Attention.ADAPTER_FAILED)
    assert message in fresh(due).error_message
    assert "+7 727" not in caplog.text + fresh(due).error_message


@pytest.mark.failure_mode("create: 429")
def test_an_open_breaker_blocks_all_workers(kaspi, due, fake_clock):
    """After a 429 no worker sends for that account until Retry-After has passed."""
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=120))
    sender.send(due.pk)
    assert (fresh(due).state, fresh(due).attempts) == ("due", 0)
    assert not sender.send(due.pk)
    assert list(due_calls.select(limit=10)) == []
    fake_clock.advance(seconds=121)
    assert sender.send(due.pk)
    assert fresh(due).state == "done"
    assert AccountState.objects.get().closed_until is None


@pytest.mark.failure_mode("claim: the worker dies")
def test_a_dead_workers_claim_ends_in_unknown(kaspi, due, fake_clock):
    """After its lease the same bytes go again under the same key: one parcel."""
    claims.claim(due.pk)
    assert fresh(due).state == "sending"
    assert not sender.send(due.pk)
    fake_clock.advance(seconds=61)
    assert leases.release_expired() == 1
    assert fresh(due).state == "unknown"
    assert sender.send(due.pk)
    assert fresh(due).state == "done"


@pytest.mark.failure_mode("claim: a late owner")
def test_a_late_answer_still_links_its_delivery_id(kaspi, due):
    """A lost claim changes no state, but its delivery id is stored, and its error is an attempt."""
    claim = claims.claim(due.pk)
    answer = sender.transmit(claim, None)
    ApiCall.objects.update(claim_token="another-sender")
    record_late(claim, ServerFault("late", status=500))
    assert (fresh(due).state, fresh(due).failed_attempts.count()) == ("sending", 1)
    record_late(claim, answer)
    assert (fresh(due.delivery).delivery_id, fresh(due.delivery).attention) == (answer.delivery_id, "")
    assert fresh(due).claim_token == "another-sender"


@pytest.mark.parametrize(("fault", "attention"), [(None, "second_parcel"), ({"status": 409, "code": "conflict"}, "")])
def test_an_answer_to_a_linked_create_never_changes_the_id(kaspi, due, fault, attention):
    """Promise 9. A webhook has reported the booking: another id is flagged, and an error no longer matters."""
    if fault:
        kaspi.faults.add(Fault(operation="create", **fault))
    claim = claims.claim(due.pk)
    answer = sender.transmit(claim, None)
    Delivery.objects.update(delivery_id="dlv_first")
    record_late(claim, answer)
    delivery = fresh(due.delivery)
    assert (fresh(due).state, delivery.delivery_id, delivery.attention) == ("done", "dlv_first", attention)
    assert fault or fresh(due).error_message == answer.delivery_id


@pytest.mark.parametrize(
    ("fault", "state", "parcels"), [({"status": 429}, "abandoned", 0), ({"drop": "after"}, "done", 1)]
)
@pytest.mark.failure_mode("save: deleted")
def test_an_order_deleted_between_two_attempts(kaspi, due, fake_clock, fault, state, parcels):
    """Its create is abandoned if Kaspi never received it; if Kaspi may have booked it the same bytes go again."""
    kaspi.faults.add(Fault(operation="create", **fault))
    sender.send(due.pk)
    Order.objects.get().delete()
    fake_clock.advance(minutes=5)
    assert sender.send(due.pk) == bool(parcels)
    assert (fresh(due).state, len(kaspi.deliveries)) == (state, parcels)


CANCELS = {
    "accepted": ({}, ("cancelled", "", "done", 1)),
    "409, it has left": ({"move": "in_transit"}, ("in_transit", "cancel_refused", "refused", 1)),
    "409, it is cancelled": ({"move": "cancelled"}, ("cancelled", "", "refused", 1)),
    "404": ({"is_gone": True}, ("created", "not_found", "refused", 1)),
    "no answer": ({"fault": {"latency_s": 60}}, ("cancelled", "", "done", 1)),
    "500 twice": ({"fault": {"status": 500, "times": None}}, ("created", "cancel_unknown", "stuck", 2)),
}


@pytest.mark.failure_mode("cancel: 409")
@pytest.mark.failure_mode("cancel: 404")
@pytest.mark.failure_mode("cancel: outcome unknown")
@pytest.mark.parametrize(("kaspis", "ended"), CANCELS.values(), ids=CANCELS)
def test_outcome_of_a_cancel(kaspi, booked, drain, fake_clock, kaspis, ended):
    """A GET follows a refusal, and comes before a second POST of the same bytes; 404 never means cancelled."""
    if status := kaspis.get("move"):
        kaspi.move(booked.delivery_id, status)
    if kaspis.get("is_gone"):
        del kaspi.deliveries[booked.delivery_id]
    if fault := kaspis.get("fault"):
        kaspi.faults.add(Fault(operation="cancel", **fault))
    cancel_delivery(booked, reason="a mistake")
    for _ in range(6):
        drain()
        fake_clock.advance(minutes=5)
    sent, delivery = posts(kaspi, "/cancel"), fresh(booked)
    assert (delivery.status, delivery.attention, booked.calls.get(kind="cancel").state, len(sent)) == ended
    assert {one.idempotency_key for one in sent} == {f"{booked.external_order_id}-cancel"}
    assert len({one.body for one in sent}) == 1
    assert ended[2] != "done" or "a mistake" in StatusChange.objects.values_list("note", flat=True)


def test_a_cancelled_parcel_that_kaspi_revives_is_not_forgotten(kaspi, booked, drain, fake_clock):
    """The cancel is sent again, or staff are asked (found by the state machine of tests/promises)."""
    kaspi.move(booked.delivery_id, "cancelled")
    cancel_delivery(booked)
    for status in ("cancelled", "created"):
        kaspi.move(booked.delivery_id, status)
        refresh_delivery(booked)
        fake_clock.advance(minutes=1)
        drain()
    pending = booked.calls.filter(kind="cancel", next_attempt_at__isnull=False)
    assert fresh(booked).status == "created"
    assert fresh(booked).attention == Attention.CANCEL_REFUSED or pending.exists()


def test_a_refresh_that_is_older_than_a_webhook_corrects_nothing(kaspi, booked, fake_clock):
    """A webhook during the GET is newer than its answer."""
    call = refresh_delivery(booked)
    claim = claims.claim(call.pk)
    answer = sender.transmit(claim, None)
    moved = Delivery.objects.get()
    moved.status = "in_transit"
    moved.save()
    record_late(claim, answer)
    assert fresh(booked).status == "in_transit"
    assert fresh(booked).next_refresh_at == fake_clock.now


@pytest.mark.failure_mode("refresh: 404")
def test_a_missing_delivery_is_flagged_after_three(kaspi, booked, drain, fake_clock):
    """404 deletes nothing, and flags the delivery only after three in a day."""
    del kaspi.deliveries[booked.delivery_id]
    start = fake_clock.now
    while not fresh(booked).attention:
        fake_clock.advance(hours=2)
        drain()
    assert fresh(booked).attention == Attention.NOT_FOUND
    assert timedelta(hours=24) <= fake_clock.now - start <= timedelta(hours=36)
    assert fresh(booked).next_refresh_at is None


@pytest.mark.failure_mode("save: edited after it was frozen")
def test_a_phone_that_is_grouped_otherwise_is_no_edit(kaspi, drain, monkeypatch):
    """The library phonenumbers was installed, or knows another form, since the order was booked."""
    with monkeypatch.context() as before:
        before.setattr(phones, "_library", lambda: None)
        order = Order.objects.create(phone="+4915112345678")
        drain()
    refresh_delivery(Delivery.objects.get())
    drain()
    assert Delivery.objects.get().attention == ""
    order.phone = "+4915112345679"
    order.save()
    refresh_delivery(Delivery.objects.get())
    drain()
    assert Delivery.objects.get().attention == Attention.ORDER_EDITED


@pytest.mark.failure_mode("request: the database is gone after the answer")
def test_a_database_that_is_down_after_the_201_leaves_the_id_in_the_log(kaspi, due, caplog):
    """The ERROR line names the row and the delivery, so that staff can link them."""

    def fail(execute, sql, params, many, context):
        if kaspi.deliveries:
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        sender.send(due.pk)
    [remote] = kaspi.deliveries.values()
    assert f"call={due.pk} delivery_id={remote.delivery_id}" in caplog.text


@pytest.mark.failure_mode("claim: sent twice by a task queue")
def test_a_call_that_is_not_there_or_not_due_is_left_alone(kaspi, booked, due):
    """A runner may call late, or twice."""
    assert [sender.send(due.pk), sender.send(due.pk + 1)] == [False, False]
    assert len(kaspi.requests) == 1


def test_a_blocked_refresh_is_not_retried_for_ever(kaspi, booked, drain, configure, fake_clock):
    """The sandbox's delivery is not fetched with the production key each half-hour."""
    configure(ENVIRONMENT="production", BASE_URL="")
    fake_clock.advance(minutes=31)
    drain()
    assert fresh(booked).attention == Attention.CONFIGURATION_CHANGED
    assert fresh(booked).next_refresh_at is None


def test_each_failed_attempt_is_recorded(due, kaspi, drain, fake_clock):
    """The call has its last error only."""
    kaspi.faults.add(Fault(operation="create", status=503))
    kaspi.faults.add(Fault(operation="create", drop="before"))
    for _ in range(3):
        drain()
        fake_clock.advance(hours=1)
    assert Delivery.objects.get().status == "created"
    kept = FailedAttempt.objects.order_by("pk")
    assert list(kept.values_list("kind", "http_status", "call")) == [("create", 503, due.pk), ("create", None, due.pk)]
    assert kept[1].error
    assert str(kept[1]) == f"create {kept[1].error}"


def test_an_impossible_delivery_time_is_not_stored(kaspi, due):
    """The year 9999 breaks pages that show it in the shop's time zone."""
    eta = b'{"pickupBy": "9999-12-31T23:59:59Z", "deliveryBy": "1999-01-01T00:00:00Z"}'
    kaspi.faults.add(Fault(operation="create", body=b'{"deliveryId": "dlv_1", "status": "created", "eta": %s}' % eta))
    sender.send(due.pk)
    delivery = fresh(due.delivery)
    assert (delivery.delivery_id, delivery.pickup_by, delivery.delivery_by) == ("dlv_1", None, None)


@pytest.mark.parametrize(
    ("fault", "tries", "least_s"),
    [({"status": 409, "code": "in_progress", "times": None}, 3, 60), ({"status": 500, "stored": True}, 4, 0)],
    ids=["409 in progress", "a stored 500"],
)
@pytest.mark.failure_mode("create: 409, in progress")
@pytest.mark.failure_mode("create: a stored 5xx")
def test_an_error_that_does_not_change_is_tried_three_times(kaspi, due, fake_clock, fault, tries, least_s):
    """The same bytes, then staff decide: slowly while Kaspi is at it, and after three replays of one error."""
    kaspi.faults.add(Fault(operation="create", **fault))
    start = fake_clock.now
    while due_at := fresh(due).next_attempt_at:
        fake_clock.now = max(fake_clock.now, due_at)
        sender.send(due.pk)
    assert len(posts(kaspi)) == tries
    assert (fake_clock.now - start).total_seconds() >= least_s
    assert (fresh(due).state, fresh(due).strikes) == ("stuck", 3)
    assert fresh(due.delivery).attention == Attention.OUTCOME_UNKNOWN


def test_a_deleted_order_is_not_an_edited_one(kaspi, booked, drain):
    """A refresh of its delivery compares nothing."""
    booked.order.delete()
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == ""
