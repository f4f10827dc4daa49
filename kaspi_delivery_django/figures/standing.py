"""How things stand now: what is on its way, what waits, and what needs a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.figures.counting import CountUpTo, first_of, read_together
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.transactions import home

NOT_BOOKED = "not_booked"
OTHER = "other"
WAITING_CALLS = (ApiCall.State.DUE, ApiCall.State.SENDING, ApiCall.State.UNKNOWN, ApiCall.State.STUCK)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The counts of this moment. One of `counting.MOST` + 1 means "more than that".

    `deliveries` goes by Kaspi's word for all that have not ended: "" is not booked yet, "other" a word that
    is new to us. `attention` goes by reason, `dead_letters` by the event's state, `calls` by the call's.
    Times are aware UTC, None for never.
    """

    read_at: datetime
    deliveries: Mapping[str, int]
    overdue: int
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
        """How long the call that should have gone first has waited; zero when none is due."""
        due_at = self.oldest_due_at
        return max(self.read_at - due_at, timedelta(0)) if due_at else timedelta(0)

    @property
    def is_expecting_news(self) -> bool:
        """Whether Kaspi has something on its way, so that its silence says something."""
        return any(count for status, count in self.deliveries.items() if status)

    @property
    def silence(self) -> timedelta | None:
        """How long Kaspi has sent no webhook; None when it never sent one."""
        return self.read_at - self.last_webhook_at if self.last_webhook_at else None


def read() -> Snapshot:
    """Read all of it, in one statement."""
    using, now = home(), clock.now()
    groups = _groups(using)
    counted = {(group, kind): rows for group, kinds in groups.items() for kind, rows in kinds.items()}
    found = read_together(
        {
            **{_label(key): CountUpTo(rows) for key, rows in (*counted.items(), *_single(using, now).items())},
            "oldest_due_at": first_of(ApiCall.objects.using(using).due(now), "next_attempt_at"),
            "oldest_action_at": first_of(PendingAction.objects.using(using).waiting().order_by("pk"), "created_at"),
            "last_webhook_at": first_of(WebhookEvent.objects.using(using).order_by("-received_at"), "received_at"),
        },
        using=using,
    )
    counts: dict[str, Any] = {
        group: {kind: found.pop(_label((group, kind))) for kind in kinds} for group, kinds in groups.items()
    }
    return Snapshot(read_at=now, **counts, **found)


def _groups(using: str) -> Mapping[str, Mapping[str, QuerySet[Any]]]:
    deliveries, calls = Delivery.objects.using(using), ApiCall.objects.using(using)
    events = WebhookEvent.objects.using(using)
    return {
        "deliveries": {
            **{status: deliveries.filter(status=status) for status in ("", *lifecycle.OPEN)},
            OTHER: deliveries.in_unknown_status(),
        },
        "attention": {reason: deliveries.filter(attention=reason) for reason in Attention.values},
        "dead_letters": {str(state): events.filter(state=state) for state in WebhookEvent.DEAD_LETTERS},
        "calls": {str(state): calls.filter(state=state) for state in WAITING_CALLS},
    }


def _single(using: str, now: datetime) -> Mapping[tuple[str, ...], QuerySet[Any]]:
    actions = PendingAction.objects.using(using)
    return {
        ("overdue",): Delivery.objects.using(using).overdue(now),
        ("actions_waiting",): actions.waiting().order_by(),
        ("actions_refused",): actions.filter(failed_at__isnull=False),
    }


def _label(key: tuple[str, ...]) -> str:
    return "_".join(part or "none" for part in key)
