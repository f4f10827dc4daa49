"""What follows from an answer: the next refresh, the log's and the admin's texts, and what is sent again when."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.core.management import call_command
from django.utils import timezone

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import RemoteDelivery, read_event
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, inbox, refresh_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import calls
from kaspi_delivery_django.services.outbox import claims, due_calls, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import event
from tests.services.conftest import fresh, posts
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def test_a_replayed_create_is_refreshed_at_once(worker, kaspi, due, fake_clock):
    """Webhooks of the first answer's delivery may have been lost."""
    kaspi.webhook_url = None
    kaspi.faults.add(Fault(operation="create", drop="after"))
    sender.send(due.pk)
    fake_clock.advance(minutes=1)
    Worker(log=lambda _line: None, threads=2).run_round()
    assert Delivery.objects.get().next_refresh_at == fake_clock.now
    worker.run_round()
    assert [asked for asked in kaspi.requests if asked.method == "GET"]


def test_a_cancel_that_contradicts_a_webhook_lets_kaspi_decide(
    worker, kaspi, booked, post_webhook, fake_clock, monkeypatch
):
    """Delivered by a webhook, cancelled by the answer: the due refresh is kept."""
    cancel_delivery(booked)
    transmit = sender.transmit

    def late(claim, *rest):
        answer = transmit(claim, *rest)
        post_webhook(event(booked, "delivered", at=fake_clock.now))
        return answer

    monkeypatch.setattr(sender, "transmit", late)
    sender.send(ApiCall.objects.get(kind="cancel").pk)
    monkeypatch.undo()
    assert (fresh(booked).status, fresh(booked).next_refresh_at) == ("delivered", fake_clock.now)
    worker.run_until_idle()
    assert fresh(booked).status == "cancelled"


@pytest.mark.failure_mode("cancel: accepted, not done")
@pytest.mark.parametrize(("status", "due_in_s", "refreshed_in_s"), [("", 3600, 60), ("created", 3600, 60), ("", 5, 5)])
def test_an_accepted_cancel_is_refreshed_within_a_minute(
    booked, fake_clock, monkeypatch, status, due_in_s, refreshed_in_s
):
    """It is not cancelled yet, or the answer has no status; an earlier refresh is not postponed."""
    cancel_delivery(booked)
    Delivery.objects.update(next_refresh_at=fake_clock.now + timedelta(seconds=due_in_s))
    remote = RemoteDelivery(delivery_id=booked.delivery_id, status=status)
    monkeypatch.setattr(sender, "transmit", lambda *_args: remote)
    sender.send(ApiCall.objects.get(kind="cancel").pk)
    refresh_at = fake_clock.now + timedelta(seconds=refreshed_in_s)
    assert (fresh(booked).status, fresh(booked).next_refresh_at) == ("created", refresh_at)


@pytest.mark.parametrize("status", [404, 405])
def test_a_wrong_address_names_the_setting(kaspi, due, caplog, status):
    """In the log, in the breaker's reason, which fits its column whatever Kaspi's code is, and on the call's page."""
    kaspi.faults.add(Fault(operation="create", status=status, code="a" * 40 + "1234"))
    sender.send(due.pk)
    reason = AccountState.objects.get().closed_reason
    assert ("BASE_URL" in reason, len(reason) <= 200) == (True, True)
    assert "BASE_URL" in fresh(due).error_message
    assert "BASE_URL" in FailedAttempt.objects.get().error
    assert "BASE_URL" in caplog.text


@pytest.mark.parametrize("status", [410, 426])
@pytest.mark.parametrize("kind", ["create", "cancel", "get"])
def test_a_sunset_is_no_refusal(kaspi, drain, fake_clock, status, kind):
    """The breaker closes; nothing is refused, and the same key goes when Kaspi answers again."""
    Order.objects.create()
    if kind != "create":
        drain()
        delivery = Delivery.objects.get()
        cancel_delivery(delivery) if kind == "cancel" else refresh_delivery(delivery)
    kaspi.faults.add(Fault(operation=kind, status=status, times=1))
    drain()
    call = ApiCall.objects.latest("pk")
    assert (call.state, call.reason, call.attempts) == ("due", "", 0)
    assert "upgrade kaspi-delivery-django" in AccountState.objects.get().closed_reason
    fake_clock.advance(minutes=10)
    drain()
    assert fresh(call).state == "done"
    assert AccountState.objects.get().closed_until is None


@pytest.mark.parametrize("threads", ["1", "8"])
def test_once_sends_nothing_twice_that_failed(orders, kaspi, fake_clock, threads, monkeypatch):
    """However long the run is: twelve orders, twelve requests, and twelve more in the next run."""
    kaspi.faults.add(Fault(operation="create", status=503, times=None))
    handle = kaspi.handle
    monkeypatch.setattr(kaspi, "handle", lambda *request: fake_clock.advance(seconds=30) or handle(*request))
    for sent in (12, 24):
        call_command("kaspi_worker", "--once", "--threads", threads)
        assert len(posts(kaspi)) == sent
        fake_clock.advance(minutes=1)


