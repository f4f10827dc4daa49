"""The one place where a status changes: by verdict, by Kaspi's own word, by its history."""

from datetime import timedelta

import pytest
from django.db import transaction

from kaspi_delivery_django import statuses
from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import acknowledge_delivery
from kaspi_delivery_django.services.db import lock_current
from kaspi_delivery_django.services.deliveries import history, status
from kaspi_delivery_django.signals import delivery_needs_attention
from kaspi_delivery_django.statuses import Transition
from tests.conftest import NOON
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("turnable")]

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def delivery():
    """Return a delivery that Kaspi has accepted."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_1", status="accepted", status_at=NOON)
    return Delivery.objects.get()


def news(word, *, at=LATER, source="webhook", note=""):
    """Return a status that somebody tells us."""
    return status.StatusUpdate(status=word, source=StatusChange.Source(source), at=at, note=note)


def tell(delivery, found, act=status.apply):
    """Apply news under the lock, with the verdict that belongs to it."""
    with transaction.atomic():
        locked = lock_current(delivery)
        act(locked, found, status.transition_of(locked, found))
        status.save(locked)
    return fresh(delivery)


def correct(delivery, found):
    """Take Kaspi's own word under the lock."""
    with transaction.atomic():
        locked = lock_current(delivery)
        status.correct(locked, found)
        status.save(locked)
    return fresh(delivery)


def told(delivery):
    """Return the history as it was written."""
    rows = delivery.history.order_by("pk")
    return list(rows.values_list("from_status", "to_status", "applied"))


@pytest.mark.parametrize(
    ("word", "verdict", "after", "row"),
    [
        ("in_transit", Transition.ADVANCE, "in_transit", [("accepted", "in_transit", True)]),
        ("delivered", Transition.ADVANCE, "delivered", [("accepted", "delivered", True)]),
        ("accepted", Transition.REPEAT, "accepted", []),
        ("created", Transition.STALE, "accepted", [("accepted", "created", False)]),
        ("in_customs", Transition.UNKNOWN, "accepted", [("accepted", "in_customs", False)]),
    ],
)
def test_each_verdict_does_its_own(delivery, word, verdict, after, row):
    """Move, leave, keep, keep and ask."""
    assert status.transition_of(delivery, news(word)) is verdict
    assert (tell(delivery, news(word)).status, told(delivery)) == (after, row)


@pytest.mark.parametrize("word", ["created", "in_customs"])
def test_news_that_is_not_applied_is_kept_once(delivery, word):
    """A hundred late copies add one row."""
    for _ in range(3):
        tell(delivery, news(word))
    assert len(told(delivery)) == 1


@pytest.mark.parametrize(("current", "word"), [("delivered", "cancelled"), ("accepted", "customs")])
def test_kaspi_is_asked_at_once_about_what_cannot_be_judged(delivery, current, word):
    """A contradiction, or a word nobody knows."""
    Delivery.objects.update(status=current)
    assert tell(delivery, news(word)).next_refresh_at == NOON


@pytest.mark.parametrize("word", ["delivered", "cancelled"])
def test_an_ended_delivery_is_not_asked_about(delivery, word):
    """There is nothing to come."""
    Delivery.objects.update(next_refresh_at=NOON + timedelta(minutes=1))
    assert tell(delivery, news(word)).next_refresh_at is None


@pytest.mark.parametrize("word", ["in_transit", "delivered", "cancelled"])
def test_a_get_that_is_due_stays_due(delivery, word):
    """It was asked for, and has not answered: whatever comes meanwhile, also the end, does not settle it."""
    due = NOON - timedelta(minutes=1)
    Delivery.objects.update(next_refresh_at=due)
    assert tell(delivery, news(word)).next_refresh_at == due


def test_an_open_delivery_is_asked_about_if_kaspi_stays_silent(delivery, settings):
    """REFRESH_AFTER says how long."""
    after = timedelta(minutes=7)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "REFRESH_AFTER": after}
    assert tell(delivery, news("in_transit")).next_refresh_at == NOON + after


def test_a_change_has_kaspis_time(delivery):
    """The status stands since then, not since we heard of it."""
    found = tell(delivery, news("in_transit"))
    assert (found.status_at, delivery.history.get().at) == (LATER, LATER)


