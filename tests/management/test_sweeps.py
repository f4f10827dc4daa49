"""The commands that go over many rows: dry runs, batches, interruptions, exit codes; twice is once."""

import io
import signal
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet

from kaspi_delivery_django.management import batches
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import cancel_delivery, clock, inbox, refresh_delivery
from kaspi_delivery_django.services.maintenance import backfill
from tests.conftest import event
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


class Terminal(io.StringIO):
    """A standard output that somebody looks at."""

    def isatty(self):
        return True


@pytest.fixture
def run(kaspi):
    """Run a command; return its exit code and what it said."""

    def call(*arguments, out=None):
        out = out or io.StringIO()
        try:
            call_command(*arguments, stdout=out)
        except SystemExit as end:
            return end.code, out.getvalue()
        except CommandError as err:
            return err.returncode, str(err)
        return 0, out.getvalue()

    return call


@pytest.fixture
def shop(settings, monkeypatch):
    """A shop whose adapter says where to look."""
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all(), raising=False)


def bulk(count, **columns):
    """Make orders that no signal tells of."""
    return Order.objects.bulk_create([Order(**columns) for _ in range(count)])


@pytest.mark.failure_mode("save: no signal")
def test_enqueue_books_what_no_signal_told_of(run, shop, drain, kaspi):
    """In batches, each order once, however often it is run."""
    bulk(5)
    assert run("kaspi_enqueue", "--batch", "2") == (0, "seen: 5, booked: 5\n")
    assert run("kaspi_enqueue") == (0, "seen: 5\n")
    drain()
    assert len(kaspi.deliveries) == 5


def test_enqueue_dry_run_counts_the_same_and_changes_nothing(run, shop):
    """What it says is what the real run does."""
    bulk(3)
    bulk(1, paid=False)
    bulk(1, cancelled=True)
    assert run("kaspi_enqueue", "--dry-run") == (0, "dry run: seen: 5, booked: 3\n")
    assert not Delivery.objects.exists()
    assert run("kaspi_enqueue") == (0, "seen: 5, booked: 3\n")


def test_enqueue_without_a_place_to_look_says_what_to_write(run):
    """All orders would ship five years of old ones."""
    code, said = run("kaspi_enqueue")
    assert code == 2
    assert "def orders_to_enqueue(self)" in said


def test_enqueue_names_the_adapter_that_fails(run, monkeypatch):
    """The shop's code broke, not the command."""
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: 1 / 0, raising=False)
    code, said = run("kaspi_enqueue")
    assert code == 1
    assert "orders_to_enqueue of OrderAdapter failed: ZeroDivisionError" in said


def test_enqueue_sets_aside_what_the_adapter_fails_on(run, shop, monkeypatch):
    """The others are booked; this one waits for a person, and the exit code says so."""
    first, _second = bulk(2)

    def wants(_self, order):
        return 1 / (order.pk - first.pk)

    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", wants)
    assert run("kaspi_enqueue") == (1, "seen: 2, failed: 1, booked: 1\n")
    assert Delivery.objects.get(object_id=str(first.pk)).attention == "adapter_failed"


def test_enqueue_goes_on_after_an_order_that_breaks(run, shop, monkeypatch, caplog):
    """Whatever it is; it is logged, without its data."""
    bulk(2)
    troubles = [RuntimeError("+7 727 111 0000"), None]
    book = backfill._book

    def breaking(*args):
        if trouble := troubles.pop(0):
            raise trouble
        return book(*args)

    monkeypatch.setattr(backfill, "_book", breaking)
    assert run("kaspi_enqueue") == (1, "seen: 2, failed: 1, booked: 1\n")
    assert "order not enqueued" in caplog.text
    assert "+7 727" not in caplog.text


def test_enqueue_ends_when_the_database_is_away(run, shop, monkeypatch):
    """What is booked stays booked; cron sees the error, and the next run does the rest."""
    bulk(2)

    def away(*_arguments):
        raise OperationalError("gone")

    monkeypatch.setattr(backfill, "_book", away)
    with pytest.raises(OperationalError):
        run("kaspi_enqueue")


@pytest.mark.parametrize("command", ["kaspi_enqueue", "kaspi_replay"])
def test_what_meets_a_deadlock_twice_is_left_to_the_next_run(run, shop, booked, post_webhook, monkeypatch, command):
    """The others are done; the exit code is 0, because the next run finds it."""
    bulk(1)
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed")

    def busy(*_args, **_options):
        raise OperationalError("database is locked")

    monkeypatch.setattr(backfill, "_book", busy)
    monkeypatch.setattr(inbox, "replay_event", busy)
    code, said = run(command)
    assert code == 0
    assert "deferred: 1" in said


