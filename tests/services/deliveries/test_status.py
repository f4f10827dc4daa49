"""The status of a delivery: transitions, corrections by Kaspi's answers, and missing steps of the history."""

from datetime import timedelta

import pytest
from django.db import transaction

from kaspi_delivery_django import statuses
from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery
from kaspi_delivery_django.services.deliveries import status
from kaspi_delivery_django.services.locks import lock_current
from kaspi_delivery_django.statuses import Transition
from tests.conftest import NOON
from tests.services.conftest import fresh

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_clock")]
LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def delivery(make_linked):
    """Return a delivery that Kaspi has accepted."""
    return make_linked(status="accepted", status_at=NOON)


def update(value, *, source="webhook"):
    """Return a status update."""
    return status.StatusUpdate(status=value, source=StatusChange.Source(source), at=LATER)


def apply(delivery, value, act=status.apply, source="webhook"):
    """Apply an update under the lock, and return the row."""
    with transaction.atomic():
        locked = lock_current(delivery)
        act(locked, update(value, source=source))
        status.save(locked)
    return fresh(delivery)


def correct(delivery, value):
    """Apply Kaspi's answer to a GET."""
    return apply(delivery, value, act=status.correct, source="refresh")


def history(delivery):
    """Return the history in the order in which it was written."""
    rows = delivery.history.order_by("pk")
    return list(rows.values_list("from_status", "to_status", "applied"))


@pytest.mark.parametrize(
    ("value", "transition", "after", "rows"),
    [
        ("in_transit", Transition.ADVANCE, "in_transit", [("accepted", "in_transit", True)]),
        ("delivered", Transition.ADVANCE, "delivered", [("accepted", "delivered", True)]),
        ("accepted", Transition.REPEAT, "accepted", []),
        ("created", Transition.STALE, "accepted", [("accepted", "created", False)]),
        ("in_customs", Transition.UNKNOWN, "accepted", [("accepted", "in_customs", False)]),
    ],
)
def test_each_transition(delivery, value, transition, after, rows):
    """An update that is not applied is recorded once, however often it arrives."""
    assert status.transition_of(delivery, update(value)) is transition
    for _ in range(3):
        found = apply(delivery, value)
        assert found.status == after
    assert history(delivery) == rows
    assert (found.next_refresh_at == NOON) is (transition is Transition.UNKNOWN)  # Kaspi's answer decides at once


@pytest.mark.parametrize(("value", "minutes"), [("in_transit", 7), ("delivered", None), ("cancelled", None)])
def test_the_next_refresh(delivery, settings, value, minutes):
    """After REFRESH_AFTER while the delivery is open; one that is due stays due."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "REFRESH_AFTER": timedelta(minutes=7)}
    Delivery.objects.update(next_refresh_at=NOON + timedelta(minutes=1))
    expected = minutes and NOON + timedelta(minutes=minutes)
    assert apply(delivery, value).next_refresh_at == expected
    due = NOON - timedelta(minutes=1)
    Delivery.objects.update(next_refresh_at=due, status="accepted")
    assert apply(delivery, value).next_refresh_at == due


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("cancel_refused", ""),
        ("cancel_unknown", ""),
        ("order_edited", ""),
        ("not_found", ""),
        ("adapter_failed", ""),
        ("second_parcel", "second_parcel"),
        ("contradiction", "contradiction"),
    ],
)
def test_flags_at_the_end(delivery, reason, left):
    """A second parcel stays flagged, and a contradiction until Kaspi answers; a failed refresh is abandoned."""
    Delivery.objects.update(attention=reason)
    delivery.calls.create(kind="refresh", state="stuck", reason="not_found", idempotency_key="r", queued_at=NOON)
    assert apply(delivery, "delivered").attention == left
    assert delivery.calls.get(kind="refresh").state == ("abandoned" if reason == "not_found" else "stuck")


def test_a_pickup_clears_an_edit(delivery):
    """The parcel can no longer be changed."""
    Delivery.objects.update(attention="order_edited")
    assert apply(delivery, "in_transit").attention == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_acknowledged", [False, True])
@pytest.mark.parametrize("values", [("in_transit", "out_for_delivery", "delivered"), ("delivered", "in_transit")])
def test_a_refused_cancel_is_flagged_once(delivery, flags, values, is_acknowledged):
    """Not with each later status, and in any order of arrival; a delivered one is not flagged."""
    Delivery.objects.update(cancel_requested_at=NOON)
    for value in values:
        found = apply(delivery, value)
        assert found.attention in {"cancel_refused", ""}
        if found.attention and is_acknowledged:
            acknowledge_delivery(found)
    assert (fresh(delivery).attention, flags) == ("", ["cancel_refused"])


@pytest.mark.parametrize(
    ("current", "value"), [("delivered", "cancelled"), ("delivered", "in_transit"), ("accepted", "in_customs")]
)
def test_kaspis_answer_corrects_backwards_too(delivery, current, value):
    """It is recorded once, as Kaspi's answer, and clears a contradiction."""
    Delivery.objects.update(status=current, attention="contradiction")
    for _ in range(3):
        found = correct(delivery, value)
    assert (found.status, found.attention) == (value, "")
    assert history(delivery) == [(current, value, True)]
    assert delivery.history.get().note == status.CONFIRMED_BY_KASPI


