"""The flag for manual review: which reason is shown, when the shop gets the signal, and what staff acknowledge."""

import contextlib

import pytest
from django.db import transaction

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, refresh_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import attention
from kaspi_delivery_django.services.locks import lock_current
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


def test_a_second_parcel_stays_flagged(delivery):
    """No reason replaces it."""
    attention.flag(delivery, Attention.SECOND_PARCEL)
    for later in Attention:
        attention.flag(delivery, later)
        assert delivery.attention == Attention.SECOND_PARCEL


@pytest.mark.parametrize("passing", [Attention.CONTRADICTION, Attention.ORDER_EDITED])
def test_a_reason_that_may_clear_itself_replaces_no_other(delivery, passing):
    """Kaspi's next answer would clear the other with it; an edit is replaced by others."""
    attention.flag(delivery, Attention.ORDER_EDITED)
    attention.flag(delivery, Attention.CANCEL_REFUSED)
    attention.flag(delivery, passing)
    assert delivery.attention == Attention.CANCEL_REFUSED


def change(delivery, *steps):
    """Run the steps on the locked row in a transaction, saving it after each."""
    with transaction.atomic():
        locked = lock_current(delivery)
        for step in steps:
            step(locked)
            locked.save(update_fields=attention.COLUMNS)
    return fresh(delivery)


def flag(reason, **options):
    """Return the step that flags a reason."""
    return lambda delivery: attention.flag(delivery, Attention(reason), **options)


def clear(reason):
    """Return the step that clears a reason."""
    return lambda delivery: attention.clear(delivery, frozenset({Attention(reason)}))


REFUSED = Attention.CANCEL_REFUSED
FLAG, CLEAR = flag(REFUSED), clear(REFUSED)
FLAG_IN_ANY_CASE = flag(REFUSED, even_if_cleared=True)


@pytest.mark.parametrize(
    ("transactions", "count"),
    [
        ([[FLAG, FLAG], [FLAG]], 1),
        ([[FLAG, CLEAR, FLAG]], 1),
        ([[FLAG, CLEAR]], 0),
        ([[FLAG, FLAG_IN_ANY_CASE, CLEAR]], 1),
        ([[FLAG, CLEAR, FLAG_IN_ANY_CASE, CLEAR]], 1),
        ([[FLAG, CLEAR, FLAG_IN_ANY_CASE, CLEAR, FLAG, CLEAR, FLAG_IN_ANY_CASE]], 1),
        ([[FLAG], [FLAG_IN_ANY_CASE, CLEAR]], 1),
        ([[FLAG], [attention.acknowledge], [CLEAR], [FLAG]], 2),
    ],
)
def test_the_signal_is_sent_once_for_each_occurrence(delivery, flags, transactions, count):
    """After the commit: not for a flag that the same transaction clears, unless it is to be sent in any case."""
    for steps in transactions:
        change(delivery, *steps)
    assert flags == ["cancel_refused"] * count


def test_a_signal_in_any_case_is_rolled_back_with_its_savepoint(delivery, flags):
    """The flag before the savepoint was cleared."""

    def roll_back(locked):
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            FLAG_IN_ANY_CASE(locked)
            raise ZeroDivisionError

    change(delivery, FLAG, roll_back, CLEAR)
    assert flags == []


def test_a_flag_that_was_rolled_back_is_sent_when_it_occurs_again(delivery, flags):
    """A savepoint takes its signal with it."""
    with transaction.atomic():
        with contextlib.suppress(KeyError), transaction.atomic():
            change(delivery, flag("refused"))
            raise KeyError
        change(delivery, flag("refused"))
    assert flags == ["refused"]


def test_an_acknowledged_occurrence_is_not_flagged_again(delivery, flags):
    """A new one is."""
    for reason in ("order_edited", "refused"):
        flags.clear()
        change(delivery, flag(reason), attention.acknowledge)
        assert change(delivery, flag(reason)).attention == ""
        assert flags == []  # it was acknowledged before the commit
        for occurrence in ("one", "one", "two"):
            change(delivery, flag(reason, occurrence=occurrence))
            if fresh(delivery).attention:
                change(delivery, attention.acknowledge)
        assert flags == [reason, reason]


def test_a_replaced_flag_comes_back_without_a_signal(delivery, flags):
    """It was never acknowledged."""
    change(delivery, flag("order_edited", occurrence="digest"), flag("cancel_refused"))
    change(delivery, clear("cancel_refused"), flag("order_edited", occurrence="digest"))
    assert fresh(delivery).attention == "order_edited"
    assert flags == ["cancel_refused"]


