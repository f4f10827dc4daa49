"""The commands that go over many rows: dry runs, batches, interruptions, exit codes; twice is once."""

import io
import signal
from datetime import timedelta
from unittest.mock import DEFAULT, Mock

import pytest
from django.db import OperationalError
from django.db.models import QuerySet

from kaspi_delivery_django.management import batches
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import acknowledge_delivery, clock, inbox, refresh_delivery
from kaspi_delivery_django.services.maintenance import backfill
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


class Terminal(io.StringIO):
    """A standard output that staff look at."""

    def isatty(self):
        return True


@pytest.fixture
def sweep(run, kaspi):
    """Run a command; return its exit code and what it printed, or its error."""

    def call(*arguments, **options):
        code, out, err = run(*arguments, **options)
        return code, out or err

    return call


@pytest.fixture
def shop(monkeypatch):
    """A shop whose adapter has orders to enqueue."""
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all(), raising=False)


def bulk(count, **columns):
    """Make orders without a signal."""
    return Order.objects.bulk_create([Order(**columns) for _ in range(count)])


@pytest.mark.failure_mode("save: no signal")
def test_enqueue_books_orders_without_a_signal(sweep, shop, drain, kaspi):
    """In batches, each order once, however often it is run; a dry run counts the same and changes nothing."""
    bulk(3)
    bulk(1, paid=False)
    bulk(1, cancelled=True)
    assert sweep("kaspi_enqueue", "--dry-run") == (0, "dry run: seen: 5, booked: 3\n")
    assert not Delivery.objects.exists()
    assert sweep("kaspi_enqueue", "--batch", "2") == (0, "seen: 5, booked: 3\n")
    assert sweep("kaspi_enqueue") == (0, "seen: 5\n")
    drain()
    assert len(kaspi.deliveries) == 3


def test_enqueue_without_a_queryset_says_what_to_write(sweep):
    """All orders would ship five years of old ones."""
    code, printed = sweep("kaspi_enqueue")
    assert (code, "def orders_to_enqueue(self)" in printed) == (2, True)


def test_enqueue_names_the_adapter_that_fails(sweep, monkeypatch):
    """The shop's code broke, not the command."""
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: 1 / 0, raising=False)
    code, printed = sweep("kaspi_enqueue")
    assert (code, "orders_to_enqueue of OrderAdapter failed: ZeroDivisionError" in printed) == (1, True)


def test_enqueue_continues_after_an_order_that_breaks(sweep, shop, monkeypatch, caplog):
    """Whatever it is; it is logged, without its data."""
    bulk(2)
    book = Mock(wraps=backfill._book, side_effect=[RuntimeError("+7 727 111 0000"), DEFAULT])
    monkeypatch.setattr(backfill, "_book", book)
    assert sweep("kaspi_enqueue") == (1, "seen: 2, failed: 1, booked: 1\n")
    assert "order not enqueued" in caplog.text
    assert "+7 727" not in caplog.text


@pytest.mark.parametrize("command", ["kaspi_enqueue", "kaspi_replay"])
@pytest.mark.parametrize("reason", ["gone", "database is locked"])
def test_a_database_error_ends_a_sweep_but_for_a_deadlock(sweep, shop, dead_letter, monkeypatch, command, reason):
    """What meets a deadlock twice is left to the next run: exit code 0; any other error is raised for cron to show."""
    bulk(1)
    fail = Mock(side_effect=OperationalError(reason))
    monkeypatch.setattr(backfill, "_book", fail)
    monkeypatch.setattr(inbox, "replay_event", fail)
    if reason == "gone":
        with pytest.raises(OperationalError):
            sweep(command)
    else:
        code, printed = sweep(command)
        assert (code, "deferred: 1" in printed) == (0, True)


def test_a_sweep_sends_nothing_itself(sweep, shop, kaspi, configure):
    """Not even with the inline runner: a batch would take as long as Kaspi does, without a rate limit."""
    configure(RUNNER="inline")
    bulk(3)
    assert sweep("kaspi_enqueue") == (0, "seen: 3, booked: 3\n")
    assert kaspi.requests == []


