"""The weekly timetable of a shop that hands parcels to couriers."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from kaspi_delivery_django.timetables import SATURDAY, WORKING_DAYS, WeeklyTimetable

HOURS = {**dict.fromkeys(WORKING_DAYS, ("09:00", "17:30")), SATURDAY: ("10:00", "24:00")}
NAURYZ = {date(2026, 3, 23), date(2026, 3, 24)}  # a Monday and a Tuesday
ALMATY = ZoneInfo("Asia/Almaty")


def local(text):
    """Return a time in Almaty."""
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY)


@pytest.mark.parametrize(
    ("at", "opens"),
    {
        "2026-03-04T08:59": "2026-03-04T09:00",  # a Wednesday
        "2026-03-04T09:00": "2026-03-04T09:00",
        "2026-03-04T17:29": "2026-03-04T17:29",
        "2026-03-04T17:30": "2026-03-05T09:00",  # the cut-off
        "2026-03-06T20:00": "2026-03-07T10:00",
        "2026-03-07T23:59": "2026-03-07T23:59",
        "2026-03-08T00:00": "2026-03-09T09:00",  # a Sunday
        "2026-03-22T12:00": "2026-03-25T09:00",  # the holidays
    }.items(),
)
def test_the_next_opening(at, opens):
    """The same time while it is open, else when it opens next; in any time zone."""
    timetable = WeeklyTimetable(HOURS, holidays=NAURYZ)
    assert timetable.next_open(local(at)) == local(opens)
    assert timetable.next_open(local(at).astimezone(UTC)) == local(opens)


def test_the_default_is_now():
    """The answer is aware, and not in the past."""
    before = datetime.now(ALMATY)
    assert WeeklyTimetable(HOURS).next_open() >= before


WRONG = {
    "at least one day": {},
    "opens before it closes": {0: ("17:00", "09:00")},
    "weekdays are 0": {7: ("09:00", "17:00")},
    'written as "09:00"': {0: ("9:00", "17:00")},
    "not 'ab:cd'": {0: ("ab:cd", "17:00")},
    "no such time of day: '24:01'": {0: ("09:00", "24:01")},
    "no such time of day: '09:60'": {0: ("09:60", "17:00")},
}


@pytest.mark.parametrize("problem", WRONG)
def test_invalid_hours_are_refused(problem):
    """When the adapter is imported, not at night."""
    with pytest.raises(ValueError, match=problem):
        WeeklyTimetable(WRONG[problem])


def test_a_timetable_that_never_opens():
    """It is an error, and no endless loop."""

    class EveryDay:
        def __contains__(self, day):
            return True

    with pytest.raises(ValueError, match="does not open within a year"):
        WeeklyTimetable(HOURS, holidays=EveryDay()).next_open()
