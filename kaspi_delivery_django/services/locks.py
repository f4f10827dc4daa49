"""Row locks, and limits of how long a statement waits for one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from django.db import connections, transaction
from django.db.models import F, Model, QuerySet

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import atomic, db_connection

Row = TypeVar("Row", bound=Model)
UNINDEXED = "order_sha256"  # a column of no index
_LIMITS = {
    "postgresql": ("SET LOCAL lock_timeout = '%(seconds)ss'", ""),
    "mysql": (
        "SET @kaspi_waited = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = %(seconds)s",
        "SET innodb_lock_wait_timeout = @kaspi_waited",
    ),
}


def lock(*, wait: bool = True, within_s: int | None = None, **values: Any) -> Delivery | None:
    """Return the delivery with these values, locked until the transaction ends; None if there is none.

    SQLite has no row locks: there a write that changes nothing makes this the one writer. With `wait=False` a
    locked row is None, where the engine can skip it. After `within_s` seconds a lock timeout is raised
    (`is_lock_timeout`); on SQLite see `limited_sqlite_waits`.
    """
    connection = db_connection()
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a lock needs an open transaction")
    if connection.features.has_select_for_update:
        ending = _for_update(connection, wait=wait, within_s=within_s)
        return _found(ending, values)
    is_there = fast_sql.touch(Delivery, UNINDEXED, **values)
    return _found("", values) if is_there else None


def _found(ending: str, values: dict[str, Any]) -> Delivery | None:
    """Return the row, with the database's time at which its lock was acquired."""
    began = time.monotonic()
    found = fast_sql.find(Delivery, ending=ending, **values)
    if found is None:
        return None
    delivery, read_at = found
    delivery.locked_at = clock.reading(read_at, seconds=time.monotonic() - began)
    return delivery


def _for_update(connection: Any, *, wait: bool, within_s: int | None) -> str:
    """Return the SQL after the condition. So the time limit costs no statement of its own (benchmark `webhook`).

    PostgreSQL evaluates the condition before it waits for the row's lock. MySQL, other than MariaDB, has no time
    limit for one lock: there it does not wait at all.
    """
    skips = not wait and connection.features.has_select_for_update_skip_locked
    plain: str = connection.ops.for_update_sql(skip_locked=skips)
    if within_s is None:
        return plain
    if connection.vendor == "postgresql":
        return f"AND set_config('lock_timeout', '{within_s}s', true) IS NOT NULL {plain}"
    return f"{plain} WAIT {within_s}" if connection.mysql_is_mariadb else f"{plain} NOWAIT"


def lock_current(delivery: Delivery) -> Delivery:
    """Lock the delivery and return its current row. Raises `Delivery.DoesNotExist`."""
    locked = lock(id=delivery.pk)
    if locked is None:
        raise Delivery.DoesNotExist("the delivery was pruned or deleted meanwhile")
    return locked


@contextmanager
def locked_row(delivery: Delivery) -> Iterator[Delivery]:
    """Yield the row as it is now, locked, in a transaction. Raises `Delivery.DoesNotExist` when it is gone."""
    with atomic():
        yield lock_current(delivery)


def lock_unlocked(rows: QuerySet[Row]) -> list[Row]:
    """Lock those of the rows that are unlocked, with those they select as related, until the transaction ends.

    A transaction that holds some never waits for others, which prevents deadlocks: an engine that cannot skip locked
    rows locks one row only.
    """
    features, ordered = connections[rows.db].features, rows.order_by("pk")
    if features.has_select_for_update_skip_locked:
        return list(ordered.select_for_update(skip_locked=True))
    if features.has_select_for_update:
        return list(ordered.select_for_update()[:1])
    return list(ordered) if rows.update(updated_at=F("updated_at")) else []


@contextmanager
def limited_sqlite_waits(*, seconds: int) -> Iterator[None]:
    """Limit how long SQLite waits for its one lock. The ORM has no lock timeouts.

    The other engines get the limit with the lock (`lock`).
    """
    connection = db_connection()
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    raw = connection.connection
    [before] = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute(f"PRAGMA busy_timeout = {min(before, seconds * 1000)}")
    try:
        yield
    finally:
        if connection.connection is raw:
            raw.execute(f"PRAGMA busy_timeout = {before}")


@contextmanager
def limited_waits(*, seconds: int) -> Iterator[None]:
    """Limit how long each statement of the open transaction waits for any lock. The ORM has no lock timeouts."""
    connection: Any = db_connection()
    limit, restore = _LIMITS.get(connection.vendor, ("", ""))
    if limit:
        with connection.cursor() as cursor:
            cursor.execute(limit % {"seconds": seconds})
    try:
        yield
    finally:
        if restore:  # MySQL's limit is the session's; Django's cursor refuses all after an error
            with suppress(connection.Database.Error), connection.connection.cursor() as raw:
                raw.execute(restore)
