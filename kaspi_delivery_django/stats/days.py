"""The last days: how the deliveries moved.

A past day no longer changes, so its counts are kept in Django's default cache for a
week; those of today for a minute.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connections
from django.db.models import Count, IntegerField, Value
from django.utils import timezone

from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import db_alias

logger = logging.getLogger(__name__)
DAYS = 7
KEEP_S = 8 * 24 * 3600
KEEP_TODAY_S = 60
VERSION = 1
Changes = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day in the shop's time zone: the steps that were recorded on it, by the status they led to."""

    date: date
    changes: Mapping[str, int]


def read(days: int = DAYS) -> Sequence[Day]:
    """Read the last days, the oldest first; today is the last."""
    today = timezone.localdate(clock.now())
    dates = [today - timedelta(days=ago) for ago in reversed(range(days))]
    known = _recall(dates)
    counted = _count([day for day in dates if day not in known])
    for day, changes in counted.items():
        _keep(day, changes, KEEP_TODAY_S if day == today else KEEP_S)
    return [Day(date=day, changes={**known, **counted}[day]) for day in dates]


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return when the day begins, and when the next one does."""
    midnight = datetime.combine(day, time.min)
    return timezone.make_aware(midnight), timezone.make_aware(midnight + timedelta(days=1))


def _recall(days: Sequence[date]) -> dict[date, Changes]:
    """Return the cached days; none if the cache is unavailable."""
    try:
        found = cache.get_many([_key(day) for day in days])
    except Exception as err:  # noqa: BLE001  # each backend has errors of its own
        logger.warning("cache not read: error=%s", errors.describe(err))
        return {}
    return {day: found[_key(day)] for day in days if _key(day) in found}


def _keep(day: date, changes: Changes, seconds: int) -> None:
    try:
        cache.set(_key(day), changes, seconds)
    except Exception as err:  # noqa: BLE001  # the same
        logger.warning("cache not written: error=%s", errors.describe(err))


def _key(day: date) -> str:
    zone = timezone.get_current_timezone_name().replace(" ", "_")
    return f"kaspi_delivery:changes:{VERSION}:{_tables()}:{zone}:{day.isoformat()}"


def _tables() -> str:
    """Name the tables that are counted: tenants may share a cache and an alias, and have a schema each."""
    connection = connections[db_alias()]
    named = (connection.alias, connection.settings_dict["NAME"], getattr(connection, "schema_name", ""))
    return hashlib.sha256(repr(named).encode()).hexdigest()[:16]


def _count(days: Sequence[date]) -> dict[date, Changes]:
    """Count the days that are not cached, in one statement."""
    if not days:
        return {}
    first, *others = (_counted_on(number, day) for number, day in enumerate(days))
    found: dict[date, Changes] = {day: {} for day in days}
    for number, to_status, count in first.union(*others, all=True).order_by():
        found[days[number]][to_status] = count
    return found


def _counted_on(number: int, day: date) -> Any:
    """Return the query for one day; all that it reads is in an index."""
    began, ended = bounds(day)
    steps = StatusChange.objects.using(db_alias()).filter(created_at__gte=began, created_at__lt=ended, applied=True)
    numbered = steps.order_by().annotate(day=Value(number, output_field=IntegerField())).values("day", "to_status")
    return numbered.annotate(count=Count("*")).values_list("day", "to_status", "count")