def test_enqueue_twice_at_once_books_once(shop, at_once, kaspi, drain):
    """Two crons that overlap."""
    bulk(6)
    ended = at_once(*[lambda: [sum(c.values()) for c in backfill.enqueue(adapters.OrderAdapter(), batch=2)]] * 2)
    assert not any(isinstance(end, Exception) for end in ended)
    drain()
    assert (Delivery.objects.count(), len(kaspi.deliveries)) == (6, 6)


def test_an_interrupted_sweep_finishes_its_batch(sweep, shop, monkeypatch):
    """SIGTERM: exit code 130, what is done stays done, the next run does the rest."""
    bulk(4)
    enqueue = backfill.enqueue

    def interrupted(*arguments, **options):
        for counts in enqueue(*arguments, **options):
            signal.raise_signal(signal.SIGTERM)
            yield counts

    with monkeypatch.context() as patch:
        patch.setattr(backfill, "enqueue", interrupted)
        code, printed = sweep("kaspi_enqueue", "--batch", "2")
    assert (code, "interrupted" in printed, Delivery.objects.count()) == (130, True, 2)
    sweep("kaspi_enqueue")
    assert Delivery.objects.count() == 4


def test_a_terminal_shows_one_line_and_a_log_one_now_and_then(sweep, shop, monkeypatch):
    """The line is written over; a log gets none for each batch."""
    bulk(3)
    _code, printed = sweep("kaspi_enqueue", "--batch", "1", "--dry-run", out=Terminal())
    assert "\rseen: 2, booked: 2" in printed
    assert "\r" not in sweep("kaspi_enqueue", "--dry-run")[1]
    monkeypatch.setattr(batches, "REPORT_EVERY_S", 0)
    assert sweep("kaspi_enqueue", "--batch", "1")[1].splitlines()[0] == "seen: 1, booked: 1"


@pytest.mark.parametrize("option", ["batch", "events-days", "personal-days"])
@pytest.mark.parametrize("number", ["0", "-1", "many", "²", "99999999999999999999"])
def test_an_option_is_a_whole_number_that_a_database_can_count(sweep, option, number):
    """The message says so."""
    code, printed = sweep("kaspi_prune", f"--{option}={number}")
    assert (code, "must be a whole number from 1 to" in printed) == (1, True)


def test_replay_applies_failed_events(sweep, dead_letter):
    """And counts the states that the events are in then."""
    assert sweep("kaspi_replay", "--dry-run") == (0, "dry run: failed: 1\n")
    assert sweep("kaspi_replay") == (0, "applied: 1\n")
    assert Delivery.objects.get().status == "accepted"
    assert sweep("kaspi_replay") == (0, "nothing to do\n")


def test_replay_ends_with_1_when_an_event_fails_again(sweep, dead_letter):
    """Staff must look."""
    WebhookEvent.objects.update(body="{}")
    assert sweep("kaspi_replay", "--state", "failed") == (1, "failed: 1\n")
    assert WebhookEvent.objects.get().state == "failed"


def test_replay_leaves_out_events_that_are_not_failed(sweep, dead_letter):
    """Those that are parked or in conflict are applied again only on request."""
    WebhookEvent.objects.update(state="conflict")
    assert sweep("kaspi_replay") == (0, "nothing to do\n")
    assert "applied: 1" in sweep("kaspi_replay", "--state", "conflict")[1]


@pytest.fixture
def ended(booked, deliver_webhooks, kaspi, drain, fake_clock):
    """Return a delivery that ended today, with its events."""
    for status in ("accepted", "in_transit", "delivered"):
        fake_clock.advance(minutes=1)
        kaspi.move(booked.delivery_id, status, fake_clock.timestamp(), notes="door code 12")
    deliver_webhooks()
    drain()
    booked.refresh_from_db()
    assert booked.status == "delivered"
    return booked


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_keeps_events_for_ninety_days(sweep, ended, fake_clock):
    """The history stays when its event is deleted."""
    fake_clock.advance(days=89)
    sweep("kaspi_prune", "--personal-days", "900")
    assert WebhookEvent.objects.count() == 4
    fake_clock.advance(days=2)
    assert "events deleted: 4" in sweep("kaspi_prune", "--dry-run")[1]
    assert WebhookEvent.objects.count() == 4
    assert "events deleted: 4" in sweep("kaspi_prune", "--batch", "3")[1]
    assert not WebhookEvent.objects.exists()
    assert StatusChange.objects.count() == 4


