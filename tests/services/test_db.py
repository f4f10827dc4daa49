"""The meaning of a database error: a retry, a row's own values, or an unavailable database."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)

from kaspi_delivery_django.checks.databases import check_character_set
from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import cancel_delivery, locks, request_delivery
from kaspi_delivery_django.services.db import is_data_error, is_transient
from kaspi_delivery_django.services.locks import lock_current
from tests.conftest import NOON
from tests.services.conftest import caused
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

ROW = {"account": "default", "environment": "sandbox", "type": "delivery.accepted", "body": "{}", "received_at": NOON}


mysql_only = pytest.mark.skipif(connection.vendor != "mysql", reason="others have one character set for a database")

REFUSED = [
    DataError("whatever the number"),
    DataError(1406, "Data too long for column"),
    OperationalError(1366, "Incorrect string value"),  # mysqlclient
    InternalError(1366, "Incorrect string value"),  # PyMySQL, old
    DataError(1366, "Incorrect string value"),  # PyMySQL
    OperationalError(1267, "Illegal mix of collations"),
    OperationalError(1300, "Invalid utf8mb3 character string"),
    OperationalError(3988, "Conversion from collation impossible"),
    OperationalError(1264, "Out of range value"),
    OperationalError(1644, "the shop's trigger refuses it"),
    caused(OperationalError, sqlstate="54000"),  # an index row larger than a page holds
    caused(DatabaseError, sqlstate="22P05"),
    caused(DatabaseError, pgcode="22021"),
]
OTHERS = [
    OperationalError(2006, "Server has gone away"),
    OperationalError(2013, "Lost connection"),
    OperationalError(1040, "Too many connections"),
    OperationalError(1205, "Lock wait timeout exceeded"),
    OperationalError(1213, "Deadlock found"),
    OperationalError("database is locked"),
    OperationalError(),
    InterfaceError(0, ""),
    InternalError("current transaction is aborted"),
    IntegrityError(1062, "Duplicate entry"),
    caused(OperationalError, sqlstate="57P01"),
    caused(OperationalError, sqlstate=None),
    ValueError("not of a database"),
]


@pytest.mark.parametrize("err", REFUSED, ids=repr)
def test_refused_values_are_the_rows_own_error(err):
    """Whatever class the driver raises: the row is flagged, and the others are sent."""
    assert (is_data_error(err), is_transient(err)) == (True, False)


@pytest.mark.parametrize("err", OTHERS, ids=repr)
def test_all_else_is_not_the_rows_own_error(err):
    """An unavailable database, or one that asks for a retry, flags no row."""
    assert not is_data_error(err)


def refused_values():
    """Return values that this engine's driver refuses: SQLite accepts nearly all."""
    if connection.vendor == "postgresql":
        return [{"event_id": "x" * 200}, {"error": "\0"}, {"attempt": 2**40}]
    if connection.vendor == "mysql":
        return [{"event_id": "x" * 200}, {"attempt": 2**40}]
    return []


@pytest.mark.django_db(transaction=True)
def test_the_engines_own_refusals_are_recognised():
    """By the driver that is installed."""
    for values in refused_values():
        with pytest.raises(DatabaseError) as caught:
            WebhookEvent.objects.create(**{**ROW, "event_id": "wh_1", **values})
        assert is_data_error(caught.value), values.keys()


