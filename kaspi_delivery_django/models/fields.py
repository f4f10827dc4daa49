"""The base of the models, which read and write on `db_for_write`'s database; exact text columns."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models, router

if TYPE_CHECKING:
    ExactCharField = models.CharField  # a plain one for type checkers: Django's has no generics
else:

    class ExactCharField(models.CharField):
        """Text that every engine compares exactly, MariaDB and MySQL included."""

        def db_parameters(self, connection: Any) -> dict[str, Any]:
            """Use a binary collation on MariaDB and MySQL, whose default folds case and accents."""
            parameters = super().db_parameters(connection)
            is_mysql = connection.vendor == "mysql"
            return {**parameters, "collation": "utf8mb4_bin"} if is_mysql else parameters


class SearchKeyField(ExactCharField):  # type: ignore[type-arg]  # no generics at run time
    """A key of `models.search`: every engine sorts it by its letters' numbers, so that a range finds a beginning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"default": "", "db_default": "", "blank": True, **kwargs})

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """Use PostgreSQL's collation "C" there: a language's ignores what is between two words."""
        parameters = super().db_parameters(connection)
        return {**parameters, "collation": "C"} if connection.vendor == "postgresql" else parameters


Row = TypeVar("Row", bound=models.Model)


class WrittenQuerySet(models.QuerySet[Row]):
    """Read rows where they are written, unless `using()` names another database."""

    @property
    def db(self) -> str:
        """The database's alias, without hints: those let Django write where an instance was read."""
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]  # private, and documented nowhere


class WrittenModel(models.Model):
    """A row of one of our tables. Related managers and `refresh_from_db` follow the same rule."""

    objects = WrittenQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Load an instance; it is written to `db_for_write`'s database, wherever it was read."""
        row = super().from_db(*args, **kwargs)
        row._state.db = router.db_for_write(cls)
        return row
