"""The rows that an optional app sends: claimed, sent, recorded, retried and pruned. Those of the relay, as a sample."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import OperationalError

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.outgoing import LEASE, LONGEST_PAUSE_S, RETRIED_FOR, NeverSendable, RetryLater
from kaspi_delivery_django.contrib.relay.models import RelayedEvent

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = RelayedEvent.objects


@pytest.fixture
def add(turnable):
    """Add a row that is due."""

    def add(key="1", **values):
        return ROWS.create(key=key, endpoint="erp", type="t", body="{}", next_attempt_at=turnable.now, **values)

    return add


class Recipient:
    """Notes the keys of what it is sent; raises what it is given."""

    def __init__(self):
        self.got, self.error = [], None

    def __call__(self, row):
        """Take a row."""
        self.got.append(row.key)
        if self.error:
            raise self.error


@pytest.fixture
def recipient():
    """Whom rows are sent to."""
    return Recipient()


def send(recipient, **options):
    """Send what is due."""
    return outgoing.send_due(ROWS.all(), recipient, **{"limit": 10, **options})


def states():
    """Return (key, state) of all rows."""
    return sorted(ROWS.values_list("key", "state"))


def test_a_due_row_is_sent_once(add, recipient, turnable):
    """And recorded with its time."""
    row = add()
    assert (send(recipient), send(recipient)) == (1, 0)
    row.refresh_from_db()
    assert (row.state, row.attempts, row.sent_at, row.claim_token) == ("sent", 1, turnable.now, "")


def test_a_row_is_sent_when_it_is_due_the_oldest_first(add, recipient, turnable):
    """And not more than the limit at once."""
    add("new")
    add("later")
    add("old")
    ROWS.filter(key="old").update(next_attempt_at=turnable.now - timedelta(minutes=1))
    ROWS.filter(key="later").update(next_attempt_at=turnable.now + timedelta(minutes=1))
    assert send(recipient, limit=1) == 1
    assert send(recipient) == 1
    assert recipient.got == ["old", "new"]


def test_two_workers_send_a_row_once(add, recipient, at_once):
    """One conditional UPDATE decides who has it."""
    for key in "1234":
        add(key)
    done = at_once(*[lambda: send(recipient)] * 2)
    assert (sum(done), sorted(recipient.got)) == (4, list("1234"))


def test_a_row_that_another_has_taken_is_left_alone(add, recipient):
    """Between the look at the table and the claim."""
    add("1")
    add("2")

    def take_both(row):
        recipient(row)
        ROWS.filter(key="2").update(claim_token="another's")

    assert send(take_both) == 1
    assert recipient.got == ["1"]


def test_the_claim_of_a_dead_worker_ends(add, recipient, turnable):
    """The row is sent a second time, not before."""
    add()
    recipient.error = SystemExit()
    with pytest.raises(SystemExit):
        send(recipient)
    recipient.error = None
    turnable.now += LEASE - timedelta(seconds=1)
    assert send(recipient) == 0
    turnable.turn(seconds=1)
    assert send(recipient) == 1
    assert recipient.got == ["1", "1"]


def test_a_worker_that_was_too_slow_records_nothing(add, recipient, turnable):
    """Its row is another's by then, which says what became of it."""
    add()

    def slow(row):
        turnable.now += LEASE
        assert send(recipient) == 1
        raise RetryLater(text="too late")

    assert send(slow) == 0
    row = ROWS.get()
    assert (row.state, row.attempts, row.error) == ("sent", 2, "")


def test_pauses_grow_up_to_a_limit_for_three_days(add, recipient, turnable):
    """Then the row has failed, with the last error for staff."""
    add()
    recipient.error = RetryLater(text="503 from the endpoint")
    pauses = []
    while (row := ROWS.get()).next_attempt_at:
        pauses.append((row.next_attempt_at - turnable.now).total_seconds())
        turnable.now = row.next_attempt_at
        assert send(recipient) == 0
    first, *others = pauses
    assert first == 0
    assert all(later > sooner for sooner, later in pairwise(others[:10]))
    assert others[0] <= 6
    assert max(others) <= LONGEST_PAUSE_S
    assert sum(pauses) >= RETRIED_FOR.total_seconds()
    assert (row.state, row.error, row.claim_token) == ("failed", "503 from the endpoint", "")


