"""What happened lately: how calls ended, how webhooks came, why deliveries were cancelled, how long they took.

Of a busy time only the latest 5,000 rows are read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q

from kaspi_delivery_django.figures import percentiles
from kaspi_delivery_django.lifecycle import DELIVERED
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services.transactions import home

A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)
REASONS = 10
SAMPLE = 5000
ARRIVALS = 1000
ENDED = (ApiCall.State.DONE, ApiCall.State.REFUSED, ApiCall.State.STUCK, ApiCall.State.ABANDONED)


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """How webhooks came: how many events, how many of them more than once, and the most attempts of one."""

    events: int
    repeated: int
    most_attempts: int


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long deliveries took, from the booking to the door: to the minute, None for no delivery."""

    deliveries: int
    median: timedelta | None
    p90: timedelta | None


def calls_ended(now: datetime, *, within: timedelta = A_DAY) -> Mapping[tuple[str, str], int]:
    """Count the calls whose last step was in this time, by kind and state."""
    rows = ApiCall.objects.using(home()).filter(state__in=ENDED, updated_at__gte=now - within)
    ends = {f"{kind}_{state}": (kind, state) for kind in ApiCall.Kind.values for state in ENDED}
    counts = {name: Count("pk", filter=Q(kind=kind, state=state)) for name, (kind, state) in ends.items()}
    found = rows.order_by("-updated_at")[:SAMPLE].aggregate(**counts)
    return {ends[name]: count for name, count in found.items() if count}


def failed_attempts(now: datetime, *, within: timedelta = A_DAY) -> Mapping[tuple[str, int | None], int]:
    """Count the tries that failed in this time, by kind of call and HTTP status (None: nobody answered)."""
    rows = FailedAttempt.objects.using(home()).filter(at__gte=now - within)
    return Counter(rows.order_by("-at").values_list("kind", "http_status")[:SAMPLE])


def webhooks(now: datetime, *, within: timedelta = A_DAY) -> Webhooks:
    """Count the events that came in this time."""
    rows = WebhookEvent.objects.using(home()).filter(received_at__gte=now - within)
    repeated = Count("pk", filter=Q(attempt__gt=1) | Q(received_count__gt=1))
    latest = rows.order_by("-received_at")[:SAMPLE]
    found = latest.aggregate(events=Count("pk"), repeated=repeated, most_attempts=Max("attempt"))
    return Webhooks(**{name: value or 0 for name, value in found.items()})


def cancel_reasons(now: datetime, *, within: timedelta = A_WEEK) -> Sequence[tuple[str, int]]:
    """Count the reasons that cancels were asked for with, the most frequent first. They may be personal."""
    rows = Delivery.objects.using(home()).filter(cancel_requested_at__gte=now - within)
    latest = rows.order_by("-cancel_requested_at").values_list("cancel_reason", flat=True)[:SAMPLE]
    return Counter(latest).most_common(REASONS)


def durations(now: datetime, *, within: timedelta = A_WEEK) -> Durations:
    """Return how long the latest 1,000 deliveries took that arrived in this time."""
    arrived = Delivery.objects.using(home()).filter(status=DELIVERED, status_at__gte=now - within)
    pairs: Any = arrived.order_by("-status_at").values_list("created_at", "status_at")[:ARRIVALS]
    minutes = Counter(max(0, round((end - start).total_seconds() / 60)) for start, end in pairs)
    found = {name: percentiles.of(minutes, share) for name, share in (("median", 0.5), ("p90", 0.9))}
    spans = {name: None if value is None else timedelta(minutes=value) for name, value in found.items()}
    return Durations(deliveries=minutes.total(), **spans)
