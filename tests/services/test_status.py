"""The one place where a status changes: by verdict, by Kaspi's own word, by its history."""

from datetime import timedelta

import pytest
from django.db import transaction

from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.lifecycle import Verdict
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import status
from kaspi_delivery_django.services.transactions import lock_again
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
    return status.News(status=word, source=StatusChange.Source(source), at=at, note=note)


def tell(delivery, found, act=status.apply):
    """Apply news under the lock, with the verdict that belongs to it."""
    with transaction.atomic():
        locked = lock_again(delivery)
        act(locked, found, status.weigh(locked, found))
        status.save(locked)
    return fresh(delivery)


def correct(delivery, found):
    """Take Kaspi's own word under the lock."""
    with transaction.atomic():
        locked = lock_again(delivery)
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
        ("in_transit", Verdict.ADVANCE, "in_transit", [("accepted", "in_transit", True)]),
        ("delivered", Verdict.ADVANCE, "delivered", [("accepted", "delivered", True)]),
        ("accepted", Verdict.REPEAT, "accepted", []),
        ("created", Verdict.STALE, "accepted", [("accepted", "created", False)]),
        ("in_customs", Verdict.UNKNOWN, "accepted", [("accepted", "in_customs", False)]),
    ],
)
def test_each_verdict_does_its_own(delivery, word, verdict, after, row):
    """Move, leave, keep, keep and ask."""
    assert status.weigh(delivery, news(word)) is verdict
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


@pytest.mark.parametrize(("end", "reason"), [("cancelled", ""), ("delivered", "cancel_refused")])
def test_only_a_cancelled_delivery_settles_a_refused_cancel(delivery, end, reason):
    """What was delivered although it was cancelled is still somebody's to settle."""
    Delivery.objects.update(attention="cancel_refused")
    assert tell(delivery, news(end)).attention == reason


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
    """As Kaspi dates them; the last is left to who takes the status from it."""
    entries = history_of("created", "accepted", "in_transit")
    status.keep_history(delivery, entries, NOON)
    assert [row[1] for row in told(delivery)] == ["created", "accepted"]
    first = delivery.history.get(to_status="created")
    assert (first.applied, first.source, first.note) == (False, "refresh", "at the depot")


def test_b7_history_never_doubles(delivery):
    """However often Kaspi is asked."""
    for _ in range(3):
        status.keep_history(delivery, history_of("created", "accepted", "created"), NOON)
    assert len(told(delivery)) == 2


@pytest.mark.parametrize("word", ["", "in transit", "s" * 65, "жолда"])
def test_history_that_cannot_be_kept_is_passed_over(delivery, word):
    """An unusable word is no status."""
    status.keep_history(delivery, history_of(word, "accepted"), NOON)
    assert told(delivery) == []


def test_a_delivery_that_is_gone_is_not_written(delivery):
    """Whoever writes it learns that, and nothing else of its transaction is kept."""
    Delivery.objects.all().delete()
    with pytest.raises(Delivery.DoesNotExist):
        status.save(delivery)
