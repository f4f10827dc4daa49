"""Hand-written SQL for the statements of a save, a claim and a webhook; docs/decisions.md has the reason.

The ORM takes ten times as long to compile these statements as the database takes to execute them: two thirds of a
webhook's Python. Each function names its benchmark. A statement of another kind belongs to the ORM.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, cast

from django.db import connections, models
from django.db.transaction import mark_for_rollback_on_error

from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_connection

Row = TypeVar("Row", bound=models.Model)
Model: TypeAlias = type[models.Model]
Field: TypeAlias = "models.Field[Any, Any]"
Values: TypeAlias = Mapping[str, Any]  # by the names of their fields


def insert(row: models.Model, *, stamped: tuple[str, ...] = ()) -> None:
    """Insert a new row, and set its primary key. Raises `IntegrityError` as `save` does.

    The fields in `stamped` get the time of the database's clock. Benchmarks: `webhook` (an event and a change, two of
    its six round trips), `orders` (a delivery and a call: nearly all of a first save).
    """
    model, connection = type(row), db_connection()
    using = connection.alias
    returns = connection.features.can_return_columns_from_insert
    given = [field for field in _without_key(model) if field.name not in stamped]
    values = _values(row, given, connection, add=True)
    with mark_for_rollback_on_error(using), connection.cursor() as cursor:
        cursor.execute(_insert_sql(model, using, stamped, returns=returns), values)
        [row.pk] = cursor.fetchone() if returns else [connection.ops.last_insert_id(cursor, model._meta.db_table, "id")]
    row._state.adding, row._state.db = False, using


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model, and set their primary keys, which MySQL returns for a single row only."""
    if db_connection().features.can_return_rows_from_bulk_insert:
        type(rows[0])._default_manager.bulk_create(rows)
        return
    for row in rows:
        insert(row)


def update(row: models.Model, names: Sequence[str]) -> bool:
    """Write these fields of a locked or private row. Return whether it still exists.

    Benchmark: `webhook` (the delivery; `notified_at` of a change with a receiver).
    """
    model, connection = type(row), db_connection()
    using = connection.alias
    values = _values(row, _fields(model, names), connection, add=False)
    with mark_for_rollback_on_error(using), connection.cursor() as cursor:
        cursor.execute(_update_sql(model, using, tuple(names)), [*values, row.pk])
        return bool(cursor.rowcount)


def update_all(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of many rows of one model, with one prepared statement for all.

    Benchmark: `dispatch`. Django's `bulk_update` builds an expression for each value, which takes longer than all the
    other work on a row.
    """
    if not rows:
        return
    model, connection = type(rows[0]), db_connection()
    using = connection.alias
    fields = _fields(model, names)
    values = [[*_values(row, fields, connection, add=False), row.pk] for row in rows]
    with mark_for_rollback_on_error(using), connection.cursor() as cursor:
        _execute_each(cursor, _update_sql(model, using, tuple(names)), values)


def update_matching(model: Model, changed: Sequence[tuple[Values, Values]]) -> int:
    """Write values to the rows that have others, with one prepared statement for all; return how many were found.

    Each of `changed` maps the fields to write, and those of the condition; all map the same ones. Benchmark:
    `dispatch`. One UPDATE by the ORM, with a CASE, takes longer than all the other work on the rows.
    """
    connection = db_connection()
    using = connection.alias
    names, keys = map(tuple, changed[0])
    fields = _fields(model, (*names, *keys))
    rows = [
        [field.get_db_prep_save(value, connection) for field, value in zip(fields, values, strict=True)]
        for values in ((*new.values(), *old.values()) for new, old in changed)
    ]
    with mark_for_rollback_on_error(using), connection.cursor() as cursor:
        _execute_each(cursor, _update_sql(model, using, names, keys), rows)
        return int(cursor.rowcount)


def find(model: type[Row], *, ending: str = "", **values: Any) -> tuple[Row, datetime] | None:
    """Return the row with these values and the database's time; None if there is none.

    `ending` follows the condition, such as FOR UPDATE. Benchmark: `webhook` (the lock, one of its six round trips).
    """
    connection = db_connection()
    using = connection.alias
    with connection.cursor() as cursor:
        cursor.execute(f"{_select_sql(model, using, tuple(values))} {ending}", list(values.values()))
        found = cursor.fetchone()
    if found is None:
        return None
    *columns, read_at = found
    return model.from_db(using, _attributes(model), _converted(model, columns, connection)), clock.aware(read_at)


def touch(model: Model, name: str, **values: Any) -> bool:
    """Write a field's own value to the row with these values. Return whether there is one.

    Benchmark: `webhook` on SQLite, whose lock this is.
    """
    connection = db_connection()
    using = connection.alias
    with mark_for_rollback_on_error(using), connection.cursor() as cursor:
        cursor.execute(_touch_sql(model, using, name, tuple(values)), list(values.values()))
        return bool(cursor.rowcount)


def _execute_each(cursor: Any, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute the statement for each row's values; for one alone without a pipeline."""
    if len(rows) == 1:
        cursor.execute(statement, rows[0])
    else:
        cursor.executemany(statement, rows)


def _values(row: models.Model, fields: Iterable[Field], connection: Any, *, add: bool) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, add), connection) for field in fields]