@pytest.mark.django_db(transaction=True)
def test_a_signal_that_fails_is_logged(delivery, monkeypatch, caplog):
    """The shop's transaction is committed."""
    monkeypatch.setattr(attention.delivery_needs_attention, "send_robust", lambda *_args, **_kwargs: 1 / 0)
    change(delivery, flag("refused"))
    assert "signal not sent" in caplog.text


def test_all_reasons_fit_into_the_column(delivery):
    """Each with an acknowledged occurrence."""
    for reason in Attention:
        attention.flag(delivery, reason, occurrence=reason.value)
        attention.acknowledge(delivery)
    assert len(delivery.raised_reasons) < Delivery._meta.get_field("raised_reasons").max_length


def stop(kind, reason, state="stuck", **columns):
    """Stop the calls of this kind."""
    ApiCall.objects.filter(kind=kind).update(state=state, reason=reason, next_attempt_at=None, **columns)


@pytest.fixture
def uncertain(booked, fake_clock):
    """Return a delivery whose cancel has an unknown outcome."""
    cancel_delivery(booked, reason="no")
    stop("cancel", "cancel_unknown", unknown_since=fake_clock.now)
    Delivery.objects.update(attention="cancel_unknown")
    return fresh(booked)


@pytest.fixture
def refresh(kaspi, drain, fake_clock):
    """Refresh a delivery; if it is `missing`, Kaspi answers 404 for more than a day."""

    def run(delivery, *, missing=False):
        if missing:
            kaspi.faults.add(Fault(operation="get", status=404, times=3))
        refresh_delivery(delivery)
        for _ in range(3 if missing else 1):
            drain()
            fake_clock.advance(hours=13 if missing else 0)
        return fresh(delivery).attention

    return run


def test_a_hidden_reason_is_shown_when_the_other_is_cleared(uncertain, refresh):
    """A refresh that succeeds again shows the cancel, or the edit, that the failed one hid."""
    assert refresh(uncertain, missing=True) == "not_found"
    assert refresh(uncertain) == "cancel_unknown"
    ApiCall.objects.filter(kind="cancel").delete()
    Delivery.objects.update(attention="not_found")
    Order.objects.update(address="Satpaev 22, Almaty")
    refresh(uncertain)
    assert refresh(uncertain) == "order_edited"


def test_a_retry_clears_only_the_retried_calls_reason(booked):
    """A refused cancel with the same reason is not retried."""
    cancel_delivery(booked, reason="no")
    stop("cancel", "not_found", state="refused")
    refresh_delivery(booked)
    stop("refresh", "not_found")
    Delivery.objects.update(attention="not_found")
    retry_delivery(booked)
    assert fresh(booked).attention == "not_found"
    assert ApiCall.objects.get(kind="refresh").state == "due"


def test_acknowledging_shows_the_next_reason(booked):
    """The stuck refresh is not abandoned unseen."""
    refresh_delivery(booked)
    stop("refresh", "not_found")
    Delivery.objects.update(attention="cancel_refused", next_refresh_at=None)
    acknowledge_delivery(booked)
    assert fresh(booked).attention == "not_found"
    assert ApiCall.objects.get(kind="refresh").state == "stuck"


def test_a_cancel_with_an_expired_key_is_not_retried(uncertain, fake_clock):
    """A retry skips it and retries the refresh; cancelling again uses the next key."""
    fake_clock.advance(hours=23)
    with pytest.raises(CannotRetry, match="cancel the delivery again"):
        retry_delivery(uncertain)
    refresh_delivery(uncertain)
    stop("refresh", "not_found")
    retry_delivery(uncertain)
    assert ApiCall.objects.get(kind="refresh").state == "due"
    assert fresh(uncertain).attention == "cancel_unknown"
    cancel_delivery(uncertain)
    assert fresh(uncertain).attention == ""
    assert ApiCall.objects.get(state="due", kind="cancel").idempotency_key.endswith("-cancel-2")


def test_a_retried_cancel_is_fetched_first_and_sent_once_more(uncertain, kaspi, drain):
    """The cancel may have worked."""
    retry_delivery(uncertain)
    assert fresh(uncertain).attention == ""
    drain()
    assert [request.method for request in kaspi.requests[-2:]] == ["GET", "POST"]
    assert fresh(uncertain).status == "cancelled"


def test_the_end_finishes_stopped_cancels(uncertain, kaspi, refresh):
    """Kaspi's answer shows that the delivery is cancelled."""
    kaspi.move(uncertain.delivery_id, "cancelled")
    assert refresh(uncertain) == ""
    assert ApiCall.objects.get(kind="cancel").state == "done"
