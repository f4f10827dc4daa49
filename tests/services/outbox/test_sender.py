"""One attempt, from the claim to the recorded row: the table of outcomes, over the sandbox."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection, transaction

from kaspi_delivery_django.client import ServerFault, phones
from kaspi_delivery_django.client.transport import DeadlineAdapter
from kaspi_delivery_django.models import AccountState, ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, db, refresh_delivery
from kaspi_delivery_django.services.outbox import claims, clients, due_calls, results, sender
from tests.conftest import PATIENCE_S
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def record_late(claim, answer):
    """Record a claim later than its sender would."""
    work = partial(results.record, claim, answer, 0.5, using="default")
    db.run_in_transaction(work, using="default")


def posts(kaspi, ending="/v1/deliveries"):
    """Return the creates, or the cancels, that Kaspi received."""
    return [r for r in kaspi.requests if r.method == "POST" and r.path.endswith(ending)]


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


def test_the_payload_is_frozen_before_the_first_attempt(kaspi, due, turnable):
    """Each attempt of a key has the same bytes, even after an edit of the order."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    Order.objects.update(address="somewhere else")
    turnable.turn(minutes=1)
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
    ],
)
@pytest.mark.failure_mode("create: any outcome of one attempt")
def test_outcome_of_a_create(kaspi, due, fault, state, unknown, http_status):
    """The row's state after one attempt."""
    kaspi.faults.add(Fault(operation="create", **fault))
    sender.send(due.pk)
    call = fresh(due)
    assert (call.state, call.unknown_since is not None) == (state, unknown)
    assert call.http_status == http_status
    assert (call.next_attempt_at is None) == (state in {"refused", "stuck"})
    assert bool(fresh(due.delivery).attention) == (state in {"refused", "stuck"})


@pytest.mark.failure_mode("create: outcome unknown")
def test_unknown_since_is_committed_before_a_byte_leaves(kaspi, due, monkeypatch):
    """If the process dies while sending, the row has the time."""

    def die(claim, total_s):
        raise SystemExit

    monkeypatch.setattr(sender, "transmit", die)
    with pytest.raises(SystemExit):
        sender.send(due.pk)
    assert (fresh(due).state, fresh(due).unknown_since is not None) == ("sending", True)


@pytest.mark.failure_mode("create: nobody is connected")
def test_a_refused_connection_costs_only_time(due, turnable):
    """It did nothing for sure: due again, after a backoff."""
    with clients.transport(DeadlineAdapter()):
        sender.send(due.pk)
    call = fresh(due)
    assert (call.state, call.unknown_since, call.attempts) == ("due", None, 1)
    assert call.next_attempt_at > turnable.now


@pytest.mark.failure_mode("create: 23 hours have passed")
def test_the_23_hour_rule_at_its_boundary(kaspi, due, turnable):
    """At 22 h 59 min one more POST with the same bytes; at 23 h none, and staff decide."""
    kaspi.faults.add(Fault(operation="create", status=500, times=None))
    sender.send(due.pk)
    turnable.turn(hours=22, minutes=59)
    assert sender.send(due.pk)
    assert posts(kaspi)[0].body == posts(kaspi)[1].body
    turnable.turn(minutes=1)
    ApiCall.objects.update(next_attempt_at=turnable.now)
    assert not sender.send(due.pk)
    assert len(posts(kaspi)) == 2
    assert fresh(due).state == "stuck"
    assert fresh(due.delivery).attention == Attention.OUTCOME_UNKNOWN


