"""What keeps an event's row from being stored is answered 503, and a lock that is held too long is not waited for."""

import threading
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import inbox, locks, replay_event
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.services.outbox import sender
from tests.conftest import PATIENCE_S, event
from tests.services.conftest import FailingStatements, fresh
from tests.shop.models import Order

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_clock")]

with_row_locks = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all")

EVENTS, CHANGES = (f'INSERT INTO "{model._meta.db_table}"' for model in (WebhookEvent, StatusChange))
UNSTORABLE = OperationalError(1366, "Incorrect string value")


@pytest.mark.parametrize("parks", [False, True])
def test_a_row_that_a_constraint_refuses_is_503_and_stored_once_later(delivery, post_webhook, parks):
    """A trigger, a sequence that a restore left behind: no 2xx without a row."""
    if parks:
        delivery.external_order_id, delivery.delivery_id = "order-elsewhere", "dlv_elsewhere"
    document = event(delivery, "accepted")
    with connection.execute_wrapper(FailingStatements(EVENTS, IntegrityError("whatever the constraint"))):
        answer = post_webhook(document)
    assert (answer.status_code, answer.json(), WebhookEvent.objects.count()) == (503, {"status": "try again"}, 0)
    assert fresh(Delivery.objects.get()).status == "created"
    assert post_webhook(document).status_code == 200
    assert WebhookEvent.objects.get().received_count == 1


def test_a_row_that_is_refused_when_it_is_stored_alone_is_503(delivery, post_webhook, monkeypatch):
    """The dead letter is a row as well."""
    monkeypatch.setattr(inbox.events, "store", Mock(side_effect=inbox.EventNotStored))
    with connection.execute_wrapper(FailingStatements(CHANGES, IntegrityError())):
        assert post_webhook(event(delivery, "accepted")).status_code == 503
    assert WebhookEvent.objects.count() == 0


@pytest.mark.parametrize("error", [IntegrityError(), UNSTORABLE, DataError(1406, "too long")])
def test_a_step_that_is_refused_leaves_a_dead_letter(delivery, post_webhook, error):
    """The event itself is stored: it is not taken for an unavailable database, and can be replayed."""
    with connection.execute_wrapper(FailingStatements(CHANGES, error)):
        assert post_webhook(event(delivery, "accepted")).json() == {"status": "failed"}
        assert replay_event(WebhookEvent.objects.get()) == "failed"
    assert replay_event(WebhookEvent.objects.get()) == "applied"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="sequences are PostgreSQL's")
def test_a_sequence_behind_its_table_loses_nothing(delivery, post_webhook):
    """A backup was restored without it."""
    first = post_webhook(event(delivery, "accepted"))
    with connection.cursor() as cursor:
        sequence = f"pg_get_serial_sequence('{WebhookEvent._meta.db_table}', 'id')"
        cursor.execute(f"SELECT setval({sequence}, %s, false)", [WebhookEvent.objects.get().pk])
    answers = [post_webhook(event(delivery, "in_transit", event_id="wh_2")).status_code for _ in range(2)]
    assert (first.status_code, answers) == (200, [503, 200])
    assert fresh(delivery).status == "in_transit"
    assert WebhookEvent.objects.get(event_id="wh_2").received_count == 1


@contextmanager
def held_lock(delivery, statement=""):
    """Lock the row of the delivery, or what the statement locks, in another connection, as the shop may."""
    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            if statement:
                connection.cursor().execute(statement)
            else:
                Delivery.objects.select_for_update().get(pk=delivery.pk)
            if connection.vendor == "sqlite":
                Order.objects.create()
            is_held.set()
            is_over.wait(PATIENCE_S)
            transaction.set_rollback(True)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(PATIENCE_S)
    try:
        yield thread
    finally:
        is_over.set()
        thread.join(PATIENCE_S)


@pytest.fixture
def short(monkeypatch):
    """Wait for a lock no longer than must be."""
    for name in ("LOCK_WAIT_S", "LAST_WAIT_S"):
        monkeypatch.setattr(inbox, name, 0.1 if connection.vendor == "postgresql" else 1)


