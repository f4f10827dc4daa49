"""Database access: the written alias, transactions, deleting in batches, and how database errors are classified."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.contenttypes.models import ContentType, ContentTypeManager
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, Q, QuerySet
from django.db.transaction import Atomic

from kaspi_delivery_django.services import clock, errors

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
Row = TypeVar("Row", bound=Model)
_TRANSIENT_NUMBERS = {1020, 1205, 1213, 3572}
_TRANSIENT_STATES = {"40001", "40P01", "55P03", "57014"}
_LOCK_TIMEOUT_NUMBERS = {1205, 3572}
_LOCK_TIMEOUT_STATES = {"55P03"}
# Invalid text or byte, out of range, too long, too large, no default value, refused by a trigger. MySQL's two drivers
# raise these as OperationalError, DataError or InternalError, each in its own way.
_DATA_NUMBERS = {1118, 1153, 1263, 1264, 1265, 1267, 1292, 1300, 1364, 1366, 1406, 1416, 1441, 1644, 1690, 3854, 3988}
_LAST_OF_THREE_BYTES = 0xFFFF
_DATA_CLASSES = ("22", "54")  # PostgreSQL's "data exception" and "program limit exceeded"


def db_alias() -> str:
    """Return the alias of the database that our tables live in."""
    return router.db_for_write(apps.get_model("kaspi_delivery", "Delivery"))  # this module stands below the models


def db_connection() -> BaseDatabaseWrapper:
    """Return this thread's connection to that database."""
    return connections[db_alias()]


def database_now() -> datetime:
    """Return the database server's time, aware UTC: leases and deadlines use it."""
    return clock.database_now(db_alias())


def rows_of(model: type[Row]) -> QuerySet[Row]:
    """Return all rows of the shop's model in the database that our tables live in."""
    return model._base_manager.using(db_alias())


def content_types() -> ContentTypeManager:
    """Return Django's manager of content types, for the database that our tables live in."""
    return ContentType.objects.db_manager(db_alias())


def atomic(*, savepoint: bool = True) -> Atomic:
    """Open a transaction, or a savepoint in the current one."""
    return transaction.atomic(using=db_alias(), savepoint=savepoint)


def run_in_transaction(work: Callable[[], Result], *, waits_again_within_s: float | None = None) -> Result:
    """Run the work in an outermost transaction; retry it once after a deadlock or a lock timeout.

    A lock timeout later than `waits_again_within_s` is raised: there is no time to wait a second time.
    """
    using, began = db_alias(), time.monotonic()
    try:
        with transaction.atomic(using=using, durable=True):
            return work()
    except DatabaseError as err:
        is_late = waits_again_within_s is not None and time.monotonic() - began > waits_again_within_s
        if not is_transient(err) or (is_late and is_lock_timeout(err)):
            raise
    with transaction.atomic(using=using, durable=True):
        return work()


def is_transient(err: Exception) -> bool:
    """Return whether a retry may succeed: after a deadlock or a lock timeout."""
    state, number = _codes(err)
    return state in _TRANSIENT_STATES or number in _TRANSIENT_NUMBERS or is_lock_timeout(err)


def is_lock_timeout(err: BaseException) -> bool:
    """Return whether another transaction held a lock for too long."""
    state, number = _codes(err)
    is_busy = isinstance(err, OperationalError) and "is locked" in str(number)
    return state in _LOCK_TIMEOUT_STATES or number in _LOCK_TIMEOUT_NUMBERS or is_busy


def is_data_error(err: BaseException) -> bool:
    """Return whether the database refused the values of a row: the same values fail again, other rows do not.

    False for an unavailable database, a deadlock, a lock timeout, and a constraint (`IntegrityError`).
    """
    if not isinstance(err, DatabaseError):
        return False
    state, number = _codes(err)
    return isinstance(err, DataError) or state.startswith(_DATA_CLASSES) or number in _DATA_NUMBERS


def is_unavailable(err: BaseException) -> bool:
    """Return whether the error is the database's, not a row's."""
    return isinstance(err, OperationalError | InterfaceError) and not is_data_error(err)


def storable(text: str) -> str:
    """Return a cancel's reason as every table can store it: older character sets of MySQL have no emoji."""
    return without_astral(text) if db_connection().vendor == "mysql" else text