@pytest.mark.parametrize("end", ["cancelled", "delivered"])
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
def test_what_is_over_leaves_the_list(delivery, end, reason, left):
    """Not a second parcel, nor what Kaspi is still asked about."""
    Delivery.objects.update(attention=reason)
    delivery.calls.create(
        kind="refresh", state="stuck", reason="not_found", idempotency_key="r", queued_at=NOON
    )  # a question that needs no answer now
    assert tell(delivery, news(end)).attention == left
    assert delivery.calls.get(kind="refresh").state == ("abandoned" if reason == "not_found" else "stuck")


@pytest.fixture
def raised():
    """Record which reasons the shop is notified of."""
    found = []

    def note(attention, **_kwargs):
        found.append(attention)

    delivery_needs_attention.connect(note)
    yield found
    delivery_needs_attention.disconnect(note)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_acknowledged", [False, True])
@pytest.mark.parametrize("words", [("in_transit", "out_for_delivery", "delivered"), ("delivered", "in_transit")])
def test_a_refused_cancel_is_raised_once(delivery, raised, words, is_acknowledged):
    """Not with each status that follows, and in any order of arrival; delivered, it is over."""
    Delivery.objects.update(cancel_requested_at=NOON)
    for word in words:
        found = tell(delivery, news(word))
        assert found.attention in {"cancel_refused", ""}
        if found.attention and is_acknowledged:
            acknowledge_delivery(found)
    assert (fresh(delivery).attention, raised) == ("", ["cancel_refused"])


@pytest.mark.parametrize("word", ["in_transit", "delivered", "cancelled"])
def test_an_edited_order_is_no_news_once_the_parcel_is_gone(delivery, word):
    """Nobody can change what is on its way."""
    Delivery.objects.update(attention="order_edited")
    assert tell(delivery, news(word)).attention == ""


@pytest.mark.parametrize(
    ("current", "word"),
    [("delivered", "cancelled"), ("delivered", "in_transit"), ("accepted", "in_customs")],
)
def test_kaspis_own_word_corrects_backwards_too(delivery, current, word):
    """With a record that says so, and the mark of a contradiction goes."""
    Delivery.objects.update(status=current, attention="contradiction")
    found = correct(delivery, news(word, source="refresh"))
    assert (found.status, found.attention) == (word, "")
    assert told(delivery) == [(current, word, True)]
    assert delivery.history.get().note == "Kaspi's own answer"


def test_kaspis_own_word_that_we_know_leaves_no_trace(delivery):
    """Polling grows no table."""
    for _ in range(3):
        correct(delivery, news("accepted", source="refresh"))
    assert told(delivery) == []


def history_of(*steps):
    """Return Kaspi's history of these statuses, a minute apart."""
    entries = [
        {"status": word, "timestamp": f"2026-03-01T11:0{minute}:00Z", "notes": "at the depot"}
        for minute, word in enumerate(steps)
    ]
    return RemoteDelivery.from_json({"history": entries}).history


def test_steps_that_we_missed_are_added_to_the_history(delivery):
    """As Kaspi dates them; the step to the status that it is about to take is left to who takes it."""
    entries = history_of("created", "accepted", "in_transit")
    history.add_missing_steps(delivery, entries, NOON, about_to="in_transit")
    assert [row[1] for row in told(delivery)] == ["created", "accepted"]
    first = delivery.history.get(to_status="created")
    assert (first.applied, first.source, first.note) == (False, "refresh", "at the depot")


@pytest.mark.failure_mode("refresh: history comes again")
def test_history_never_doubles(delivery):
    """However often Kaspi is asked."""
    for _ in range(3):
        history.add_missing_steps(delivery, history_of("created", "accepted", "created"), NOON)
    assert len(told(delivery)) == 2


@pytest.mark.parametrize("word", ["", "in transit", "s" * 65, "жолда"])
def test_history_that_cannot_be_kept_is_passed_over(delivery, word):
    """An unusable word is no status."""
    history.add_missing_steps(delivery, history_of(word), NOON)
    assert told(delivery) == []


