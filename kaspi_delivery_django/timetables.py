"""When a shop hands parcels to couriers: for an adapter's `not_before`."""

import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)
WORKING_DAYS = (MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY)
MAX_DAYS = 366
_HOURS = re.compile(r"[0-9]{2}:[0-9]{2}")


class WeeklyTimetable:
    """The hours in which couriers may be booked, by the weekday, in the shop's time zone.

    >>> hours = {day: ("09:00", "17:30") for day in WORKING_DAYS}
    >>> timetable = WeeklyTimetable(hours, holidays={date(2026, 3, 22)})

    The end is the cut-off: from then on the next opening counts. An end of "24:00" is midnight. `holidays` may be any
    container of dates. Raises `ValueError` for hours that cannot be.
    """

    def __init__(
        self,
        hours: Mapping[int, tuple[str, str]],
        *,
        holidays: Collection[date] = (),
        time_zone: str = "Asia/Almaty",
    ) -> None:
        self.zone = ZoneInfo(time_zone)
        self.holidays = holidays
        self.hours = {day: (_minutes(opens), _minutes(closes)) for day, (opens, closes) in hours.items()}
        if not self.hours or not all(opens < closes for opens, closes in self.hours.values()):
            raise ValueError("a timetable has at least one day, and each day opens before it closes")
        if not set(self.hours) <= set(range(7)):
            raise ValueError("weekdays are 0 (Monday) to 6 (Sunday)")

    def next_open(self, at: datetime | None = None) -> datetime:
        """Return `at` (now, if it is left out) while it is open, else the next opening; aware, in the shop's zone.

        Raises `ValueError` for a naive time, and when it does not open within a year.
        """
        if at is not None and timezone.is_naive(at):
            raise ValueError("the time needs a time zone, as timezone.now() has")
        local = (timezone.now() if at is None else at).astimezone(self.zone)
        for days in range(MAX_DAYS):
            day = local.date() + timedelta(days=days)
            opening = self._opening(day, local)
            if opening is not None:
                return opening
        raise ValueError("the timetable does not open within a year: check its holidays")

    def _opening(self, day: date, local: datetime) -> datetime | None:
        if day.weekday() not in self.hours or day in self.holidays:
            return None
        opens, closes = (self._moment(day, minutes) for minutes in self.hours[day.weekday()])
        return max(local, opens) if local < closes else None

    def _moment(self, day: date, minutes: int) -> datetime:
        whole_days, rest = divmod(minutes, 24 * 60)
        clock = time(*divmod(rest, 60), tzinfo=self.zone)
        return datetime.combine(day + timedelta(days=whole_days), clock)


def _minutes(text: str) -> int:
    """Read "09:30" as minutes since midnight."""
    if not _HOURS.fullmatch(text):
        raise ValueError(f'hours are written as "09:00", not {text!r}')
    hours, minutes = map(int, text.split(":"))
    if minutes >= 60 or hours * 60 + minutes > 24 * 60:  # noqa: PLR2004  # minutes in an hour
        raise ValueError(f"there is no such time of day: {text!r}")
    return hours * 60 + minutes
