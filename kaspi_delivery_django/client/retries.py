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
        seconds = float(text[:9])
    else:
        try:
            date = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (aware - now).total_seconds()
    return min(LONGEST_RETRY_AFTER_S, max(SHORTEST_RETRY_AFTER_S, seconds))