def test_the_recipients_wish_counts_up_to_a_limit(add, recipient, turnable):
    """A longer pause than our own."""
    add()
    for asked_s, pause_s in ((1000, 1000), (10**9, LONGEST_PAUSE_S)):
        recipient.error = RetryLater(asked_s)
        send(recipient)
        assert (ROWS.get().next_attempt_at - turnable.now).total_seconds() == pause_s
        turnable.now = ROWS.get().next_attempt_at


def test_an_error_of_one_row_stops_no_other(add, recipient):
    """Of the sender's code too; its text, which may be personal, is not stored."""
    add("1")
    add("2")
    recipient.error = ValueError("+7 701 555 0199")
    assert send(recipient) == 0
    assert recipient.got == ["1", "2"]
    assert all(error.startswith("ValueError at ") for error in ROWS.values_list("error", flat=True))


def test_a_recipient_that_is_away_ends_the_round(add, recipient):
    """The other rows are not tried in vain."""
    add("1")
    add("2")
    recipient.error = RetryLater(text="no answer", ends_round=True)
    assert send(recipient) == 0
    assert (recipient.got, sorted(ROWS.values_list("attempts", flat=True))) == (["1"], [0, 1])


def test_a_round_ends_after_its_time(add, recipient):
    """The first row is always begun."""
    add("1")
    add("2")
    assert (send(recipient, within_s=0), send(recipient, within_s=0)) == (1, 1)


def test_what_can_never_be_sent_ends_at_once(add, recipient):
    """Staff read why."""
    add()
    recipient.error = NeverSendable("410: gone\n")
    assert (send(recipient), send(recipient)) == (0, 0)
    row = ROWS.get()
    assert (recipient.got, row.state, row.error) == (["1"], "failed", r"410: gone\n")


def test_a_database_that_is_away_is_the_workers_business(add, recipient, turnable):
    """It waits; the row is sent when the claim has ended."""
    add()
    recipient.error = OperationalError("gone")
    with pytest.raises(OperationalError):
        send(recipient)
    recipient.error = None
    turnable.now += LEASE
    assert send(recipient) == 1


def test_staff_send_again_what_has_failed(add, recipient, turnable):
    """It is retried as a new row is; what was sent is so only if that is asked for."""
    add("1", state="failed", attempts=15, error="no answer")
    add("2", state="sent", attempts=1)
    ROWS.update(next_attempt_at=None, created_at=turnable.now - timedelta(days=9))
    assert (outgoing.retry(ROWS.all()), outgoing.retry(ROWS.all())) == (1, 0)
    recipient.error = RetryLater(text="no answer")
    send(recipient)
    row = ROWS.get(key="1")
    assert (row.state, row.attempts) == ("waiting", 1)
    assert row.next_attempt_at - turnable.now < timedelta(seconds=10)
    assert outgoing.retry(ROWS.all(), also_sent=True) == 1
    assert states() == [("1", "waiting"), ("2", "waiting")]


def test_old_rows_that_have_ended_are_pruned_in_batches(add, turnable):
    """What waits stays, however old it is."""
    for key, state in (("1", "sent"), ("2", "failed"), ("3", "skipped"), ("4", "waiting"), ("5", "sent")):
        add(key, state=state)
    ROWS.exclude(key="5").update(created_at=turnable.now - timedelta(days=91))
    how = {"before": turnable.now - timedelta(days=90), "batch": 2}
    assert list(outgoing.prune(RelayedEvent, **how, dry_run=True)) == [3]
    assert list(outgoing.prune(RelayedEvent, **how, dry_run=False)) == [2, 1]
    assert states() == [("4", "waiting"), ("5", "sent")]