@pytest.mark.parametrize("change", [{"API_KEY": "a-new-key"}, {"BASE_URL": "http://localhost:2/delivery"}])
@pytest.mark.failure_mode("create: key, address or environment has changed")
def test_an_unknown_create_never_goes_to_another_kaspi(kaspi, due, settings, turnable, change):
    """Promise 3: another key, or another address, may not know the idempotency key."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **change}
    turnable.turn(minutes=1)
    assert not sender.send(due.pk)
    assert fresh(due.delivery).attention == Attention.CONFIGURATION_CHANGED


@pytest.mark.failure_mode("request: a row of another environment")
def test_a_row_of_another_environment_is_never_sent(kaspi, due, settings):
    """Switching to production ships no test orders."""
    production = {"ENVIRONMENT": "production", "BASE_URL": ""}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **production}
    assert not sender.send(due.pk)
    assert (fresh(due).state, kaspi.requests) == ("stuck", [])


def test_a_call_of_a_removed_account_is_flagged(kaspi, due):
    """No other account's key is used."""
    Delivery.objects.update(account="closed-branch")
    assert not sender.send(due.pk)
    assert fresh(due.delivery).attention == Attention.CONFIGURATION_CHANGED


@pytest.mark.failure_mode("create: the order is a day old")
def test_an_old_call_is_flagged(kaspi, due, turnable):
    """After a three-day outage an order may no longer be wanted."""
    turnable.turn(hours=24)
    assert not sender.send(due.pk)
    assert fresh(due.delivery).attention == Attention.TOO_OLD


@pytest.mark.failure_mode("create: the answer names another order")
def test_an_answer_that_names_another_order_is_not_linked(kaspi, due):
    """A 2xx about another order's delivery is flagged."""
    body = b'{"deliveryId": "dlv_other", "status": "created", "externalOrderId": "order-other"}'
    kaspi.faults.add(Fault(operation="create", body=body))
    sender.send(due.pk)
    assert fresh(due.delivery).delivery_id is None
    assert fresh(due.delivery).attention == Attention.FOREIGN_DELIVERY


@pytest.mark.failure_mode("create: a stored 5xx")
def test_a_replayed_server_error_is_flagged_after_three(kaspi, due, turnable):
    """The same 5xx replayed three times will not change."""
    kaspi.faults.add(Fault(operation="create", status=500, stored=True))
    for _ in range(4):
        sender.send(due.pk)
        turnable.turn(minutes=2)
    assert (fresh(due).state, fresh(due).strikes) == ("stuck", 3)
    turnable.turn(hours=1)
    assert not sender.send(due.pk)


@pytest.mark.failure_mode("create: 409, in progress")
def test_in_progress_is_tried_three_times_over_a_minute(kaspi, due, turnable):
    """409 with an unknown code: the same bytes, slowly, then staff decide."""
    kaspi.faults.add(Fault(operation="create", status=409, code="in_progress", times=None))
    start = turnable.now
    while due_at := fresh(due).next_attempt_at:
        turnable.now = max(turnable.now, due_at)
        sender.send(due.pk)
    assert len(posts(kaspi)) == 3
    assert (turnable.now - start).total_seconds() >= 60
    assert fresh(due.delivery).attention == Attention.OUTCOME_UNKNOWN


@pytest.mark.failure_mode("create: a replayed answer is old")
def test_a_replayed_answer_never_moves_a_status_backwards(kaspi, booked, turnable):
    """The stored 201 has `created`, however far the parcel is by now."""
    Delivery.objects.update(status="in_transit", delivery_id=None)
    booked.calls.update(state="unknown", next_attempt_at=turnable.now)
    sender.send(booked.calls.get().pk)
    assert fresh(booked).status == "in_transit"
    assert fresh(booked).delivery_id == booked.delivery_id


def test_an_adapter_error_is_flagged(kaspi, due, settings, caplog):
    """Nothing is sent, and the log has no customer's data."""
    broken = {"ORDER_ADAPTERS": ["tests.shop.adapters.BrokenBuilder"]}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **broken}
    assert not sender.send(due.pk)
    assert fresh(due.delivery).attention == Attention.ADAPTER_FAILED
    assert "+7 727" not in caplog.text + fresh(due).error_message


def test_a_wrong_type_of_the_adapter_is_flagged(kaspi, due, settings):
    """The error names the type to return."""
    wrong = {"ORDER_ADAPTERS": ["tests.shop.adapters.WrongBuilder"]}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **wrong}
    sender.send(due.pk)
    assert "must return a DeliveryRequest" in fresh(due).error_message