def test_replay_ends_when_the_database_is_away(run, booked, post_webhook, monkeypatch):
    """As any command does."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed")

    def away(*_args, **_options):
        raise OperationalError("gone")

    monkeypatch.setattr(inbox, "replay_event", away)
    with pytest.raises(OperationalError):
        run("kaspi_replay")


def test_a_sweep_sends_nothing_itself(run, shop, kaspi, settings):
    """Not even with the inline runner: a batch would take as long as Kaspi does, and know no pace."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    bulk(3)
    assert run("kaspi_enqueue") == (0, "seen: 3, booked: 3\n")
    assert kaspi.requests == []


def test_a_sweep_may_run_in_a_thread(run, shop, at_once):
    """A task queue's, which no signal reaches."""
    bulk(1)
    assert at_once(lambda: run("kaspi_enqueue")) == [(0, "seen: 1, booked: 1\n")]


def test_replay_leaves_alone_what_people_have_settled(run, booked, post_webhook):
    """What is parked or in conflict is applied again only when it is asked for."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="conflict")
    assert run("kaspi_replay") == (0, "nothing to do\n")
    assert "noted: 1" in run("kaspi_replay", "--state", "conflict")[1]


def test_enqueue_twice_at_once_books_once(run, shop, at_once, kaspi, drain):
    """Two crons that overlap."""
    bulk(6)
    ended = at_once(*[lambda: [sum(c.values()) for c in backfill.enqueue(adapters.OrderAdapter(), batch=2)]] * 2)
    assert not any(isinstance(end, Exception) for end in ended)
    drain()
    assert (Delivery.objects.count(), len(kaspi.deliveries)) == (6, 6)


def test_an_interrupted_sweep_finishes_its_batch(run, shop, monkeypatch):
    """SIGTERM: exit code 130, what is done stays done, the next run does the rest."""
    bulk(4)
    enqueue = backfill.enqueue

    def interrupted(*arguments, **options):
        for counts in enqueue(*arguments, **options):
            signal.raise_signal(signal.SIGTERM)
            yield counts

    monkeypatch.setattr(backfill, "enqueue", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    code, said = run("kaspi_enqueue", "--batch", "2")
    assert code == 130
    assert "interrupted" in said
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all(), raising=False)
    assert Delivery.objects.count() == 2
    run("kaspi_enqueue")
    assert Delivery.objects.count() == 4


def test_a_terminal_sees_it_count(run, shop):
    """One line that is written over; a log gets plain lines."""
    bulk(3)
    _code, said = run("kaspi_enqueue", "--batch", "1", out=Terminal())
    assert "\rseen: 2, booked: 2" in said
    assert "\r" not in run("kaspi_enqueue")[1]


def test_a_log_gets_a_line_now_and_then(run, shop, monkeypatch):
    """Not one for each batch."""
    monkeypatch.setattr(batches, "REPORT_EVERY_S", 0)
    bulk(2)
    assert run("kaspi_enqueue", "--batch", "1")[1].splitlines()[0] == "seen: 1, booked: 1"


@pytest.mark.parametrize("option", ["batch", "events-days", "personal-days"])
@pytest.mark.parametrize("number", ["0", "-1", "many", "²", "99999999999999999999"])
def test_a_figure_is_a_whole_number_that_a_database_can_count(run, option, number):
    """The message says so."""
    code, said = run("kaspi_prune", f"--{option}={number}")
    assert code == 1
    assert "must be a whole number from 1 to" in said


def test_replay_applies_what_failed(run, booked, post_webhook):
    """And counts the states that the events are in then."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed")
    Delivery.objects.update(status="created")
    assert run("kaspi_replay", "--dry-run") == (0, "dry run: failed: 1\n")
    assert run("kaspi_replay") == (0, "applied: 1\n")
    assert Delivery.objects.get().status == "accepted"
    assert run("kaspi_replay") == (0, "nothing to do\n")


