"""One rule for all of our tables: they are read and written on the database that `db_for_write` names.

A router may send reads to a replica that lags behind, or refuses writes. No decision is made on such a copy, and no
instance carries its alias to where something is written: `_state.db` of our rows is always the written database.
"""

from typing import Any, Self, TypeVar

from django.db import models, router

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