def test_a_cancelled_delivery_that_is_live_after_all_is_flagged(delivery):
    """The requested cancel had no effect."""
    Delivery.objects.update(status="cancelled", cancel_requested_at=NOON)
    found = correct(delivery, "in_transit")
    assert (found.status, found.attention) == ("in_transit", "cancel_refused")
    Delivery.objects.update(status="cancelled", attention="", raised_reasons="")
    assert correct(delivery, "accepted").attention == "cancel_refused"


def test_a_cancel_that_did_not_hold_is_sent_again(delivery):
    """With the same reason too, once, and under a new key."""
    Delivery.objects.update(status="cancelled", cancel_requested_at=NOON, delivery_id="dlv_1")
    delivery.calls.create(kind="cancel", state="done", idempotency_key="order-1-cancel", payload="{}", queued_at=NOON)
    correct(delivery, "accepted")
    for _ in range(2):
        cancel_delivery(fresh(delivery))
    cancels = delivery.calls.filter(kind="cancel").order_by("pk")
    name = fresh(delivery).external_order_id
    assert [(one.state, one.idempotency_key) for one in cancels] == [
        ("abandoned", "order-1-cancel"),
        ("due", f"{name}-cancel-2"),
    ]


def test_a_delivery_that_kaspi_reopens_is_not_signalled_as_booked(booked, signals):
    """The signal of its booking was sent before."""
    signals.clear()
    apply(booked, "cancelled", source="refresh")
    correct(booked, "created")
    assert signals == ["cancelled", "created"]


def entries(*steps):
    """Return Kaspi's history of these (status, time) pairs, in this order."""
    steps = [{"status": value, "timestamp": at, "notes": "at the depot"} for value, at in steps]
    return RemoteDelivery.from_json({"history": steps}).history


WAY = ("created", "accepted", "in_transit", "out_for_delivery")
TIMES = tuple(f"2026-03-01T11:0{minute}:00Z" for minute in range(4))
LISTS = {
    "oldest first": entries(*zip(WAY, TIMES, strict=True)),
    "newest first": entries(*reversed(tuple(zip(WAY, TIMES, strict=True)))),
    "one second": entries(*((value, TIMES[0]) for value in WAY)),
    "one second, newest first": entries(*((value, TIMES[0]) for value in reversed(WAY))),
    "last step too early": entries(*zip(WAY, (*TIMES[1:], TIMES[0]), strict=True)),
    "last step in year 1": entries(*zip(WAY, (*TIMES[:3], "0001-01-01T00:00:00Z"), strict=True)),
    "a step without a time": entries(*zip(WAY, (TIMES[0], None, *TIMES[2:]), strict=True)),
    "no times": entries(*((value, None) for value in WAY)),
    "each twice": entries(*(pair for pair in zip(WAY, TIMES, strict=True) for _ in range(2))),
}
ORDERED = {"oldest first", "newest first", "one second", "one second, newest first", "a step without a time"}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.failure_mode("refresh: history comes again")
def test_each_status_of_kaspis_history_occurs_once(delivery, name):
    """However Kaspi lists and stamps the steps, and however often they are fetched."""
    for _ in range(2):
        status.add_missing_steps(delivery, LISTS[name], NOON, about_to=WAY[-1])
    if name in ORDERED:
        pairs = {(row.from_status, row.to_status) for row in delivery.history.all()}
        assert pairs == {("", "created"), ("created", "accepted"), ("accepted", "in_transit")}
    first = delivery.history.get(to_status="created")
    assert (first.applied, first.source, first.note) == (False, "refresh", "at the depot")
    status.correct(delivery, status.StatusUpdate(status=WAY[-1], source="refresh", at=NOON))
    assert sorted(delivery.history.values_list("to_status", flat=True)) == sorted(WAY)


@pytest.mark.parametrize("order", [tuple, reversed], ids=["oldest first", "newest first"])
def test_a_step_without_a_time_gets_that_of_the_step_before_it(delivery, order):
    """Whichever way Kaspi lists them."""
    steps = tuple(zip(WAY[:3], (TIMES[0], None, TIMES[2]), strict=True))
    status.add_missing_steps(delivery, entries(*order(steps)), NOON)
    assert delivery.history.get(to_status="accepted").at == delivery.history.get(to_status="created").at


def test_unusable_statuses_are_skipped(delivery):
    """Empty, with a space, too long, or not ASCII."""
    unusable = entries(*((value, TIMES[0]) for value in ("", "in transit", "s" * 65, "жолда")))
    status.add_missing_steps(delivery, unusable, NOON)
    assert history(delivery) == []


@pytest.mark.parametrize("about_to", ["", "word_x"])
def test_the_latest_hundred_steps_are_kept(delivery, about_to):
    """With rows reserved for the status that the delivery is about to get, and for all documented ones."""
    for first in (0, 10_000):
        steps = ((f"word_{number}", TIMES[0]) for number in range(first, first + 10_000))
        status.add_missing_steps(delivery, entries(*steps), NOON, about_to=about_to)
    kept = set(delivery.history.values_list("to_status", flat=True))
    assert ("word_9999" in kept, "word_0" in kept, "word_19999" in kept) == (True, False, False)
    for value in dict.fromkeys([about_to, *statuses.STATUSES]):
        if value:
            status.correct(delivery, status.StatusUpdate(status=value, source=StatusChange.Source.REFRESH, at=NOON))
    assert (delivery.history.count(), delivery.status) == (100, "cancelled")


def test_a_deleted_delivery_is_not_saved(delivery):
    """The caller's transaction is rolled back."""
    Delivery.objects.all().delete()
    with pytest.raises(Delivery.DoesNotExist):
        status.save(delivery)