def test_replay_says_what_failed_again(run, booked, post_webhook):
    """Exit code 1: a person must look."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed", body="{}")
    assert run("kaspi_replay", "--state", "failed") == (1, "failed: 1\n")
    assert WebhookEvent.objects.get().state == "failed"


@pytest.fixture
def ended(booked, deliver_webhooks, kaspi, drain, turnable):
    """Return a delivery that ended today, with its events."""
    for status in ("accepted", "in_transit", "delivered"):
        turnable.turn(minutes=1)
        kaspi.move(booked.delivery_id, status, turnable.timestamp(), notes="door code 12")
    deliver_webhooks()
    drain()
    booked.refresh_from_db()
    assert booked.status == "delivered"
    return booked


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_keeps_events_for_ninety_days(run, ended, turnable):
    """The history stays when its event goes."""
    turnable.turn(days=89)
    run("kaspi_prune", "--personal-days", "900")
    assert WebhookEvent.objects.count() == 4
    turnable.turn(days=2)
    assert "events deleted: 4" in run("kaspi_prune", "--dry-run")[1]
    assert WebhookEvent.objects.count() == 4
    assert "events deleted: 4" in run("kaspi_prune", "--batch", "3")[1]
    assert not WebhookEvent.objects.exists()
    assert StatusChange.objects.count() == 4


@pytest.mark.parametrize("state", ["parked", "failed", "conflict"])
@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_never_deletes_what_is_unresolved(run, ended, turnable, state):
    """However old."""
    WebhookEvent.objects.update(state=state)
    turnable.turn(days=400)
    run("kaspi_prune")
    assert WebhookEvent.objects.count() == 4


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_never_touches_what_the_shop_was_not_told(run, ended, turnable):
    """A receiver that still fails may want the event, and the delivery."""
    StatusChange.objects.update(notified_at=None)
    turnable.turn(days=400)
    run("kaspi_prune")
    assert WebhookEvent.objects.count() == 3  # the fourth only repeated what the booking had said
    assert Delivery.objects.get().dropoff_phone


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_keeps_events_for_seven_days_at_least(run):
    """Kaspi repeats them for one."""
    code, said = run("kaspi_prune", "--events-days", "6")
    assert code == 2
    assert "at least 7" in said


@pytest.mark.failure_mode("refresh: prune keeps personal data")
def test_prune_blanks_personal_data_after_thirty_days(run, ended, turnable):
    """Phones, names, addresses, and whatever repeats them; ids, times and figures stay."""
    turnable.turn(days=29)
    run("kaspi_prune")
    assert Delivery.objects.get().dropoff_phone
    turnable.turn(days=2)
    assert "deliveries anonymized: 1" in run("kaspi_prune")[1]
    row = Delivery.objects.get()
    assert {row.dropoff_phone, row.dropoff_name, row.dropoff_address, row.pickup_phone, row.raw} == {""}
    assert (row.delivery_id, row.status, row.parcel_weight_grams) == (ended.delivery_id, "delivered", 500)
    assert set(ApiCall.objects.values_list("payload", flat=True)) == {""}
    assert ApiCall.objects.get(kind="create").payload_sha256
    assert set(StatusChange.objects.values_list("note", flat=True)) == {""}
    assert "blanked" not in run("kaspi_prune")[1]


def test_a_late_answer_brings_nothing_personal_back(run, ended, turnable, drain):
    """Somebody asks about a parcel whose data was forgotten: the status is taken, the rest is not."""
    turnable.turn(days=31)
    run("kaspi_prune")
    refresh_delivery(ended)
    drain()
    assert Delivery.objects.get().raw == ""
    assert ApiCall.objects.get(kind="refresh").state == "done"


@pytest.mark.parametrize(
    "columns", [{"attention": "second_parcel"}, {"status": "in_transit"}], ids=["listed", "under way"]
)
@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_never_blanks_what_is_not_over(run, ended, turnable, columns):
    """A person, or the courier, still needs the address."""
    Delivery.objects.update(**columns)
    turnable.turn(days=400)
    run("kaspi_prune")
    assert Delivery.objects.get().dropoff_phone


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_never_blanks_beside_an_open_call(run, ended, turnable):
    """It may have to be sent."""
    ApiCall.objects.update(state="stuck")
    turnable.turn(days=400)
    run("kaspi_prune")
    assert Delivery.objects.get().dropoff_phone


@pytest.mark.failure_mode("refresh: prune keeps personal data")
def test_prune_blanks_what_was_never_booked(run, due, turnable):
    """A booking that was taken back has an end too."""
    cancel_delivery(due.delivery)
    Delivery.objects.update(dropoff_phone="+7 727 111 0000")
    turnable.turn(days=31)
    assert "deliveries anonymized: 1" in run("kaspi_prune")[1]
    assert Delivery.objects.get().dropoff_phone == ""


def test_a_sweep_reads_no_more_than_a_batch(run, ended, turnable, monkeypatch):
    """A million rows need no more memory than a thousand: every list of rows has its limit."""
    turnable.turn(days=400)
    sizes = []
    fetch = QuerySet._fetch_all

    def watch(rows):
        fetch(rows)
        sizes.append(len(rows._result_cache))

    for number in range(40):
        WebhookEvent.objects.create(
            account="default",
            environment="sandbox",
            event_id=f"old_{number}",
            type="delivery.created",
            state="noted",
            received_at=clock.now() - timedelta(days=300),
        )
    monkeypatch.setattr(QuerySet, "_fetch_all", watch)
    run("kaspi_prune", "--batch", "5")
    assert not WebhookEvent.objects.exists()
    assert max(sizes) <= 5
