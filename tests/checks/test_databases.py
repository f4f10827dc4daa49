"""Checks of the databases."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from django.db import connections

from kaspi_delivery_django.checks import databases
from kaspi_delivery_django.models import ApiCall, Delivery
from tests.checks.samples import GOOD, LIVE
from tests.replicas.routers import ROUTERS
from tests.shop.models import Order


def router(**answers):
    """Return a router with these answers; the others are left to Django."""
    names = ("db_for_write", "allow_relation", "allow_migrate")
    return SimpleNamespace(**{name: answers.get(name, lambda *_args, **_hints: None) for name in names})


def writes(*labels):
    """Return a router that writes the models of these apps elsewhere."""
    return router(db_for_write=lambda model, **_hints: "elsewhere" if model._meta.app_label in labels else None)


def test_e004_orders_on_another_database(found, settings):
    """One commit cannot hold an order and its delivery when they live apart; any database will do for both."""
    settings.DATABASE_ROUTERS = [writes("shop")]
    messages = found(**GOOD)
    assert (list(messages), messages["E004"].obj) == (["E004"], Order)
    assert messages["E004"].msg == "The orders and kaspi_delivery are on different databases."
    assert "DATABASE_ROUTERS" in messages["E004"].hint
    assert list(found(**GOOD, ORDER_ADAPTERS=[])) == ["W013"]
    settings.DATABASE_ROUTERS = [writes("shop", "kaspi_delivery")]
    assert found(**GOOD) == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"db_for_write": lambda model, **_: "replica" if model is ApiCall else None}, "write it to 'replica'"),
        ({"db_for_write": lambda model, **_: "own" if model is Delivery else None}, "and Delivery to 'own'"),
        ({"allow_migrate": lambda _db, label, **_: label != "contenttypes"}, "do not let it be migrated on 'default'"),
        ({"allow_migrate": lambda _db, label, **_: label != "kaspi_delivery"}, "do not let it be migrated"),
        ({"allow_relation": lambda one, _other, **_: not isinstance(one, ApiCall)}, "do not let it be related"),
    ],
)
def test_e014_routers_split_our_tables(found, settings, answer, says):
    """One transaction writes all of them."""
    settings.DATABASE_ROUTERS = [router(**answer)]
    message = found(**GOOD, ORDER_ADAPTERS=[])["E014"]
    assert (says in message.msg, "allow_relation" in message.hint) == (True, True)


@pytest.mark.parametrize("replicas", ROUTERS, ids=lambda replicas: replicas.__name__)
def test_e014_is_silent_for_replicas(found, settings, replicas):
    """Wherever reads go."""
    settings.DATABASE_ROUTERS = [replicas()]
    assert found(**GOOD) == {}


@pytest.fixture
def database(monkeypatch):
    """Let our rows be on a database with these settings; none of the checks connects to it."""

    def use(**database):
        monkeypatch.setitem(connections.settings, "default", {"OPTIONS": {}, "CONN_MAX_AGE": 0, **database})

    return use


SQLITE = {"ENGINE": "django.db.backends.sqlite3"}
IMMEDIATE = {**SQLITE, "OPTIONS": {"transaction_mode": "IMMEDIATE"}}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql"}
MARIADB = {"ENGINE": "django.db.backends.mysql"}


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (SQLITE, ["W005"]),
        ({**SQLITE, "OPTIONS": {"transaction_mode": "DEFERRED"}}, ["W005"]),
        ({**SQLITE, "OPTIONS": {"transaction_mode": "immediate"}}, []),
        (POSTGRESQL, []),
    ],
)
@pytest.mark.failure_mode("database: SQLite begins as a reader")
def test_w005_transactions_that_begin_as_readers(found, database, values, ids):
    """They meet "database is locked"; another engine has no such mode."""
    database(**values)
    messages = found(**GOOD)
    assert list(messages) == ids
    assert all('"transaction_mode": "IMMEDIATE"' in message.hint for message in messages.values())


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (POSTGRESQL, ["W015"]),
        (MARIADB, ["W015"]),
        ({**POSTGRESQL, "CONN_MAX_AGE": 60, "ATOMIC_REQUESTS": True}, []),
        ({**POSTGRESQL, "CONN_MAX_AGE": None}, []),
        ({**POSTGRESQL, "OPTIONS": {"pool": True}}, []),
        (IMMEDIATE, []),
    ],
)
def test_w015_a_connection_for_every_webhook(found, database, values, ids):
    """Django's default closes it after each request; kept, in a pool, or without a server, all is well."""
    database(**values)
    messages = found(deploy=True, **LIVE)
    assert list(messages) == ids
    assert all('"CONN_MAX_AGE": 60' in message.hint for message in messages.values())


@pytest.mark.parametrize(
    ("asked", "tables", "ids"),
    [
        (["default"], ["kaspi_delivery_delivery"], ["kaspi_delivery.W025"]),
        (["default"], [], []),
        *((asked, ["kaspi_delivery_delivery"], []) for asked in (None, [], ["other"])),
    ],
)
def test_w025_tables_that_cannot_hold_every_letter(monkeypatch, asked, tables, ids):
    """Of MySQL with the character set of old, named in the hint; `check` and `runserver` ask no database."""
    cursor = SimpleNamespace(execute=lambda *_args: None, fetchall=lambda: [(table,) for table in tables])
    connection = SimpleNamespace(vendor="mysql", cursor=lambda: nullcontext(cursor))
    monkeypatch.setattr(databases, "connections", {"default": connection})
    messages = databases.check_character_set(databases=asked)
    assert [message.id for message in messages] == ids
    assert all("utf8mb4 for: kaspi_delivery_delivery." in message.hint for message in messages)