def test_a_removed_adapter_is_flagged(kaspi, due, settings):
    """A model without an adapter has no payload."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    sender.send(due.pk)
    assert "ORDER_ADAPTERS" in fresh(due).error_message


def test_a_database_error_in_the_adapter_stays_in_its_savepoint(kaspi, due, settings):
    """The shop's failed statement does not roll back our rows."""
    broken = {"ORDER_ADAPTERS": ["tests.shop.adapters.DatabaseBreaker"]}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **broken}
    assert not sender.send(due.pk)
    assert fresh(due).state == "stuck"


def test_a_deleted_order_is_abandoned(kaspi, due):
    """It was deleted in bulk, without a signal: nothing is sent."""
    orders = Order.objects.all()
    orders._raw_delete("default")
    assert not sender.send(due.pk)
    assert (fresh(due).state, kaspi.requests) == ("abandoned", [])


def test_the_order_lines_are_in_the_payload(kaspi, due):
    """The adapter is called after the commit, when the order's lines exist."""
    Order.objects.get().lines.create(title="A samovar")
    sender.send(due.pk)
    assert "A samovar" in fresh(due).payload


@pytest.mark.failure_mode("create: 429")
def test_an_open_breaker_blocks_all_workers(kaspi, due, turnable):
    """After a 429 no worker sends for that account until Retry-After has passed."""
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=120))
    sender.send(due.pk)
    assert (fresh(due).state, fresh(due).attempts) == ("due", 0)
    assert not sender.send(due.pk)
    assert list(due_calls.select(limit=10)) == []
    turnable.turn(seconds=121)
    assert sender.send(due.pk)
    assert fresh(due).state == "done"
    assert AccountState.objects.get().closed_until is None


def test_calls_without_a_key_stay_due(kaspi, due, settings):
    """Nothing is sent or lost."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": ""}
    assert not sender.send(due.pk)
    assert (fresh(due).state, kaspi.requests) == ("due", [])
    assert not AccountState.objects.exists()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": kaspi.api_key}
    assert sender.send(due.pk)


@pytest.mark.failure_mode("claim: the worker dies")
def test_a_dead_workers_claim_ends_in_unknown(kaspi, due, turnable):
    """After its lease the same bytes go again under the same key: one parcel."""
    claims.claim(due.pk, using="default")
    assert fresh(due).state == "sending"
    assert not sender.send(due.pk)
    turnable.turn(seconds=61)
    assert due_calls.release_expired() == 1
    assert fresh(due).state == "unknown"
    assert sender.send(due.pk)
    assert fresh(due).state == "done"


@pytest.mark.failure_mode("claim: a late owner")
def test_a_late_answer_still_links_its_delivery_id(kaspi, due):
    """A lost claim changes no state, but its delivery id is stored."""
    claim = claims.claim(due.pk, using="default")
    answer = sender.transmit(claim, None)
    ApiCall.objects.update(claim_token="another-sender")
    record_late(claim, answer)
    assert fresh(due.delivery).delivery_id == answer.delivery_id
    assert fresh(due).claim_token == "another-sender"


def test_a_late_error_is_an_attempt_and_no_more(kaspi, due):
    """A lost claim changes no state."""
    claim = claims.claim(due.pk, using="default")
    ApiCall.objects.update(claim_token="another")
    record_late(claim, ServerFault("late", status=500))
    assert (fresh(due).state, fresh(due).claim_token, fresh(due).failed_attempts.count()) == ("sending", "another", 1)
    assert Delivery.objects.get().attention == ""


def test_a_second_delivery_id_is_kept_out_and_flagged(kaspi, due):
    """Promise 9: a linked id never changes."""
    claim = claims.claim(due.pk, using="default")
    answer = sender.transmit(claim, None)
    Delivery.objects.update(delivery_id="dlv_first")
    record_late(claim, answer)
    assert fresh(due.delivery).delivery_id == "dlv_first"
    assert fresh(due.delivery).attention == Attention.SECOND_PARCEL
    assert fresh(due).error_message == answer.delivery_id


def test_an_error_of_a_linked_create_is_not_flagged(kaspi, due):
    """A webhook has reported the booking; the create's answer no longer matters."""
    kaspi.faults.add(Fault(operation="create", status=409, code="conflict"))
    claim = claims.claim(due.pk, using="default")
    answer = sender.transmit(claim, None)
    Delivery.objects.update(delivery_id="dlv_told")
    record_late(claim, answer)
    assert (fresh(due).state, fresh(due.delivery).attention) == ("done", "")


