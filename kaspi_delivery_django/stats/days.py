"""The last days: how many parcels were booked, delivered and cancelled on each.

A parcel counts once for each kind and day, however often its status changed; the day is the one on which the change was
recorded here, in the project's TIME_ZONE. What was recorded on a past day stays, so its counts are kept in Django's
default cache for a week.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats import cached
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, read_together
from kaspi_delivery_django.statuses import CANCELLED, DELIVERED

BOOKED = "booked"
KINDS = (BOOKED, DELIVERED, CANCELLED)
DAYS = 7
KEEP_S = 8 * 24 * 3600
KEPT_AFTER = timedelta(minutes=10)  # a transaction that began before midnight may commit after it
VERSION = 2
Parcels = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day in the shop's time zone. `parcels` has a count for each of `KINDS`; it stops at `MAX_COUNT` + 1."""

    date: date
    parcels: Mapping[str, int]


class CountParcels(models.Subquery):
    """The number of deliveries that took these steps, counted up to `MAX_COUNT` + 1 or a little more.

    It reads twice as many steps at most: hardly a parcel takes one twice.
    """

    template = "(SELECT COUNT(DISTINCT delivery_id) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()

    def __init__(self, steps: QuerySet[StatusChange]) -> None:
        super().__init__(steps.order_by().values("delivery_id")[: 2 * MAX_COUNT])


def read() -> Sequence[Day]:
    """Read the last days, the oldest first; today is the last."""
    last = today()
    dates = [last - timedelta(days=ago) for ago in reversed(range(DAYS))]
    kept = cached.recall([_name(day) for day in dates])
    known: dict[date, Parcels] = {day: kept[_name(day)] for day in dates if _name(day) in kept}
    counted = _count([day for day in dates if day not in known])
    for day, parcels in counted.items():
        if bounds(day)[1] + KEPT_AFTER <= clock.now():
            cached.keep(_name(day), parcels, KEEP_S)
    return [Day(date=day, parcels={**known, **counted}[day]) for day in dates]


def steps(kind: str, day: date) -> QuerySet[StatusChange]:
    """Return the steps by which parcels were booked, delivered or cancelled on this day.

    A parcel is booked by its first step at Kaspi, whichever status that is; or by the first one after a cancel that
    Kaspi did not follow. A parcel that was cancelled unsent was never booked. Returns are not counted.
    """
    began, ended = bounds(day)
    taken = StatusChange.objects.filter(created_at__gte=began, created_at__lt=ended, applied=True)
    taken = taken.filter(delivery__returned_generation=0)
    if kind == BOOKED:
        return taken.filter(from_status__in=("", CANCELLED)).exclude(source=StatusChange.Source.CANCEL)
    return taken.filter(to_status=kind)


def today() -> date:
    """Return the day that it is in the project's TIME_ZONE, whatever the zone of the request."""
    return timezone.localdate(clock.now(), timezone.get_default_timezone())


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return when the day begins, and when the next one does."""
    midnight, zone = datetime.combine(day, time.min), timezone.get_default_timezone()
    return timezone.make_aware(midnight, zone), timezone.make_aware(midnight + timedelta(days=1), zone)


def _name(day: date) -> str:
    zone = timezone.get_default_timezone_name().replace(" ", "_")
    return f"days:{VERSION}:{zone}:{day.isoformat()}"


def _count(days: Sequence[date]) -> dict[date, Parcels]:
    """Count the days that are not cached, in one statement."""
    if not days:
        return {}
    wanted = {f"{kind}_{day:%Y%m%d}": (day, kind) for day in days for kind in KINDS}
    counts = {name: CountParcels(steps(kind, day)) for name, (day, kind) in wanted.items()}
    found: dict[date, Parcels] = {day: {} for day in days}
    for name, count in read_together(counts).items():
        day, kind = wanted[name]
        found[day][kind] = min(count, MAX_COUNT + 1)
    return found