def stamped(*steps):
    """Return Kaspi's history of these (status, time) pairs, in this order."""
    entries = [{"status": word, "timestamp": stamp} for word, stamp in steps]
    return RemoteDelivery.from_json({"history": entries}).history


WAY = ("created", "accepted", "in_transit", "out_for_delivery")
TIMES = tuple(f"2026-03-01T11:0{minute}:00Z" for minute in range(4))
LISTS = {
    "newest first": stamped(*reversed(tuple(zip(WAY, TIMES, strict=True)))),
    "one second": stamped(*((word, TIMES[0]) for word in WAY)),
    "one second, newest first": stamped(*((word, TIMES[0]) for word in reversed(WAY))),
    "last step too early": stamped(*zip(WAY, (*TIMES[1:], TIMES[0]), strict=True)),
    "last step in year 1": stamped(*zip(WAY, (*TIMES[:3], "0001-01-01T00:00:00Z"), strict=True)),
    "a step without a time": stamped(*zip(WAY, (TIMES[0], None, *TIMES[2:]), strict=True)),
    "no times": stamped(*((word, None) for word in WAY)),
    "each twice": stamped(*(pair for pair in zip(WAY, TIMES, strict=True) for _ in range(2))),
}


@pytest.mark.parametrize("entries", LISTS.values(), ids=LISTS.keys())
def test_each_status_of_kaspis_history_stands_once(delivery, entries):
    """Whichever way Kaspi lists and stamps the steps: none is missing, none is there twice."""
    history.add_missing_steps(delivery, entries, NOON, about_to=WAY[-1])
    status.correct(delivery, status.StatusUpdate(status=WAY[-1], source="refresh", at=NOON))
    assert sorted(delivery.history.values_list("to_status", flat=True)) == sorted(WAY)


@pytest.mark.parametrize("name", ["newest first", "one second", "one second, newest first", "a step without a time"])
def test_the_steps_follow_each_other(delivery, name):
    """Each names the one before it."""
    history.add_missing_steps(delivery, LISTS[name], NOON, about_to=WAY[-1])
    pairs = {(row.from_status, row.to_status) for row in delivery.history.all()}
    assert pairs == {("", "created"), ("created", "accepted"), ("accepted", "in_transit")}


@pytest.mark.parametrize("turn", [tuple, reversed], ids=["oldest first", "newest first"])
def test_a_step_without_a_time_has_that_of_the_step_before_it(delivery, turn):
    """Whichever way Kaspi lists them."""
    steps = tuple(zip(WAY[:3], (TIMES[0], None, TIMES[2]), strict=True))
    status.keep_history(delivery, stamped(*turn(steps)), NOON)
    assert delivery.history.get(to_status="accepted").at == delivery.history.get(to_status="created").at


def test_a_history_keeps_a_hundred_rows(delivery):
    """The latest of them; a hundred more words of Kaspi's add none."""
    for first in (0, 150):
        entries = stamped(*((f"word_{number}", TIMES[0]) for number in range(first, first + 150)))
        history.add_missing_steps(delivery, entries, NOON)
    kept = set(delivery.history.values_list("to_status", flat=True))
    assert ("word_149" in kept, "word_0" in kept) == (True, False)


@pytest.mark.parametrize("about_to", ["", "in_transit", "word_x"])
def test_a_long_history_leaves_room_for_the_statuses_to_come(delivery, about_to):
    """With the status that the delivery takes, and all of its later ones, there are a hundred rows."""
    entries = stamped(*((f"word_{number}", TIMES[0]) for number in range(10_000)))
    history.add_missing_steps(delivery, entries, NOON, about_to=about_to)
    for word in dict.fromkeys([about_to, *statuses.STATUSES]):
        if word:
            status.correct(delivery, status.StatusUpdate(status=word, source=StatusChange.Source.REFRESH, at=NOON))
    assert (delivery.history.count(), delivery.status) == (100, "cancelled")


def test_a_delivery_that_is_gone_is_not_written(delivery):
    """Whoever writes it learns that, and nothing else of its transaction is kept."""
    Delivery.objects.all().delete()
    with pytest.raises(Delivery.DoesNotExist):
        status.save(delivery)