def test_an_impossible_delivery_time_is_not_stored(kaspi, due):
    """The year 9999 breaks pages that show it in the shop's time zone."""
    body = b'{"deliveryId": "dlv_1", "status": "created", "eta": {"pickupBy": "9999-12-31T23:59:59Z"}}'
    kaspi.faults.add(Fault(operation="create", body=body))
    sender.send(due.pk)
    assert (fresh(due.delivery).delivery_id, fresh(due.delivery).pickup_by) == ("dlv_1", None)


def test_half_an_emoji_in_kaspis_answer_is_replaced(kaspi, due):
    """No database can store it; the booking is recorded."""
    body = b'{"deliveryId": "dlv_1", "status": "created", "x": "\\ud83d"}'
    kaspi.faults.add(Fault(operation="create", body=body))
    sender.send(due.pk)
    assert fresh(due.delivery).delivery_id == "dlv_1"


def test_a_late_cancel_is_flagged(kaspi, booked, drain):
    """Kaspi accepted it, and the courier was faster: staff must inform the customer."""
    kaspi.cancel_is_slow = True
    cancel_delivery(booked, reason="a mistake")
    drain()
    kaspi.move(booked.delivery_id, "in_transit")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == Attention.CANCEL_REFUSED


def test_what_is_due_at_once_is_due_by_a_slower_clock_too(due, turnable):
    """The database decides what is due, and its clock may be behind ours."""
    assert due.next_attempt_at <= turnable.now - timedelta(seconds=30)


def test_an_order_deleted_between_two_attempts_is_abandoned(kaspi, due, turnable):
    """Its payload is frozen, but Kaspi never received it."""
    kaspi.faults.add(Fault(operation="create", status=429))
    sender.send(due.pk)
    Order.objects.get().delete()
    turnable.turn(minutes=5)
    assert not sender.send(due.pk)
    assert (fresh(due).state, len(kaspi.deliveries)) == ("abandoned", 0)


@pytest.mark.failure_mode("save: deleted")
def test_an_order_deleted_while_its_booking_is_unknown_is_kept(kaspi, due, turnable):
    """Kaspi may have booked it: the same bytes go again."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    sender.send(due.pk)
    Order.objects.get().delete()
    turnable.turn(minutes=1)
    assert sender.send(due.pk)
    assert fresh(due.delivery).delivery_id


@pytest.mark.django_db(transaction=True)
def test_a_locked_row_does_not_stop_the_worker(kaspi, due):
    """The shop's long transaction holds it; the worker skips it and comes back."""
    if not connection.features.has_select_for_update_skip_locked:
        assert sender.send(due.pk)
        return
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Delivery.objects.select_for_update().get()
            held.set()
            done.wait(PATIENCE_S)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE_S)
    try:
        assert not sender.send(due.pk)
    finally:
        done.set()
        thread.join()
    assert sender.send(due.pk)


def test_cancel_ends_cancelled(kaspi, booked, drain):
    """200 with the final status."""
    cancel_delivery(booked, reason="a mistake")
    drain()
    assert fresh(booked).status == "cancelled"
    assert StatusChange.objects.latest("pk").note == "a mistake"
    [cancel] = posts(kaspi, "/cancel")
    assert cancel.idempotency_key == f"{booked.external_order_id}-cancel"


