"""A value that the database refuses is its row's error: staff are asked within one round, and the others are sent."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from django.db import DataError, InterfaceError, OperationalError

from kaspi_delivery_django.client import KaspiError, RemoteDelivery
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import refresh_delivery
from kaspi_delivery_django.services.deliveries import payloads
from kaspi_delivery_django.services.outbox import claims, results, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.services.conftest import fail_on, fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = [
    DataError(1406, "Data too long"),
    OperationalError(1366, "Incorrect string value"),
    OverflowError("Python int too large to convert to SQLite INTEGER"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
]


@pytest.fixture(params=[1, 8], ids=["one thread", "threads"])
def worker(request, kaspi):
    """Return a worker with one thread or many."""
    return Worker(log=lambda _line: None, threads=request.param)


@pytest.mark.parametrize("err", REFUSED, ids=repr)
def test_an_order_that_cannot_be_stored_is_flagged(worker, orders, kaspi, monkeypatch, err):
    """In one round; the eleven others are booked."""
    poison = Delivery.objects.get(object_id=str(orders[5].pk))
    fail_on(monkeypatch, payloads, "store", err, lambda built, **_: poison.pk in {row.pk for _call, row in built})
    worker.run_round()
    assert len(kaspi.deliveries) == 11
    assert fresh(poison).attention == "adapter_failed"
    call = ApiCall.objects.get(delivery=poison)
    assert (call.state, call.unknown_since, call.payload) == ("stuck", None, "")
    assert sender.NOT_STORED in call.error_message


def test_a_sent_call_is_flagged_as_a_data_error(due):
    """Not as an adapter failure."""
    ApiCall.objects.update(state="unknown", unknown_since=due.queued_at)
    sender.contain(REFUSED[1], due.pk)
    assert (fresh(due).state, fresh(due).reason) == ("stuck", "data_error")
    assert fresh(due).unknown_since == due.queued_at


@pytest.mark.parametrize("state", ["sending", "done"])
def test_a_call_that_another_sender_holds_is_left_alone(due, state):
    """Its sender records it; a finished one needs no one, nor does a deleted one."""
    ApiCall.objects.update(state=state, claim_token="theirs")
    sender.contain(REFUSED[0], due.pk, token="ours")
    sender.contain(REFUSED[0], due.pk + 1)
    assert fresh(due).state == state


@pytest.mark.parametrize("err", [REFUSED[0], InterfaceError("closed")], ids=repr)
def test_a_call_that_cannot_be_flagged_is_logged(due, monkeypatch, caplog, err):
    """It stops no other call; a database that is unavailable ends the round."""
    fail_on(monkeypatch, claims, "flag_data_error", err, lambda *_args, **_options: True)
    with pytest.raises(InterfaceError) if isinstance(err, InterfaceError) else nullcontext():
        sender.contain(REFUSED[0], due.pk)
        assert caplog.text.count("call failed with an error") == 2


def has_sign_above(limit):
    """Return a test of an outcome's texts for a character that the database's character set lacks."""

    def is_poison(_claim, outcome, *_rest, **_options):
        texts = [outcome.message] if isinstance(outcome, KaspiError) else [entry.notes for entry in outcome.history]
        return any(sign > limit for text in texts for sign in text)

    return is_poison


@pytest.mark.parametrize(
    ("limit", "stored"),
    [("\uffff", "Курьер \N{REPLACEMENT CHARACTER}"), ("\x7f", r"\u041a\u0443\u0440\u044c\u0435\u0440 \ufffd")],
    ids=["utf8mb3", "latin1"],
)
def test_kaspis_texts_are_reduced_to_the_character_set(kaspi, due, monkeypatch, limit, stored):
    """The answer counts; other characters are replaced."""
    fail_on(monkeypatch, results, "record", REFUSED[1], has_sign_above(limit))
    body = '{"code": "bad", "message": "Курьер \N{DELIVERY TRUCK}"}'.encode()
    kaspi.faults.add(Fault(operation="create", status=422, body=body))
    sender.send(due.pk)
    assert (fresh(due).state, fresh(due).error_message) == ("refused", stored)
    assert FailedAttempt.objects.get().error_message == stored


def test_an_emoji_in_a_history_note_costs_no_status(booked, monkeypatch):
    """The refresh is recorded all the same."""
    step = {"status": "a", "timestamp": "2026-03-01T11:00:00Z", "notes": "\N{DELIVERY TRUCK}"}
    history = RemoteDelivery.from_json({"history": [step]}).history
    transmit = sender.transmit
    monkeypatch.setattr(sender, "transmit", lambda *args: replace(transmit(*args), history=history))
    fail_on(monkeypatch, results, "record", REFUSED[1], has_sign_above("\uffff"))
    sender.send(refresh_delivery(booked).pk)
    assert StatusChange.objects.get(to_status="a").note == "\N{REPLACEMENT CHARACTER}"


def test_an_answer_that_cannot_be_stored_is_flagged(worker, due, kaspi, monkeypatch):
    """The outcome stays unknown: the booking is not sent again and again."""
    fail_on(monkeypatch, results, "record", REFUSED[1], lambda *_args, **_options: True)
    kaspi.faults.add(Fault(operation="create", status=500))
    worker.run_round()
    call = ApiCall.objects.get()
    assert (call.state, call.reason, call.unknown_since is None) == ("stuck", "data_error", False)


def test_what_is_stored_for_kaspi_is_ascii(kaspi, drain):
    """Payload and answer: any character set can store them."""
    letter = "\N{DELIVERY TRUCK}қ"
    Order.objects.create(address=f"Abay 1 {letter}")
    drain()
    call = ApiCall.objects.get()
    assert call.payload.isascii()
    assert Delivery.objects.get().raw.isascii()
    [remote] = kaspi.deliveries.values()
    assert remote.request["dropoff"]["address"].endswith(letter)