def _converted(model: Model, row: Sequence[Any], connection: Any) -> Sequence[Any]:
    """Convert the driver's values to the fields' values; most drivers return those already."""
    converted = list(row)
    for position, column in _to_convert(model, connection.alias):
        for convert in connection.ops.get_db_converters(column):
            converted[position] = convert(converted[position], column, connection)
    return converted


@lru_cache
def _to_convert(model: Model, using: str) -> list[tuple[int, Any]]:
    columns = [field.get_col(model._meta.db_table) for field in model._meta.concrete_fields]
    get_converters = connections[using].ops.get_db_converters
    return [(position, column) for position, column in enumerate(columns) if get_converters(column)]


@lru_cache
def _attributes(model: Model) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _fields(model: Model, names: Iterable[str]) -> list[Field]:
    return [cast("Field", model._meta.get_field(name)) for name in names]


@lru_cache
def _without_key(model: Model) -> list[Field]:
    return [field for field in model._meta.concrete_fields if not field.primary_key]


@lru_cache
def _insert_sql(model: Model, using: str, stamped: tuple[str, ...], *, returns: bool) -> str:
    fields = _without_key(model)
    names, now = _columns(fields, using), clock.sql(using)
    values = ", ".join(now if field.name in stamped else "%s" for field in fields)
    returned = f"RETURNING {_quoted('id', using)}" if returns else ""
    return " ".join(["INSERT INTO", _table(model, using), f"({', '.join(names)}) VALUES ({values})", returned])


@lru_cache
def _update_sql(model: Model, using: str, names: tuple[str, ...], keys: tuple[str, ...] = ("id",)) -> str:
    changes, condition = ", ".join(_pairs(model, names, using)), " AND ".join(_pairs(model, keys, using))
    return " ".join(["UPDATE", _table(model, using), "SET", changes, "WHERE", condition])


@lru_cache
def _select_sql(model: Model, using: str, names: tuple[str, ...]) -> str:
    columns = ", ".join([*_columns(model._meta.concrete_fields, using), clock.sql(using)])
    condition = " AND ".join(_pairs(model, names, using))
    return " ".join(["SELECT", columns, "FROM", _table(model, using), "WHERE", condition])


@lru_cache
def _touch_sql(model: Model, using: str, name: str, names: tuple[str, ...]) -> str:
    [column] = _columns(_fields(model, [name]), using)
    condition = " AND ".join(_pairs(model, names, using))
    return " ".join(["UPDATE", _table(model, using), f"SET {column} = {column} WHERE", condition])


def _table(model: Model, using: str) -> str:
    return _quoted(model._meta.db_table, using)


def _pairs(model: Model, names: Iterable[str], using: str) -> list[str]:
    return [f"{column} = %s" for column in _columns(_fields(model, names), using)]


def _columns(fields: Iterable[Field], using: str) -> list[str]:
    return [_quoted(str(field.column), using) for field in fields]


def _quoted(name: str, using: str) -> str:
    return connections[using].ops.quote_name(name)


_DELIVERIES_SQL = """
SELECT content_type_id, id, generation, environment, account, external_order_id, order_label, delivery_id, attention,
    unwanted_since, not_before, parcel
FROM kaspi_delivery_delivery WHERE object_id = %s AND returned_generation = 0
"""


@dataclass(frozen=True)
class DeliveryKeys:
    """The columns of a delivery that decide whether its order's save has anything to do."""

    pk: int
    generation: int
    environment: str
    account: str
    external_order_id: str | None
    order_label: str
    delivery_id: str | None
    attention: str
    unwanted_since: object = None
    not_before: object = None
    parcel: str = ""


def delivery_keys_of(object_id: str, content_type_id: int) -> Sequence[DeliveryKeys]:
    """Return an order's deliveries to its customer, the newest generation first.

    Benchmark: `orders`. Whole rows, read through the ORM, took three times as long as the shop's own save on SQLite.
    """
    with db_connection().cursor() as cursor:
        cursor.execute(_DELIVERIES_SQL, [object_id])
        own = [DeliveryKeys(*row[1:]) for row in cursor.fetchall() if row[0] == content_type_id]
    return sorted(own, key=attrgetter("generation"), reverse=True)