@pytest.mark.failure_mode("cancel: accepted, not done")
def test_an_accepted_cancel_waits_for_the_final_status(kaspi, booked, drain, turnable):
    """200 with the old status: the delivery is refreshed soon."""
    kaspi.cancel_is_slow = True
    cancel_delivery(booked, reason="a mistake")
    drain()
    assert fresh(booked).status == "created"
    kaspi.move(booked.delivery_id, "cancelled")
    turnable.turn(minutes=2)
    drain()
    drain()
    assert fresh(booked).status == "cancelled"


@pytest.mark.failure_mode("cancel: 409")
def test_a_refused_cancel_is_refreshed(kaspi, booked, drain):
    """409: a GET decides, and the delivery is flagged."""
    kaspi.move(booked.delivery_id, "in_transit")
    cancel_delivery(booked, reason="too late")
    drain()
    drain()
    assert booked.calls.get(kind="cancel").state == "refused"
    assert fresh(booked).status == "in_transit"
    assert fresh(booked).attention == Attention.CANCEL_REFUSED


@pytest.mark.failure_mode("cancel: 409")
def test_a_cancel_that_was_done_already_clears_its_flag(kaspi, booked, drain):
    """409 because it is cancelled: the GET finds out."""
    kaspi.move(booked.delivery_id, "cancelled")
    cancel_delivery(booked, reason="again")
    drain()
    drain()
    assert (fresh(booked).status, fresh(booked).attention) == ("cancelled", "")


@pytest.mark.failure_mode("cancel: 404")
def test_a_cancel_of_a_delivery_kaspi_does_not_know_is_not_done(kaspi, booked, drain):
    """404 never means cancelled."""
    del kaspi.deliveries[booked.delivery_id]
    cancel_delivery(booked, reason="a mistake")
    drain()
    assert fresh(booked).status == "created"
    assert fresh(booked).attention == Attention.NOT_FOUND


@pytest.mark.failure_mode("cancel: outcome unknown")
def test_a_cancel_of_unknown_outcome_is_fetched_first(kaspi, booked, drain, turnable):
    """Timeout, then a GET: it is cancelled, so there is no second POST."""
    kaspi.faults.add(Fault(operation="cancel", latency_s=60))
    cancel_delivery(booked, reason="a mistake")
    drain()
    turnable.turn(minutes=5)
    drain()
    assert fresh(booked).status == "cancelled"
    assert len(posts(kaspi, "/cancel")) == 1


@pytest.mark.failure_mode("cancel: outcome unknown")
def test_a_cancel_is_posted_at_most_twice(kaspi, booked, drain, turnable):
    """Then staff decide."""
    kaspi.faults.add(Fault(operation="cancel", status=500, times=None))
    cancel_delivery(booked, reason="a mistake")
    for _ in range(6):
        drain()
        turnable.turn(minutes=5)
    first, second = posts(kaspi, "/cancel")
    assert (first.body, first.idempotency_key) == (second.body, second.idempotency_key)
    assert booked.calls.get(kind="cancel").state == "stuck"


@pytest.mark.failure_mode("cancel: while the create is open")
def test_a_requested_cancel_goes_once_the_create_is_resolved(kaspi, due, drain, turnable):
    """It is kept while the booking is unknown."""
    kaspi.faults.add(Fault(operation="create", latency_s=60))
    drain()
    cancel_delivery(due.delivery, reason="a mistake")
    turnable.turn(minutes=1)
    drain()
    drain()
    assert fresh(due.delivery).status == "cancelled"
    [remote] = kaspi.deliveries.values()
    assert remote.status == "cancelled"


def test_a_requested_cancel_abandons_an_unsent_create(kaspi, due):
    """The create turned out to have done nothing."""
    claim = claims.claim(due.pk, using="default")
    cancel_delivery(due.delivery, reason="a mistake")
    kaspi.faults.add(Fault(operation="create", status=429))
    record_late(claim, sender.transmit(claim, None))
    assert fresh(due).state == "abandoned"


