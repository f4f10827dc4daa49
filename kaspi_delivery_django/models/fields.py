"""Base of our models: read and written on `db_for_write`'s database; exact text columns."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models, router

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


Row = TypeVar("Row", bound=models.Model)


class WrittenQuerySet(models.QuerySet[Row]):
    """Rows that are read where they are written, unless `using()` names another database."""

    @property
    def db(self) -> str:
        """The database's alias. No hints: for a router without an answer Django writes where an instance was read."""
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]  # private, and documented nowhere


class WrittenModel(models.Model):
    """A row of one of our tables. Related managers and `refresh_from_db` keep to the same rule."""

    objects = WrittenQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Load an instance, and have it written where `db_for_write` says, wherever it was read."""
        row = super().from_db(*args, **kwargs)
        row._state.db = router.db_for_write(cls)
        return row
