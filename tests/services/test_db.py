"""The meaning of a database error: a retry, a row's own values, or an unavailable database."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
)

from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import db
from kaspi_delivery_django.services.db import is_data_error, is_transient
from tests.conftest import NOON

ROW = {"account": "default", "environment": "sandbox", "type": "delivery.accepted", "body": "{}", "received_at": NOON}


class Cause(Exception):
    """A driver's own error, with the attributes of PostgreSQL's drivers."""

    def __init__(self, **facts):
        super().__init__()
        self.__dict__.update(facts)


def caused(kind, **facts):
    """Return Django's error with the driver's behind it."""
    err = kind("the text of the driver")
    err.__cause__ = Cause(**facts)
    return err


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


@pytest.mark.skipif(connection.vendor != "mysql", reason="others have one character set for a database")
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
    monkeypatch.setattr(db, "connections", {"default": mysql})
    with pytest.raises(ZeroDivisionError), db.limited_waits("default", seconds=1):
        raise ZeroDivisionError
    limit, restored = mysql.executed
    assert limit.endswith("innodb_lock_wait_timeout = 1")
    assert restored == "SET innodb_lock_wait_timeout = @kaspi_waited"