def test_a_refresh_brings_the_status_and_the_missing_history(kaspi, booked, drain, turnable):
    """After lost webhooks one GET restores status and history, without duplicates."""
    for status in ("accepted", "in_transit", "out_for_delivery"):
        turnable.turn(hours=1)
        kaspi.move(booked.delivery_id, status)
    for _ in range(2):
        refresh_delivery(booked)
        drain()
    assert fresh(booked).status == "out_for_delivery"
    known = StatusChange.objects.order_by("at").values_list("to_status", "applied")
    assert list(known) == [
        ("created", True),
        ("accepted", False),
        ("in_transit", False),
        ("out_for_delivery", True),
    ]


def test_a_refresh_may_correct_backwards_with_a_record(kaspi, booked, drain):
    """Only Kaspi's own answer may, and the history has it."""
    Delivery.objects.update(status="delivered")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).status == "created"
    assert StatusChange.objects.latest("pk").note == "Kaspi's own answer"


def test_a_refresh_that_is_older_than_a_webhook_corrects_nothing(kaspi, booked, turnable):
    """A webhook during the GET is newer than its answer."""
    call = refresh_delivery(booked)
    claim = claims.claim(call.pk, using="default")
    answer = sender.transmit(claim, None)
    moved = Delivery.objects.get()
    moved.status = "in_transit"
    moved.save()
    record_late(claim, answer)
    assert fresh(booked).status == "in_transit"
    assert fresh(booked).next_refresh_at == turnable.now


def test_a_refresh_stores_an_unknown_status(kaspi, booked, drain, turnable):
    """It is shown as it is, and later updates are applied."""
    kaspi.move(booked.delivery_id, "at_locker")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).status == "at_locker"
    turnable.turn(minutes=31)
    kaspi.move(booked.delivery_id, "delivered")
    drain()
    drain()
    assert fresh(booked).status == "delivered"


@pytest.mark.failure_mode("refresh: 404")
def test_a_missing_delivery_is_flagged_after_three(kaspi, booked, drain, turnable):
    """404 deletes nothing, and flags the delivery only after three in a day."""
    del kaspi.deliveries[booked.delivery_id]
    start = turnable.now
    while not fresh(booked).attention:
        turnable.turn(minutes=31)
        drain()
    assert fresh(booked).attention == Attention.NOT_FOUND
    assert timedelta(hours=24) <= turnable.now - start <= timedelta(hours=36)
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


@pytest.mark.failure_mode("save: edited after it was frozen")
def test_an_order_edited_after_it_was_booked_is_flagged(kaspi, booked, drain):
    """The refresh compares the order with the sent payload."""
    order = booked.order
    order.address = "somewhere else"
    order.save()
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == Attention.ORDER_EDITED
    assert len(kaspi.deliveries) == 1


def test_a_deleted_order_is_not_an_edited_one(kaspi, booked, drain):
    """A refresh of its delivery compares nothing."""
    booked.order.delete()
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == ""


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


@pytest.mark.parametrize("taken", [None, 999_999_999])
@pytest.mark.failure_mode("claim: sent twice by a task queue")
def test_a_call_that_is_not_there_or_not_due_is_left_alone(kaspi, due, taken, turnable):
    """A runner may call late, or twice."""
    ApiCall.objects.update(next_attempt_at=None)
    assert not sender.send(taken or due.pk)


def test_a_blocked_refresh_is_not_retried_for_ever(kaspi, booked, drain, settings, turnable):
    """The sandbox's delivery is not fetched with the production key each half-hour."""
    production = {"ENVIRONMENT": "production", "BASE_URL": ""}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **production}
    turnable.turn(minutes=31)
    drain()
    assert fresh(booked).attention == Attention.CONFIGURATION_CHANGED
    assert fresh(booked).next_refresh_at is None


def test_the_missing_history_is_a_chain(kaspi, booked, drain, turnable):
    """Each step begins where the one before it ended."""
    for status in ("accepted", "in_transit", "out_for_delivery"):
        turnable.turn(hours=1)
        kaspi.move(booked.delivery_id, status)
    refresh_delivery(booked)
    drain()
    late = StatusChange.objects.filter(applied=False).order_by("at")
    assert [(step.from_status, step.to_status) for step in late] == [
        ("created", "accepted"),
        ("accepted", "in_transit"),
    ]
