"""Where the rows are, and how they are reached."""

from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.db import connections, router
from django.db.models import Model

from kaspi_delivery_django.checks.settings import usable_adapters
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.db import db_alias

_NARROW_SQL = """
SELECT DISTINCT table_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name LIKE %s
AND data_type = 'longtext' AND character_set_name <> 'utf8mb4' ORDER BY table_name
"""


def check_databases(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E004: orders and our tables are on different databases, so one commit cannot hold both."""
    hint = "Route the kaspi_delivery app to the database of the orders in DATABASE_ROUTERS."
    text = "The orders and kaspi_delivery are on different databases."
    for model in usable_adapters():
        if router.db_for_write(model) != db_alias():
            yield Error(text, hint=hint, obj=model, id="kaspi_delivery.E004")


def check_routers(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E014: DATABASE_ROUTERS split our tables: one transaction must write all of them, and join the order's type."""
    hint = (
        "In DATABASE_ROUTERS answer alike for every model of kaspi_delivery, also in allow_migrate, and let"
        " allow_relation allow what is on one database. Reads need no route: they go where the app writes."
    )
    yield from (Error(text, hint=hint, obj=model, id="kaspi_delivery.E014") for model, text in _split())


def _split() -> Iterator[tuple[type[Model], str]]:
    home = db_alias()
    ours: list[type[Model]] = list(apps.get_app_config(Delivery._meta.app_label).get_models())
    for model in ours:
        alias = router.db_for_write(model)
        if alias != home:
            yield model, f"DATABASE_ROUTERS write it to {alias!r}, and Delivery to {home!r}."
    joined: list[type[Model]] = [*ours, ContentType]
    for model in joined:
        if not router.allow_migrate_model(home, model):
            yield model, f"DATABASE_ROUTERS do not let it be migrated on {home!r}, where kaspi_delivery is written."
        elif not router.allow_relation(_row(model, home), _row(Delivery, home)):
            yield model, "DATABASE_ROUTERS do not let it be related to a Delivery on the same database."


def _row(model: type[Model], alias: str) -> Model:
    row = model()
    row._state.db = alias
    return row


def check_sqlite(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W005: SQLite's transactions begin as readers, and meet "database is locked" when they want to write."""
    database = _ours()
    if _is_sqlite(database) and str(database["OPTIONS"].get("transaction_mode", "")).upper() != "IMMEDIATE":
        hint = 'Write "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20} in DATABASES.'
        yield Caution("SQLite's transactions are not IMMEDIATE.", hint=hint, id="kaspi_delivery.W005")


def check_connections(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W015: a webhook, which Kaspi waits for, opens a connection to the database server first."""
    database = _ours()
    is_kept = database.get("CONN_MAX_AGE") != 0 or database.get("OPTIONS", {}).get("pool")
    if database.get("ENGINE") and not _is_sqlite(database) and not is_kept:
        hint = 'Write "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True in DATABASES; under ASGI a pool instead.'
        text = "CONN_MAX_AGE is 0: every webhook opens a connection to the database first."
        yield Caution(text, hint=hint, id="kaspi_delivery.W015")


def check_character_set(*, databases: Collection[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """W025: tables of MySQL or MariaDB that cannot hold every letter; asked of the database by `migrate` alone."""
    alias = db_alias()
    if not databases or alias not in databases or connections[alias].vendor != "mysql":
        return []
    with connections[alias].cursor() as cursor:
        cursor.execute(_NARROW_SQL, [r"kaspi\_delivery\_%"])
        narrow = [name for (name,) in cursor.fetchall()]
    hint = "Write ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 for: {}. See docs/settings.md."
    text = "Tables of kaspi_delivery cannot hold every letter, as an emoji in an order: such an order waits for staff."
    return [Caution(text, hint=hint.format(", ".join(narrow)), obj=alias, id="kaspi_delivery.W025")] if narrow else []


def _ours() -> dict[str, Any]:
    found: dict[str, Any] = connections.settings.get(db_alias(), {})
    return found


def _is_sqlite(database: dict[str, Any]) -> bool:
    return str(database.get("ENGINE", "")).endswith("sqlite3")
