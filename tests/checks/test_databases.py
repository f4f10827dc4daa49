"""Checks of the databases: each red and green."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from django.db import connections

from kaspi_delivery_django.checks import databases
from kaspi_delivery_django.models import ApiCall, Delivery
from tests.checks.samples import GOOD, LIVE
from tests.replicas.routers import ROUTERS
from tests.shop.models import Order


class OrdersElsewhere:
    """A router that keeps the shop's rows on a database of their own."""

    def db_for_write(self, model, **hints):
        """Send the shop's models away."""
        return "elsewhere" if model._meta.app_label == "shop" else None


def test_e004_orders_on_another_database(found, settings):
    """One commit cannot hold an order and its delivery when they live apart."""
    settings.DATABASE_ROUTERS = [OrdersElsewhere()]
    messages = found(**GOOD)
    assert list(messages) == ["E004"]
    assert messages["E004"].msg == "The orders and kaspi_delivery are on different databases."
    assert messages["E004"].obj is Order
    assert "DATABASE_ROUTERS" in messages["E004"].hint


def test_e004_is_silent_without_adapters(found, settings):
    """Without orders nothing is apart."""
    settings.DATABASE_ROUTERS = [OrdersElsewhere()]
    assert list(found(**GOOD, ORDER_ADAPTERS=[])) == ["W013"]


def test_e004_is_silent_when_both_moved(found, settings):
    """Any database will do, as long as it is the same one."""
    router = OrdersElsewhere()
    moved = {"shop", "kaspi_delivery"}
    router.db_for_write = lambda model, **_hints: "elsewhere" if model._meta.app_label in moved else None
    settings.DATABASE_ROUTERS = [router]
    assert found(**GOOD) == {}


class Splitting:
    """A router that the tests below change one answer of."""

    def db_for_write(self, model, **hints):
        """Leave it to Django."""

    def allow_relation(self, one, other, **hints):
        """Leave it to Django."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        """Leave it to Django."""


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
    router = Splitting()
    for name, function in answer.items():
        setattr(router, name, function)
    settings.DATABASE_ROUTERS = [router]
    messages = found(**GOOD, ORDER_ADAPTERS=[])
    assert says in messages["E014"].msg
    assert "allow_relation" in messages["E014"].hint


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: router.__name__)
def test_e014_is_silent_for_replicas(found, settings, router):
    """Wherever reads go."""
    settings.DATABASE_ROUTERS = [router()]
    assert found(**GOOD) == {}


@pytest.fixture
def database(monkeypatch):
    """Let our rows be on a database with these settings; none of the checks connects to it."""

    def use(**database):
        monkeypatch.setitem(connections.settings, "default", {"OPTIONS": {}, "CONN_MAX_AGE": 0, **database})

    return use


SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"
MARIADB = "django.db.backends.mysql"


@pytest.mark.parametrize("options", [{}, {"transaction_mode": "DEFERRED"}])
@pytest.mark.failure_mode("database: SQLite begins as a reader")
def test_w005_transactions_that_begin_as_readers(found, database, options):
    """They meet "database is locked"."""
    database(ENGINE=SQLITE, OPTIONS=options)
    messages = found(**GOOD)
    assert list(messages) == ["W005"]
    assert '"transaction_mode": "IMMEDIATE"' in messages["W005"].hint


@pytest.mark.parametrize(
    "settings_of", [{"ENGINE": SQLITE, "OPTIONS": {"transaction_mode": "immediate"}}, {"ENGINE": POSTGRESQL}]
)
def test_w005_is_silent_elsewhere(found, database, settings_of):
    """In small letters too; and another engine has no such mode."""
    database(**settings_of)
    assert found(**GOOD) == {}


@pytest.mark.parametrize("engine", [POSTGRESQL, MARIADB])
def test_w015_a_connection_for_every_webhook(found, database, engine):
    """Django's default closes it after each request."""
    database(ENGINE=engine)
    messages = found(deploy=True, **LIVE)
    assert list(messages) == ["W015"]
    assert '"CONN_MAX_AGE": 60' in messages["W015"].hint


@pytest.mark.parametrize(
    "settings_of",
    [
        {"ENGINE": POSTGRESQL, "CONN_MAX_AGE": 60},
        {"ENGINE": POSTGRESQL, "CONN_MAX_AGE": None},
        {"ENGINE": POSTGRESQL, "OPTIONS": {"pool": True}},
        {"ENGINE": SQLITE, "OPTIONS": {"transaction_mode": "IMMEDIATE"}},
    ],
)
def test_w015_is_silent_when_it_is_kept(found, database, settings_of):
    """For a while, for good, or in a pool; and SQLite has no server."""
    database(**settings_of)
    assert found(deploy=True, **LIVE) == {}


def test_a_shop_in_production_is_left_in_peace(found, database):
    """`check --deploy` says nothing of ours, and nothing of ATOMIC_REQUESTS, which undo no stored event."""
    database(ENGINE=POSTGRESQL, CONN_MAX_AGE=60, ATOMIC_REQUESTS=True)
    assert found(deploy=True, **LIVE) == {}


class NarrowTables:
    """A connection to MySQL whose tables have the character set of old."""

    vendor = "mysql"

    def __init__(self, *tables):
        self._found = [(table,) for table in tables]

    def cursor(self):
        """Answer every question with the tables."""
        return nullcontext(SimpleNamespace(execute=lambda *_args: None, fetchall=lambda: self._found))


def test_w025_tables_that_cannot_hold_every_letter(monkeypatch):
    """As `migrate` asks for it; the hint names them."""
    monkeypatch.setattr(databases, "connections", {"default": NarrowTables("kaspi_delivery_delivery")})
    [message] = databases.check_character_set(databases=["default"])
    assert message.id == "kaspi_delivery.W025"
    assert "utf8mb4 for: kaspi_delivery_delivery." in message.hint


@pytest.mark.parametrize("asked", [None, [], ["other"]])
def test_w025_asks_no_database_that_it_may_not(monkeypatch, asked):
    """`check` and `runserver` ask none."""
    monkeypatch.setattr(databases, "connections", {"default": NarrowTables("kaspi_delivery_delivery")})
    assert databases.check_character_set(databases=asked) == []


def test_w025_is_silent_for_tables_of_utf8mb4(monkeypatch):
    """They hold every letter."""
    monkeypatch.setattr(databases, "connections", {"default": NarrowTables()})
    assert databases.check_character_set(databases=["default"]) == []
