"""A column type that means the same on every engine."""

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    ExactCharField = models.CharField  # a plain one for type checkers: Django's has no generics
else:

    class ExactCharField(models.CharField):
        """Text that is compared letter by letter on every engine, MariaDB and MySQL included."""

        def db_parameters(self, connection: Any) -> dict[str, Any]:
            """Ask MariaDB and MySQL, whose collations fold case and accents, for a binary one."""
            parameters = super().db_parameters(connection)
            is_mysql = connection.vendor == "mysql"
            return {**parameters, "collation": "utf8mb4_bin"} if is_mysql else parameters
