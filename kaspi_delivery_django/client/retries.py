"""How long to wait before the next try. Pure: the clock and the randomness are arguments."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 900.0
LONGEST_RETRY_AFTER_S = 3600.0
SHORTEST_RETRY_AFTER_S = 1.0


def backoff_s(attempt: int, randomness: float) -> float:
    """Return the seconds to wait after the given attempt (1, 2, …), doubling up to 15 minutes.

    `randomness` is drawn from 0 to 1: half of the delay is fixed, half of it jitter.
    """
    doublings = min(max(attempt, 1) - 1, 20)
    ceiling = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**doublings)
    return ceiling * (0.5 + randomness / 2)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for, clamped to 1 s … 1 h; None for garbage.

    Both forms of RFC 9110 are read: whole seconds and an HTTP date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return _clamped(float(text[:9]))
    date = read_date(text)
    return None if date is None else seconds_until(date, now)


def read_date(value: str | None) -> datetime | None:
    """Return the moment that an HTTP date names, aware; None for anything else."""
    try:
        date = parsedate_to_datetime(value or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def seconds_until(at: datetime, now: datetime) -> float:
    """Return the seconds to wait until a moment that Kaspi named, clamped to 1 s … 1 h."""
    return _clamped((at - now).total_seconds())


def _clamped(seconds: float) -> float:
    return min(LONGEST_RETRY_AFTER_S, max(SHORTEST_RETRY_AFTER_S, seconds))
