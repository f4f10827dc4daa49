"""Save many rows of one model in one go."""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models


def save_all(rows: Sequence[models.Model], columns: Sequence[str], *, using: str) -> None:
    """Write these columns of the rows as they are now: nothing is computed, no signal sent, `auto_now` not heeded.

    One statement for each row, all of one text. Django's `bulk_update` builds an expression for each value, which
    takes longer than everything else that is done with a row.
    """
    if not rows:
        return
    connection, options = connections[using], rows[0]._meta
    fields: list[models.Field[Any, Any]] = [options.get_field(name) for name in columns]  # type: ignore[misc]  # no relations
    quote = connection.ops.quote_name
    assignments = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)
    where = f"{quote(str(options.pk.column))} = %s"
    statement = f"UPDATE {quote(options.db_table)} SET {assignments} WHERE {where}"  # noqa: S608  # names of our own
    values = [
        [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields), row.pk] for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)