def without_astral(text: str) -> str:
    """Replace each character of more than three bytes in UTF-8, such as an emoji."""
    return "".join("\N{REPLACEMENT CHARACTER}" if ord(sign) > _LAST_OF_THREE_BYTES else sign for sign in text)


def _codes(err: BaseException) -> tuple[str, object]:
    """Return PostgreSQL's SQLSTATE, and the first argument of the others: MySQL's number, SQLite's text."""
    cause = err.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
    return state, err.args[0] if err.args else None


def after_commit(work: Callable[..., object], /, *args: object, using: str | None = None) -> None:
    """Run the work after the commit, in our database unless another is named. Log what it raises; later callbacks run.

    Django's own `robust` callbacks log the exception's text, which may contain a customer's data.
    """

    def run() -> None:
        try:
            work(*args)
        except Exception as err:  # noqa: BLE001  # the shop's transaction is committed
            logger.error("not done after the commit: error=%s", errors.describe(err))  # noqa: TRY400

    transaction.on_commit(run, using=using or db_alias())


@contextmanager
def savepoint() -> Iterator[None]:
    """Contain an error of these statements in a savepoint, if there is a transaction."""
    connection = db_connection()
    if connection.in_atomic_block or not connection.get_autocommit():
        with atomic():
            yield
    else:
        yield


def in_transaction() -> bool:
    """Return whether the caller decides about the commit, such as ATOMIC_REQUESTS."""
    return db_connection().in_atomic_block


def is_nested() -> bool:
    """Return whether the caller has opened a transaction, so that nothing can be committed here.

    The transaction of Django's own `TestCase` does not count: `durable` ignores it as well.
    """
    blocks: list[Any] = db_connection().atomic_blocks
    return bool(blocks) and not blocks[-1]._from_testcase  # noqa: SLF001  # as Django's atomic asks


def is_broken(using: str) -> bool:
    """Return whether the caller's transaction can only be rolled back. The ORM has no such query."""
    connection = connections[using]
    if not connection.in_atomic_block or connection.needs_rollback:
        return connection.in_atomic_block
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return True
    return False


def defer_or_raise(err: Exception, what: str) -> None:
    """Log a deadlock, a lock timeout or a row's data error, for a later retry; else re-raise a database error."""
    if is_unavailable(err) and not is_transient(err):
        raise err
    logger.warning("deferred: %s error=%s", what, errors.describe(err))


@dataclass(frozen=True, kw_only=True)
class OldRows:
    """Rows to delete, and an indexed column, their time, that they are read by."""

    rows: QuerySet[Any]
    by: str


def delete_in_batches(old: OldRows, *, batch: int, dry_run: bool) -> Iterator[int]:
    """Delete rows, the oldest first, and yield the number of each batch."""
    if dry_run:
        yield old.rows.count()
        return
    for keys in batches(old.rows.order_by(old.by, "pk"), batch, by=old.by):
        yield run_in_transaction(partial(_delete, old.rows.filter(pk__in=keys)))


def batches(rows: QuerySet[Any], size: int, *, by: str) -> Iterator[list[int]]:
    """Yield the primary keys of rows ordered by a column, without reading kept rows again."""
    ordered, rest = rows.values_list("pk", by), Q()
    while found := list(ordered.filter(rest)[:size]):
        yield [key for key, _ in found]
        last, at = found[-1]
        later = Q(**{f"{by}__gt": at}) | Q(pk__gt=last)
        rest = Q(**{f"{by}__gte": at}) & later


def _delete(old: QuerySet[Any]) -> int:
    return old.delete()[1].get(old.model._meta.label, 0)


def missing_tables() -> Sequence[str]:
    """Return the tables and columns that the database lacks, on the connection's search path."""
    connection = db_connection()
    found: list[str] = []
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_app_config("kaspi_delivery").get_models():
            table = model._meta.db_table
            if table not in tables:
                found.append(table)
                continue
            columns = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            wanted = (field.column for field in model._meta.concrete_fields)
            found += [f"{table}.{name}" for name in wanted if name not in columns]
    return found


def missing_tables_advice(lacking: Sequence[str]) -> str:
    """Return the error text for missing tables, with the remedy."""
    named = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")  # noqa: PLR2004  # enough to recognise them
    return (
        f'The database "{db_alias()}" lacks {named}. Run manage.py migrate first. In a project with one schema for each'
        " tenant, run the worker inside the tenant's schema, not in the public one."
    )
