"""Percentiles of counted values."""

from collections.abc import Mapping


def of(counts: Mapping[int, int], share: float) -> int | None:
    """Return the least value that this share (0 to 1) of all values does not exceed; None for no values."""
    total = sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * total:
            return value
    return None
