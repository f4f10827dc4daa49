"""The current state: deliveries by status, calls by state, and what needs staff. Bounded counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import QuerySet

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.formats import duration_label, number_label
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.models.deliveries import LONG_AGO
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import content_types

MAX_COUNT = 10_000


def counted(count: int) -> str:
    """Format a count; a plus sign marks a count that stopped at its bound."""
    return f"{number_label(MAX_COUNT)}+" if count > MAX_COUNT else number_label(count)


def age_label(since: datetime | None) -> str:
    """Return how long ago it was, in one unit; empty for never."""
    return duration_label(clock.now() - since) if since else ""


def plural_of(count: int) -> int:
    """Return the number that chooses a text's plural form: the one that `counted` shows."""
    return min(count, MAX_COUNT)


class CountUpTo(models.Subquery):
    """The number of rows of a queryset, counted up to `MAX_COUNT` + 1, which means "more than `MAX_COUNT`"."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()

    def __init__(self, rows: QuerySet[Any]) -> None:
        super().__init__(rows.values("pk")[: MAX_COUNT + 1])


def first_rows(rows: QuerySet[Any], column: str) -> models.Subquery:
    """Return the first row's value of this column, NULL for no row."""
    return models.Subquery(rows.values(column)[:1])


def read_together(expressions: Mapping[str, models.Subquery]) -> dict[str, Any]:
    """Read several subqueries, which refer to nothing outside of themselves, in one statement."""
    one_row = content_types().order_by("pk").annotate(**expressions)
    found: dict[str, Any] = one_row.values(*expressions)[0]  # our own models have one each
    return found


NOT_BOOKED = "not_booked"
OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The counts of this moment. A count of `MAX_COUNT` + 1 means "more than `MAX_COUNT`".

    `deliveries` counts those that have not ended by status: "" for not booked yet, "other" for unknown statuses.
    `unserved` counts the open ones that no account of the settings serves.
    `attention` goes by reason, `dead_letters` by the event's state, `calls` by the call's. Times are aware UTC, None
    for never.
    """

    read_at: datetime
    deliveries: Mapping[str, int]
    overdue: int
    unserved: int
    attention: Mapping[str, int]
    dead_letters: Mapping[str, int]
    calls: Mapping[str, int]
    actions_waiting: int
    actions_refused: int
    oldest_due_at: datetime | None
    oldest_action_at: datetime | None
    last_webhook_at: datetime | None

    @property
    def oldest_due_age(self) -> timedelta:
        """How long the oldest due call has waited; zero when none is due."""
        due_at = self.oldest_due_at
        return max(self.read_at - due_at, timedelta(0)) if due_at else timedelta(0)

    @property
    def oldest_action_age(self) -> timedelta:
        """How long the oldest pending action of staff has waited; zero when none is pending."""
        return max(self.read_at - self.oldest_action_at, timedelta(0)) if self.oldest_action_at else timedelta(0)

    @property
    def is_expecting_webhooks(self) -> bool:
        """Whether deliveries are under way, so that webhooks are to be expected."""
        return any(count for status, count in self.deliveries.items() if status)

    @property
    def silence(self) -> timedelta | None:
        """How long Kaspi has sent no webhook; None when it never sent one."""
        return self.read_at - self.last_webhook_at if self.last_webhook_at else None


def read() -> Snapshot:
    """Read all of it, in one statement."""
    now = clock.now()
    groups = _groups()
    counted = {(group, kind): rows for group, kinds in groups.items() for kind, rows in kinds.items()}
    found = read_together(
        {
            **{_label(key): CountUpTo(rows) for key, rows in (*counted.items(), *_single(now).items())},
            "oldest_due_at": first_rows(ApiCall.objects.due(now), "next_attempt_at"),
            "oldest_action_at": first_rows(PendingAction.objects.waiting().order_by("pk"), "created_at"),
            "last_webhook_at": first_rows(WebhookEvent.objects.order_by("-received_at"), "received_at"),
        },
    )
    counts: dict[str, Any] = {
        group: {kind: found.pop(_label((group, kind))) for kind in kinds} for group, kinds in groups.items()
    }
    return Snapshot(read_at=now, **counts, **found)


def _groups() -> Mapping[str, Mapping[str, QuerySet[Any]]]:
    deliveries, calls, events = Delivery.objects, ApiCall.objects, WebhookEvent.objects
    return {
        "deliveries": {
            **{status: deliveries.filter(status=status) for status in ("", *statuses.OPEN)},
            OTHER: deliveries.in_unknown_status(),
        },
        "attention": {reason: deliveries.filter(attention=reason) for reason in Attention.values},
        "dead_letters": {str(state): events.filter(state=state) for state in WebhookEvent.DEAD_LETTERS},
        "calls": {str(state): calls.filter(state=state) for state in ApiCall.UNFINISHED},
    }


def _single(now: datetime) -> Mapping[tuple[str, ...], QuerySet[Any]]:
    actions = PendingAction.objects
    return {
        ("overdue",): Delivery.objects.overdue(now),
        ("unserved",): Delivery.objects.filter(is_unserved()),
        ("actions_waiting",): actions.waiting().order_by(),
        ("actions_refused",): actions.filter(failed_at__isnull=False),
    }


def is_unserved() -> models.Q:
    """Return the condition of deliveries that are refreshed, or flagged, and that the settings have no account for.

    Their account is gone, or is of another environment now. An acknowledged one is neither refreshed nor flagged.
    """
    flagged = (Attention.CONFIGURATION_CHANGED, Attention.CONFIGURATION_CHANGED)  # a range, because of SQLite
    is_open = models.Q(next_refresh_at__gt=LONG_AGO) | models.Q(attention__range=flagged)
    served = (models.Q(account=one.alias, environment=one.environment) for one in conf.current().accounts.values())
    return is_open & ~reduce(or_, served, models.Q(pk__in=[]))


def _label(key: tuple[str, ...]) -> str:
    return "_".join(part or "none" for part in key)