@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_keeps_events_for_seven_days_at_least(sweep):
    """Kaspi repeats them for one."""
    code, printed = sweep("kaspi_prune", "--events-days", "6")
    assert (code, "at least 7" in printed) == (2, True)


@pytest.mark.parametrize(
    ("model", "columns", "kept"),
    [
        (WebhookEvent, {"state": "parked"}, (4, False)),
        (WebhookEvent, {"state": "failed"}, (4, False)),
        (WebhookEvent, {"state": "conflict"}, (4, False)),
        (StatusChange, {"notified_at": None}, (3, True)),  # the fourth only repeated what the booking had said
        (Delivery, {"attention": "second_parcel"}, (0, True)),
        (Delivery, {"status": "in_transit"}, (0, True)),
        (ApiCall, {"state": "stuck"}, (0, True)),
    ],
)
@pytest.mark.failure_mode("refresh: prune deletes too much")
def test_prune_never_deletes_what_is_still_needed(sweep, ended, fake_clock, model, columns, kept):
    """However old: unresolved events, what a receiver has not got, and data that staff, a courier or a call needs."""
    model.objects.update(**columns)
    fake_clock.advance(days=400)
    sweep("kaspi_prune")
    assert (WebhookEvent.objects.count(), bool(Delivery.objects.get().dropoff_phone)) == kept


@pytest.mark.failure_mode("refresh: prune keeps personal data")
def test_prune_anonymizes_after_thirty_days(sweep, ended, fake_clock, drain):
    """Phones, names, addresses, and whatever repeats them; ids, times and figures stay, and a refresh adds nothing."""
    fake_clock.advance(days=29)
    sweep("kaspi_prune")
    assert Delivery.objects.get().dropoff_phone
    fake_clock.advance(days=2)
    assert "deliveries anonymized: 1" in sweep("kaspi_prune")[1]
    row = Delivery.objects.get()
    assert {row.dropoff_phone, row.dropoff_name, row.dropoff_address, row.pickup_phone, row.raw} == {""}
    assert (row.delivery_id, row.status, row.parcel_weight_grams) == (ended.delivery_id, "delivered", 500)
    assert set(ApiCall.objects.values_list("payload", flat=True)) == {""}
    assert ApiCall.objects.get(kind="create").payload_sha256
    assert set(StatusChange.objects.values_list("note", flat=True)) == {""}
    assert sweep("kaspi_prune") == (0, "nothing to do\n")
    refresh_delivery(ended)
    drain()
    assert Delivery.objects.get().raw == ""
    assert ApiCall.objects.get(kind="refresh").state == "done"


@pytest.mark.failure_mode("refresh: prune keeps personal data")
def test_prune_anonymizes_deliveries_that_were_never_booked(sweep, refused, fake_clock):
    """A booking that Kaspi refused, and that staff gave up, has an end too."""
    acknowledge_delivery(refused)
    Delivery.objects.update(dropoff_phone="+7 727 111 0000", updated_at=fake_clock.now)
    fake_clock.advance(days=31)
    assert "deliveries anonymized: 1" in sweep("kaspi_prune")[1]
    assert (Delivery.objects.get().status, Delivery.objects.get().dropoff_phone) == ("", "")


def test_a_sweep_reads_no_more_than_a_batch(sweep, ended, fake_clock, monkeypatch):
    """A million rows need no more memory than a thousand: every list of rows has its limit."""
    fake_clock.advance(days=400)
    sizes = []
    fetch = QuerySet._fetch_all

    def watch(rows):
        fetch(rows)
        sizes.append(len(rows._result_cache))

    values = {"type": "delivery.created", "state": "noted", "received_at": clock.now() - timedelta(days=300)}
    WebhookEvent.objects.bulk_create(WebhookEvent(event_id=f"old_{number}", **values) for number in range(40))
    monkeypatch.setattr(QuerySet, "_fetch_all", watch)
    sweep("kaspi_prune", "--batch", "5")
    assert not WebhookEvent.objects.exists()
    assert max(sizes) <= 5
