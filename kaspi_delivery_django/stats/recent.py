"""The last day and week: outcomes of calls, delays of webhooks, reasons of cancels, durations.

The conditions of the rows that are counted stand at the end: the lists of the admin filter by them too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.db.models import Count, Max, Q

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.statuses import DELIVERED


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """Return the least value that this share (0 to 1) of all values does not exceed; None for no values."""
    total = sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * total:
            return value
    return None


def seconds_between(booked: datetime, arrived: datetime) -> int:
    """Return how long a parcel took, in whole seconds: Kaspi's clock is not ours, and no parcel takes less than 0."""
    return max(0, round((arrived - booked).total_seconds()))


NO_RESPONSE = "no_answer"
CLASSES = ("4xx", "5xx", NO_RESPONSE, "other")
_KNOWN = frozenset(HTTPStatus)


def answer_label(http_status: int | None) -> str:
    """Return a status that HTTP knows as it is; of any other its class, so that the words stay few."""
    if http_status is None:
        return NO_RESPONSE
    return str(http_status) if http_status in _KNOWN else f"{http_status // 100}xx"


def answer_class(http_status: int | None) -> str:
    """Return one of `CLASSES`; a success that could not be used, and a redirect, are "other"."""
    if http_status is None:
        return NO_RESPONSE
    name = f"{http_status // 100}xx"
    return name if name in CLASSES else "other"


A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)
MAX_REASONS = 10
SAMPLE = 5000
ARRIVALS = 1000
ENDED = (ApiCall.State.DONE, ApiCall.State.REFUSED, ApiCall.State.STUCK, ApiCall.State.ABANDONED)


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """Webhooks received: events, events that came more than once, and the most attempts of one event."""

    events: int
    repeated: int
    most_attempts: int


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long deliveries took, from booking to delivery, to the second, None for no delivery."""

    deliveries: int
    median: timedelta | None
    p90: timedelta | None


def calls_ended(now: datetime) -> Mapping[tuple[str, str], int]:
    """Count the calls whose last step was in the last day, by kind and state."""
    rows = ApiCall.objects.filter(ended(now))
    ends = {f"{kind}_{state}": (kind, state) for kind in ApiCall.Kind.values for state in ENDED}
    counts = {name: Count("pk", filter=Q(kind=kind, state=state)) for name, (kind, state) in ends.items()}
    found = rows.order_by("-updated_at")[:SAMPLE].aggregate(**counts)
    return {ends[name]: count for name, count in found.items() if count}


def failed_attempts(now: datetime, *, within: timedelta = A_DAY) -> Mapping[tuple[str, int | None], int]:
    """Count the failed attempts of this time, by kind of call and HTTP status (None: no response)."""
    rows = FailedAttempt.objects.filter(failed(now, within=within))
    return Counter(rows.order_by("-at").values_list("kind", "http_status")[:SAMPLE])


def webhooks(now: datetime) -> Webhooks:
    """Count the events that came in the last day."""
    rows = WebhookEvent.objects.filter(received(now))
    latest = rows.order_by("-received_at")[:SAMPLE]
    repeated = Count("pk", filter=REPEATED)
    found = latest.aggregate(events=Count("pk"), repeated=repeated, most_attempts=Max("attempt"))
    return Webhooks(**{name: value or 0 for name, value in found.items()})


def cancel_reasons(now: datetime) -> Sequence[tuple[str, int]]:
    """Count the reasons of the last week's cancels, the most frequent first. They may hold personal data."""
    rows = Delivery.objects.filter(cancel_requested(now))
    latest = rows.order_by("-cancel_requested_at").values_list("cancel_reason", flat=True)[:SAMPLE]
    return Counter(latest).most_common(MAX_REASONS)


def durations(now: datetime) -> Durations:
    """Return how long the latest 1,000 deliveries took that arrived in the last week."""
    rows: Any = Delivery.objects.filter(arrived(now))
    times = rows.order_by("-status_at").values_list("created_at", "status_at")[:ARRIVALS]
    seconds = Counter(seconds_between(booked, arrived) for booked, arrived in times)
    found = {name: percentile(seconds, share) for name, share in (("median", 0.5), ("p90", 0.9))}
    spans = {name: None if value is None else timedelta(seconds=value) for name, value in found.items()}
    return Durations(deliveries=seconds.total(), **spans)


REPEATED = Q(attempt__gt=1) | Q(received_count__gt=1)


def ended(now: datetime) -> Q:
    """Return the condition of calls whose last step was in the last day."""
    return Q(state__in=ENDED, updated_at__gte=now - A_DAY)


def failed(now: datetime, *, within: timedelta = A_DAY) -> Q:
    """Return the condition of attempts that failed in this time."""
    return Q(at__gte=now - within)


def received(now: datetime) -> Q:
    """Return the condition of events that came in the last day."""
    return Q(received_at__gte=now - A_DAY)


def cancel_requested(now: datetime) -> Q:
    """Return the condition of deliveries whose cancel was requested in the last week."""
    return Q(cancel_requested_at__gte=now - A_WEEK)


def arrived(now: datetime) -> Q:
    """Return the condition of deliveries that arrived at the customer in the last week."""
    return Q(status=DELIVERED, status_at__gte=now - A_WEEK, returned_generation=0)
