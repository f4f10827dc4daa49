"""Argument types of the commands: whole numbers and durations, and how durations are shown."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
WORDS = {"d": "d", "h": "h", "m": "min", "s": "s"}
DURATION = re.compile(r"([0-9]{1,8})([smhd])")
MAX_SECONDS = timedelta(days=365)


def whole_number(text: str, *, least: int = 1, most: int) -> int:
    """Read a whole number within these bounds. Raises `ArgumentTypeError` with the bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def seconds(text: str) -> int:
    """Read a duration, `90s`, `15m`, `3h` or `2d`. Raises `ArgumentTypeError` with the format."""
    found = DURATION.fullmatch(text)
    length = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < length <= MAX_SECONDS.total_seconds():
        raise ArgumentTypeError(
            f"must be a whole number and its unit, s, m, h or d, as in 15m, and at most 365d, not {text!r}"
        )
    return length


def format_duration(length_s: float) -> str:
    """Return a duration in its two greatest parts: `2 d 3 h`, `15 min`, `0 s`."""
    rest, parts = int(length_s), list[str]()
    for unit, word in WORDS.items():
        count, rest = divmod(rest, SECONDS[unit])
        if count:
            parts.append(f"{count} {word}")
    return " ".join(parts[:2]) or "0 s"