@with_row_locks
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("known", "ended"),
    [
        ({}, ("accepted", "", "applied")),
        ({"delivery_id": None, "status": ""}, ("accepted", "", "applied")),
        ({"delivery_id": "dlv_other"}, ("created", "second_parcel", "conflict")),
    ],
    ids=["by Kaspi's id", "by the order's", "a second parcel"],
)
def test_a_lock_that_is_held_leaves_the_event_to_the_worker(delivery, post_webhook, drain, known, ended):
    """Kaspi has its answer in time, nothing is lost, and no replay is needed. The worker goes past the lock."""
    Delivery.objects.update(**known)
    with held_lock(delivery):
        assert post_webhook(event(delivery, "accepted")).json() == {"status": "parked"}
        assert WebhookEvent.objects.get().error == WebhookEvent.Reason.LOCKED
        if connection.features.has_select_for_update_skip_locked:
            assert inbox.apply_parked(limit=10) == 0
    drain()
    found = fresh(delivery)
    assert (found.status, found.attention, WebhookEvent.objects.get().state) == ended


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the lock of a whole table, as a migration takes it")
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("model", "is_known"), [(WebhookEvent, True), (WebhookEvent, False), (StatusChange, True)])
def test_a_table_that_is_locked_holds_no_answer_up(delivery, post_webhook, model, is_known):
    """Whatever is locked: the event is stored within Kaspi's patience, or answered 503 and comes again."""
    if not is_known:  # the limit comes with a delivery's row
        Delivery.objects.all().delete()
    with held_lock(delivery, statement=f"LOCK TABLE {model._meta.db_table} IN EXCLUSIVE MODE") as holder:
        assert post_webhook(event(delivery, "accepted")).status_code in {200, 503}
        assert holder.is_alive()
    assert post_webhook(event(delivery, "accepted")).status_code == 200
    assert WebhookEvent.objects.count() == 1


@with_row_locks
@pytest.mark.usefixtures("short")
def test_the_limit_of_a_wait_ends_with_the_transaction():
    """The connection is the host's: its own limit is there again."""
    name = "lock_timeout" if connection.vendor == "postgresql" else "@@innodb_lock_wait_timeout"
    read = f"SHOW {name}" if connection.vendor == "postgresql" else f"SELECT {name}"
    found = []
    with connection.cursor() as cursor:
        for wait in (nullcontext(), locks.limited_waits(seconds=2), nullcontext()):
            with transaction.atomic(), wait:
                cursor.execute(read)
                found.append(cursor.fetchone())
    assert found[0] == found[2] != found[1]


@with_row_locks
@pytest.mark.usefixtures("short")
def test_an_unreadable_event_is_stored_without_the_lock(delivery, post_webhook):
    """There is nothing to apply later, and nothing is written that would wait for the lock."""
    document = event(delivery, "accepted")
    del document["data"]["status"]
    with held_lock(delivery) as holder:
        assert post_webhook(document).json() == {"status": "failed"}
        assert holder.is_alive()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others have row locks")
@pytest.mark.usefixtures("short")
def test_sqlites_one_lock_is_answered_503(delivery, post_webhook):
    """Nothing can be stored while it is held: Kaspi comes again. The host's own timeout is as it was."""
    before, limits = busy_timeout(), set()

    def note_limit(execute, *statement):
        limits.add(busy_timeout())
        return execute(*statement)

    with held_lock(delivery), connection.execute_wrapper(note_limit):
        assert post_webhook(event(delivery, "accepted")).status_code == 503
    assert WebhookEvent.objects.count() == 0
    assert (limits, busy_timeout()) == ({1000}, before)


