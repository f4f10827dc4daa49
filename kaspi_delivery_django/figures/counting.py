"""Count without counting everything: at most so many rows, and several counts in one statement."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import QuerySet

MOST = 10_000


class CountUpTo(models.Subquery):
    """How many rows a queryset has; looking stops at `most` + 1, which means "more than `most`"."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()

    def __init__(self, rows: QuerySet[Any], *, most: int = MOST) -> None:
        super().__init__(rows.values("pk")[: most + 1])


def first_of(rows: QuerySet[Any], column: str) -> models.Subquery:
    """Return what the first row has in this column, NULL when there is no row."""
    return models.Subquery(rows.values(column)[:1])


def read_together(expressions: dict[str, models.Subquery], *, using: str) -> dict[str, Any]:
    """Read several subqueries, which refer to nothing outside of themselves, in one statement."""
    one_row = ContentType.objects.using(using).order_by("pk").annotate(**expressions)
    found: dict[str, Any] = one_row.values(*expressions)[0]  # our own models have one each
    return found