@mysql_only
@pytest.mark.django_db(transaction=True)
def test_a_letter_that_the_column_cannot_hold_is_recognised():
    """An old database has three bytes for a character, and an emoji needs four."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE narrow (text varchar(9) CHARACTER SET utf8mb3)")
        with pytest.raises(DatabaseError) as caught:
            cursor.execute("INSERT INTO narrow VALUES (%s)", ["\N{DELIVERY TRUCK}"])
        cursor.execute("DROP TEMPORARY TABLE narrow")
    assert is_data_error(caught.value)


class MySQL:
    """A connection of MySQL that records its statements. Its own cursor still works after an error."""

    vendor = "mysql"
    Database = SimpleNamespace(Error=RuntimeError)

    def __init__(self):
        self.executed, self.connection = [], self

    @contextmanager
    def cursor(self):
        yield SimpleNamespace(execute=self.executed.append)


def test_the_limit_of_waits_ends_on_mysql_too(monkeypatch):
    """There it is the session's, not the transaction's; it is restored after an error as well."""
    mysql = MySQL()
    monkeypatch.setattr(locks, "db_connection", lambda: mysql)
    with pytest.raises(ZeroDivisionError), locks.limited_waits(seconds=1):
        raise ZeroDivisionError
    limit, restored = mysql.executed
    assert limit.endswith("innodb_lock_wait_timeout = 1")
    assert restored == "SET innodb_lock_wait_timeout = @kaspi_waited"


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_cannot_skip_what_is_locked_gets_one_row(booked, monkeypatch):
    """Who holds one and waits for another would meet a shop that waits the other way round."""
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite has one writer, and no row locks")
    for _ in range(2):
        Order.objects.create()
    for skips, count in ((True, 3), (False, 1)):
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", skips)
        with transaction.atomic():
            assert len(locks.lock_unlocked(Delivery.objects.all())) == count


@pytest.mark.django_db(transaction=True)
def test_only_an_existing_row_in_a_transaction_is_locked(booked):
    """Without one the lock would end at once."""
    with pytest.raises(transaction.TransactionManagementError):
        lock_current(booked)
    Delivery.objects.all().delete()
    with transaction.atomic(), pytest.raises(Delivery.DoesNotExist):
        lock_current(booked)


@pytest.mark.django_db(transaction=True)
def test_an_emoji_in_a_reason_keeps_no_order_from_being_cancelled(kaspi, monkeypatch):
    """A table of utf8mb3 cannot hold it: the cancel goes with a reason that any table holds."""
    monkeypatch.setattr(OrderAdapter, "cancel_reason", lambda _self, _order: "late \N{DELIVERY TRUCK}")
    with narrowed((Delivery, "cancel_reason"), (StatusChange, "note")):
        order = Order.objects.create()
        order.cancelled = True
        order.save()
        assert Delivery.objects.get().status == "cancelled"
        other = cancel_delivery(request_delivery(Order.objects.create()), reason="\N{DELIVERY TRUCK}")
        assert other.status == "cancelled"


@contextmanager
def narrowed(*columns):
    """Give columns of MySQL's the old character set; other engines have one for the whole database."""

    def change(charset):
        for model, column in columns if connection.vendor == "mysql" else ():
            with connection.cursor() as cursor:
                table = model._meta.db_table
                cursor.execute(f"ALTER TABLE {table} MODIFY {column} longtext CHARACTER SET {charset} NOT NULL")

    change("utf8mb3")
    try:
        yield
    finally:
        change("utf8mb4")


@mysql_only
@pytest.mark.django_db(transaction=True)
def test_a_table_of_utf8mb3_is_named():
    """Its long texts cannot hold an emoji."""
    assert check_character_set(databases=["default"]) == []
    with narrowed((StatusChange, "note")):
        [message] = check_character_set(databases=["default"])
    assert f"utf8mb4 for: {StatusChange._meta.db_table}." in message.hint


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), [("order-a", "ORDER-A"), ("order-e", "order-é")])
@pytest.mark.failure_mode("database: names that differ in case")
def test_uniqueness_is_letter_by_letter(first, second):
    """Case and accents count, on MariaDB too."""
    order_type = ContentType.objects.get_for_model(Order)
    for number, name in enumerate((first, second)):
        Delivery.objects.create(
            account="default", environment="sandbox", content_type=order_type, object_id=number, external_order_id=name
        )
    assert Delivery.objects.get(external_order_id=first).object_id == "0"