def test_a_retry_after_date_is_read_by_the_databases_clock(kaspi, due, fake_clock):
    """This process's own clock may be wrong by months, as the test's is."""
    at = fake_clock.now + timedelta(minutes=10)
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=format_datetime(at, usegmt=True)))
    sender.send(due.pk)
    assert AccountState.objects.get().closed_until == at


@pytest.fixture(params=[-HOUR, HOUR], ids=["an hour slow", "an hour fast"])
def wrong_clock(request, monkeypatch):
    """Turn this process's clock, and not the database's."""
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + request.param)


def test_due_times_go_by_the_databases_clock(wrong_clock):
    """In a web process whose clock is an hour off: a booking's, and those of a cancel, a refresh and a retry."""
    Order.objects.create()
    [call] = ApiCall.objects.all()
    assert list(due_calls.select(limit=5)) == [call.pk]
    assert all(is_near(moment, datetime.now(UTC)) for moment in (call.next_attempt_at, call.queued_at))
    Delivery.objects.update(delivery_id="dlv_1", status="created")
    ApiCall.objects.update(state="done", next_attempt_at=None)
    cancel_delivery(Delivery.objects.get())
    refresh_delivery(Delivery.objects.get())
    assert len(due_calls.select(limit=5)) == 2
    ApiCall.objects.exclude(kind="create").update(state="stuck", next_attempt_at=None)
    retry_delivery(Delivery.objects.get())
    assert len(due_calls.select(limit=5)) == 2


def is_near(moment, right):
    """Return whether this is the right time, within the minutes that a slow machine may need."""
    return abs(moment - right) < timedelta(minutes=5)


def receive_update(delivery, word):
    """Receive a webhook of now, as the view does once it is verified."""
    document = event(delivery, word, event_id=f"wh_{word}", at=datetime.now(UTC))
    body = json.dumps(document).encode()
    return inbox.receive(conf.account("default"), read_event(body), body)


def test_a_refresh_is_due_by_the_databases_clock(wrong_clock):
    """After a webhook that is applied, and at once after a contradiction."""
    delivery = Order.objects.create() and Delivery.objects.get()
    Delivery.objects.update(delivery_id="dlv_1", status="created", status_at=datetime.now(UTC) - HOUR)
    delivery.refresh_from_db()
    receive_update(delivery, "in_transit")
    assert is_near(fresh(delivery).next_refresh_at, datetime.now(UTC) + conf.current().refresh_after)
    receive_update(delivery, "delivered")
    receive_update(delivery, "cancelled")
    assert is_near(fresh(delivery).next_refresh_at, datetime.now(UTC))


@pytest.mark.usefixtures("real_kaspi")
def test_a_booked_delivery_is_refreshed_by_the_databases_clock(wrong_clock):
    """Its row was locked with others, and not by itself."""
    Order.objects.create()
    sender.send(ApiCall.objects.get().pk)
    delivery = Delivery.objects.get()
    assert delivery.status == "created"
    assert is_near(delivery.next_refresh_at, datetime.now(UTC) + conf.current().refresh_after)


def test_a_delivery_that_is_cancelled_unsent_goes_by_the_databases_clock(wrong_clock):
    """The claim locks its row with the call's."""
    Order.objects.create()
    Order.objects.update(cancelled=True)
    assert claims.claim(ApiCall.objects.get().pk) is None
    delivery = Delivery.objects.get()
    assert delivery.status == "cancelled"
    assert is_near(delivery.status_at, datetime.now(UTC))
    assert is_near(delivery.history.get().at, datetime.now(UTC))


def test_a_call_that_a_claim_stops_goes_by_the_databases_clock(wrong_clock):
    """Staff see since when it waits for them."""
    Order.objects.create()
    Delivery.objects.update(account="gone")
    assert claims.claim(ApiCall.objects.get().pk) is None
    call = ApiCall.objects.get()
    assert call.state == "stuck"
    assert is_near(call.updated_at, datetime.now(UTC))


def test_each_attempt_keeps_its_request_id(kaspi, due, fake_clock, caplog):
    """For Kaspi's support; each attempt has a new one."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    failed = FailedAttempt.objects.get().request_id
    assert fresh(due).request_id == failed
    assert f"request_id={failed}" in caplog.text
    fake_clock.advance(minutes=1)
    sender.send(due.pk)
    assert len(fresh(due).request_id) == 32
    assert fresh(due).request_id != failed


def test_a_refresh_answered_without_a_status_keeps_the_status(booked):
    """There is nothing to take."""
    call = calls.add_refresh(booked)
    answer = RemoteDelivery(delivery_id=booked.delivery_id, status="")
    sender.record(claims.claim(call.pk), answer)
    assert fresh(booked).status == "created"
    assert fresh(call).state == "done"
