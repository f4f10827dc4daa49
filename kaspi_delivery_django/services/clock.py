"""Two clocks: this process's, and the database's, which all workers share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = timedelta(hours=24)
_SQL = {
    "mysql": "UTC_TIMESTAMP(6)",
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
}

_replacement: Callable[[], datetime] | None = None


def now() -> datetime:
    """Return this process's time, aware UTC."""
    return _replacement() if _replacement else timezone.now()


def now_of(row: Any) -> datetime:
    """Return the database's time when a delivery was locked; this process's time for one that is not locked."""
    return row.locked_at or now()


def sql(using: str) -> str:
    """Return the SQL of the database's time, for a statement with parameters."""
    return _SQL[connections[using].vendor]


class Now(models.Expression):
    """The database's time as an expression of a query, which needs no statement of its own."""

    def __init__(self) -> None:
        super().__init__(output_field=models.DateTimeField())

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, Any]:
        """Return the engine's expression, or the time that a test has set."""
        if not _replacement:
            return _SQL[connection.vendor], ()
        sql, params = compiler.compile(models.Value(_replacement(), models.DateTimeField()))
        return (f"CAST({sql} AS DATETIME(6))" if connection.vendor == "mysql" else sql), params


def reading(found: datetime, *, seconds: float = 0.0) -> datetime:
    """Return the database's time `seconds` after a query has read it by `Now`; a test's time if it is replaced."""
    return _replacement() if _replacement else found + timedelta(seconds=seconds)


def stamped(*names: str) -> tuple[str, ...]:
    """Return the fields that the database stamps; none while a test replaces its clock."""
    return () if _replacement else names


def database_now(using: str) -> datetime:
    """Return the time of this database's server, aware UTC."""
    if _replacement:
        return _replacement()
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql(using)}", ())
        return aware(cursor.fetchone()[0])


def aware(value: datetime | str) -> datetime:
    """Convert a driver's result of `sql` to aware UTC: SQLite's is text, MySQL's is naive."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


@contextmanager
def replaced(time_source: Callable[[], datetime]) -> Iterator[None]:
    """Use this time source instead of both clocks, for tests."""
    global _replacement  # noqa: PLW0603  # one process, one time
    before, _replacement = _replacement, time_source
    try:
        yield
    finally:
        _replacement = before


def plausible(at: datetime | None, received_at: datetime) -> datetime | None:
    """Return Kaspi's time if it is plausible: from 2020 to a day ahead of us; else None."""
    if at is None or not EARLIEST <= at <= received_at + FUTURE:
        return None
    return at
