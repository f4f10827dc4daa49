"""The geometry of the dashboard's charts: numbers for a template that draws SVG. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 700, 220
TOP, BOTTOM = 24, 28
GAP = 0.25
SHORTEST = 2


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One part of a column, in the chart's units. `tone` names its colour."""

    tone: str
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, with its label below and its total above."""

    label: str
    total: int
    x: float
    width: float
    middle: float
    top: float
    pieces: Sequence[Piece]


def columns(rows: Sequence[tuple[str, Mapping[str, int]]]) -> Sequence[Column]:
    """Stack each row's counts into a column; all share one scale, and what is not zero can be seen."""
    highest = max((sum(counts.values()) for _label, counts in rows), default=0) or 1
    step = WIDTH / max(len(rows), 1)
    return [
        _column(label, counts, number * step + step * GAP / 2, step * (1 - GAP), highest)
        for number, (label, counts) in enumerate(rows)
    ]


def share(count: int, most: int) -> float:
    """Return the length of a bar, from 0 to 100, that can be seen if there is anything."""
    return max(SHORTEST, round(100 * count / most, 1)) if count and most else 0


def _column(label: str, counts: Mapping[str, int], x: float, width: float, highest: int) -> Column:
    ground, room = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM
    pieces, y = [], float(ground)
    for tone, count in counts.items():
        height = max(SHORTEST, room * count / highest) if count else 0
        y = max(TOP, y - height)
        if height:
            pieces.append(Piece(tone=tone, y=round(y, 1), height=round(height, 1)))
    return Column(
        label=label,
        total=sum(counts.values()),
        x=round(x, 1),
        width=round(width, 1),
        middle=round(x + width / 2, 1),
        top=round(y - 6, 1),
        pieces=pieces,
    )
