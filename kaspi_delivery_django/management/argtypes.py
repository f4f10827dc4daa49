"""Types of the commands' options."""

from argparse import ArgumentTypeError
from functools import partial

LARGEST_BATCH = 10_000
LONGEST_DAYS = 36_500


def whole_number(text: str, *, least: int = 1, most: int) -> int:
    """Read a whole number within these bounds. Raises `ArgumentTypeError` with the bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


row_count = partial(whole_number, most=LARGEST_BATCH)
days = partial(whole_number, most=LONGEST_DAYS)
