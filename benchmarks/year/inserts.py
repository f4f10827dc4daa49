"""One INSERT … SELECT for a model: columns that nobody names get the model's default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Field, Model


@dataclass(frozen=True, kw_only=True)
class Insert:
    """Rows of a model: an SQL expression for each named column, and what they are selected from."""

    model: type[Model]
    columns: Mapping[str, str]
    source: str

    def run(self) -> int:
        """Write the rows, and return how many there are."""
        fields = [field for field in self.model._meta.local_concrete_fields if self._is_written(field)]
        values = {str(field.column): self._value(field) for field in fields}
        names = ", ".join(connection.ops.quote_name(name) for name in values)
        selected = ", ".join(text for text, _ in values.values())
        parameters = [value for _, held in values.values() for value in held]
        table = connection.ops.quote_name(self.model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({names}) SELECT {selected} FROM {self.source}", parameters)
            return int(cursor.rowcount)

    def _is_written(self, field: "Field[Any, Any]") -> bool:
        return field.column in self.columns or not field.primary_key

    def _value(self, field: "Field[Any, Any]") -> tuple[str, list[Any]]:
        if field.column in self.columns:
            return self.columns[str(field.column)], []
        default = field.get_db_prep_save(field.get_default(), connection)
        return f"CAST(%s AS {field.db_type(connection)})", [default]