def busy_timeout():
    """Return how many milliseconds a statement waits for SQLite's lock now."""
    connection.ensure_connection()
    return connection.connection.execute("PRAGMA busy_timeout").fetchone()[0]


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        ({"vendor": "postgresql"}, "AND set_config('lock_timeout', '3s', true) IS NOT NULL FOR UPDATE"),
        ({"vendor": "mysql", "mysql_is_mariadb": True}, "FOR UPDATE WAIT 3"),
        ({"vendor": "mysql", "mysql_is_mariadb": False}, "FOR UPDATE NOWAIT"),
    ],
)
def test_each_engine_has_its_own_words_for_the_limit(facts, ending):
    """MySQL has none for one lock, so that it is not waited for."""
    ops = SimpleNamespace(for_update_sql=lambda **_options: "FOR UPDATE")
    engine = SimpleNamespace(**facts, ops=ops)
    assert locks._for_update(engine, wait=True, within_s=3) == ending


def test_a_connection_that_was_replaced_gets_no_old_limit():
    """It has the host's own from the start."""
    with locks.limited_sqlite_waits(seconds=1):
        connection.close()
    assert Delivery.objects.count() == 0


def test_a_transaction_around_the_view_is_503_and_named(delivery, post_webhook, caplog):
    """A middleware of the host's that wraps views could undo what was answered 2xx."""
    with transaction.atomic():
        assert post_webhook(event(delivery, "accepted")).status_code == 503
    assert "a transaction is open around the view" in caplog.text
    assert WebhookEvent.objects.count() == 0


@pytest.fixture
def parked(booked, post_webhook):
    """Return an event of a delivery that we do not know yet."""
    Delivery.objects.update(account="elsewhere")
    post_webhook(event(booked, "accepted"))
    Delivery.objects.update(account="default")
    return WebhookEvent.objects.get(state="parked")


@pytest.mark.parametrize("apply", [replay_event, lambda _event: inbox.apply_parked(limit=10)])
def test_an_unavailable_database_leaves_events_parked(parked, monkeypatch, apply):
    """Whoever asked for the replay is notified; the next round applies them."""
    monkeypatch.setattr(events, "apply", Mock(side_effect=OperationalError("gone")))
    with pytest.raises(OperationalError):
        apply(parked)
    assert fresh(parked).state == "parked"


def test_a_delivery_that_got_another_id_meanwhile_is_flagged_once(parked, booked, monkeypatch):
    """The event is a conflict then, and no round looks at it again; it stays parked if the delivery was deleted."""
    changed = fresh(booked)
    changed.delivery_id = "dlv_other"
    monkeypatch.setattr(inbox.events, "lock_delivery", lambda *_args, **_waiting: None)
    assert inbox.apply_parked(limit=10) == 0
    assert fresh(parked).state == "parked"
    monkeypatch.setattr(inbox.events, "lock_delivery", lambda *_args, **_waiting: changed)
    assert inbox.apply_parked(limit=10) == 0
    assert (fresh(parked).state, fresh(booked).attention) == ("conflict", "second_parcel")


def test_an_event_of_two_contents_is_not_decided_by_a_replay(booked, post_webhook):
    """It is unknown which is true: it stays a dead letter."""
    for status in ("accepted", "in_transit"):
        post_webhook(event(booked, status))
    assert replay_event(WebhookEvent.objects.get()) == "conflict"
    assert WebhookEvent.objects.get().error == WebhookEvent.Reason.OTHER_DATA


def test_an_event_that_is_stored_unreadably_is_answered_200_again(booked, post_webhook):
    """It was committed, by a version that read more: what comes again differs from it."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(body="{}")
    assert post_webhook(event(booked, "accepted")).json() == {"status": "conflict"}


@with_row_locks
def test_a_delivery_that_the_shop_has_locked_is_sent_later(kaspi, due):
    """The shop's long transaction holds it: the sender skips it and comes back."""
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("the engine waits for the lock")
    with held_lock(due.delivery):
        assert not sender.send(due.pk)
    assert sender.send(due.pk)


def test_a_parked_event_whose_values_are_refused_delays_no_other(parked):
    """It becomes a dead letter; the next parked event is applied."""
    with connection.execute_wrapper(FailingStatements(CHANGES, UNSTORABLE, times=1)):
        inbox.apply_parked(limit=10)
    assert fresh(parked).state == "failed"
