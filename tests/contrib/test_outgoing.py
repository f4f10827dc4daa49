"""The rows that an optional app sends: claimed, sent, recorded, retried and pruned. Those of the relay, as a sample."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import OperationalError

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.outgoing import LEASE, LONGEST_PAUSE_S, RETRIED_FOR, NeverSendable, RetryLater
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.services.db import delete_in_batches

pytestmark = pytest.mark.django_db

ROWS = RelayedEvent.objects


@pytest.fixture
def add(fake_clock):
    """Add rows that are due."""

    def add(*keys, **values):
        for key in keys:
            ROWS.create(key=key, endpoint="erp", type="t", body="{}", next_attempt_at=fake_clock.now, **values)

    return add


class Recipient:
    """Keeps the keys of what it is sent; raises what it is given."""

    def __init__(self):
        self.got, self.error = [], None

    def __call__(self, row):
        self.got.append(row.key)
        if self.error:
            raise self.error


@pytest.fixture
def recipient():
    """Whom rows are sent to."""
    return Recipient()


def send(recipient, **options):
    return outgoing.send_due(ROWS.all(), recipient, **{"limit": 10, **options})


def test_a_row_is_sent_once_when_it_is_due_the_oldest_first(add, recipient, fake_clock):
    """Not more than the limit at once; recorded with its time."""
    add("new", "later", "old")
    ROWS.filter(key="old").update(next_attempt_at=fake_clock.now - timedelta(minutes=1))
    ROWS.filter(key="later").update(next_attempt_at=fake_clock.now + timedelta(minutes=1))
    assert [send(recipient, limit=1), send(recipient), send(recipient)] == [1, 1, 0]
    assert recipient.got == ["old", "new"]
    row = ROWS.get(key="old")
    assert (row.state, row.attempts, row.sent_at, row.claim_token) == ("sent", 1, fake_clock.now, "")


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_a_row_once(add, recipient, at_once):
    """One conditional UPDATE decides who has it."""
    add(*"1234")
    done = at_once(*[lambda: send(recipient)] * 2)
    assert (sum(done), sorted(recipient.got)) == (4, list("1234"))


def test_a_row_that_another_has_claimed_is_left_alone(add, recipient):
    """Between the look at the table and the claim."""
    add("1", "2")

    def claim_both(row):
        recipient(row)
        ROWS.filter(key="2").update(claim_token="another's")

    assert send(claim_both) == 1
    assert recipient.got == ["1"]


@pytest.mark.parametrize("error", [SystemExit, OperationalError])
def test_the_claim_of_a_dead_worker_ends(add, recipient, fake_clock, error):
    """Or of one whose database is away: the row is sent a second time, not before."""
    add("1")
    recipient.error = error()
    with pytest.raises(error):
        send(recipient)
    recipient.error = None
    fake_clock.now += LEASE - timedelta(seconds=1)
    assert send(recipient) == 0
    fake_clock.advance(seconds=1)
    assert send(recipient) == 1
    assert recipient.got == ["1", "1"]


def test_a_worker_that_was_too_slow_records_nothing(add, recipient, fake_clock):
    """Its row is another's by then, which records the outcome."""
    add("1")

    def slow(row):
        fake_clock.now += LEASE
        assert send(recipient) == 1
        raise RetryLater(text="too late")

    assert send(slow) == 0
    row = ROWS.get()
    assert (row.state, row.attempts, row.error) == ("sent", 2, "")


def test_pauses_grow_up_to_a_limit_for_three_days(add, recipient, fake_clock):
    """Then the row has failed, with the last error for staff."""
    add("1")
    recipient.error = RetryLater(text="503 from the endpoint")
    pauses = []
    while (row := ROWS.get()).next_attempt_at:
        pauses.append((row.next_attempt_at - fake_clock.now).total_seconds())
        assert len(pauses) < 99
        fake_clock.now = row.next_attempt_at
        assert send(recipient) == 0
    first, *others = pauses
    assert (first, others[0] <= 6) == (0, True)
    assert all(later > sooner for sooner, later in pairwise(others[:10]))
    assert max(others) <= LONGEST_PAUSE_S
    assert sum(pauses) >= RETRIED_FOR.total_seconds()
    assert (row.state, row.error, row.claim_token) == ("failed", "503 from the endpoint", "")


@pytest.mark.parametrize(("asked_s", "pause_s"), [(1000, 1000), (10**9, LONGEST_PAUSE_S)])
def test_a_longer_pause_that_the_recipient_asks_for_counts_up_to_a_limit(add, recipient, fake_clock, asked_s, pause_s):
    """And is the least that it waits."""
    add("1")
    recipient.error = RetryLater(asked_s)
    send(recipient)
    assert (ROWS.get().next_attempt_at - fake_clock.now).total_seconds() == pause_s


def test_an_error_of_one_row_stops_no_other(add, recipient):
    """Of the sender's code too; its text, which may be personal, is not stored."""
    add("1", "2")
    recipient.error = ValueError("+7 701 555 0199")
    assert send(recipient) == 0
    assert recipient.got == ["1", "2"]
    assert all(error.startswith("ValueError at ") for error in ROWS.values_list("error", flat=True))


def test_a_recipient_that_is_away_ends_the_round_and_so_does_its_time(add, recipient):
    """The other rows are not tried; the first one always is."""
    add("1", "2", "3")
    recipient.error = RetryLater(text="no answer", ends_round=True)
    assert send(recipient) == 0
    assert (recipient.got, sorted(ROWS.values_list("attempts", flat=True))) == (["1"], [0, 0, 1])
    recipient.error = None
    assert (send(recipient, within_s=0), send(recipient, within_s=0)) == (1, 1)


def test_what_can_never_be_sent_ends_at_once(add, recipient):
    """Staff read why."""
    add("1")
    recipient.error = NeverSendable("410: gone\n")
    assert (send(recipient), send(recipient)) == (0, 0)
    row = ROWS.get()
    assert (recipient.got, row.state, row.error) == (["1"], "failed", r"410: gone\n")


def test_staff_send_again_what_has_failed(add, recipient, fake_clock):
    """It is retried as a new row is; what was sent is so only if that is asked for."""
    add("1", state="failed", attempts=15, error="no answer")
    add("2", state="sent", attempts=1)
    ROWS.update(next_attempt_at=None, created_at=fake_clock.now - timedelta(days=9))
    assert (outgoing.retry(ROWS.all()), outgoing.retry(ROWS.all())) == (1, 0)
    recipient.error = RetryLater(text="no answer")
    send(recipient)
    row = ROWS.get(key="1")
    assert (row.state, row.attempts) == ("waiting", 1)
    assert row.next_attempt_at - fake_clock.now < timedelta(seconds=10)
    assert outgoing.retry(ROWS.all(), states=["sent"]) == 1
    assert set(ROWS.values_list("state", flat=True)) == {"waiting"}


def test_old_rows_that_have_ended_are_pruned_in_batches(add, fake_clock):
    """What is due stays, however old it is."""
    for key, state in (("1", "sent"), ("2", "failed"), ("3", "skipped"), ("4", "waiting"), ("5", "sent")):
        add(key, state=state)
    ROWS.exclude(key="5").update(created_at=fake_clock.now - timedelta(days=91))
    old = outgoing.old_rows(RelayedEvent, fake_clock.now - timedelta(days=90))
    assert list(delete_in_batches(old, batch=2, dry_run=True)) == [3]
    assert list(delete_in_batches(old, batch=2, dry_run=False)) == [2, 1]
    assert sorted(ROWS.values_list("key", flat=True)) == ["4", "5"]
