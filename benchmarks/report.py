"""Samples of contestants, the figure that they make, and figures as a table to read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Self

FINE_BELOW_MS = 10


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement, in milliseconds, with what else was counted."""

    ms: float
    facts: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The samples of one trial by contestant, and the limits that were exceeded.

    The ratio compares the last contestant with the first.
    """

    label: str
    samples: Mapping[str, Sequence[Sample]]
    marks: Sequence[str] = ()

    def ms(self, contestant: str) -> float:
        """Return the median time."""
        return median(sample.ms for sample in self.samples[contestant])

    def fact(self, name: str, contestant: str) -> float:
        """Return the median of a count."""
        return median(sample.facts[name] for sample in self.samples[contestant])

    @property
    def ratio(self) -> float | None:
        """The last contestant's time divided by the first's; None for a single contestant."""
        first, *others = self.samples
        return self.ms(others[-1]) / self.ms(first) if others else None

    def pair(self, label: str, **contestants: str) -> "Figure":
        """Return two of the contestants under other names."""
        samples = {name: self.samples[contestant] for name, contestant in contestants.items()}
        return Figure(label=f"{self.label}: {label}", samples=samples)

    def limited(self, most: float) -> Self:
        """Mark a ratio above the limit."""
        is_above = self.ratio is not None and self.ratio > most
        return replace(self, marks=[*self.marks, f"ratio above {most:.2f}"]) if is_above else self

    def to_json(self) -> dict[str, Any]:
        """Return all samples, medians, the ratio and marks."""
        facts = {name for samples in self.samples.values() for name in samples[0].facts}
        return {
            "label": self.label,
            "ms": {name: [sample.ms for sample in samples] for name, samples in self.samples.items()},
            "median_ms": {name: self.ms(name) for name in self.samples},
            "ratio": self.ratio,
            "facts": {fact: {name: self.fact(fact, name) for name in self.samples} for fact in sorted(facts)},
            "marks": list(self.marks),
        }


def table(title: str, figures: Sequence[Figure], shown: Sequence[str]) -> Iterator[str]:
    """Yield the title, the names of the columns, and a line for each figure."""
    contestants = list(figures[0].samples)
    width = max(len(figure.label) for figure in figures)
    yield title
    yield _line(" " * width, shown, [f"{name} ms [range]" for name in contestants], "ratio", "")
    for figure in figures:
        facts = [_fact(figure, name) for name in shown]
        times = [_time(figure, name) for name in contestants]
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        yield _line(figure.label.ljust(width), facts, times, ratio, ", ".join(figure.marks))


def _line(label: str, facts: Sequence[str], times: Sequence[str], ratio: str, marks: str) -> str:
    counted = "".join(f" {fact:>13}" for fact in facts)
    timed = "".join(f"{time:>28}" for time in times)
    return f"{label}{counted}{timed}{ratio:>8}  {marks}".rstrip()


def _time(figure: Figure, contestant: str) -> str:
    times = [sample.ms for sample in figure.samples.get(contestant, ())]
    if not times:
        return "-"
    digits = 1 if max(times) >= FINE_BELOW_MS else 3
    return f"{median(times):8.{digits}f} [{min(times):6.{digits}f} {max(times):7.{digits}f}]"


def _fact(figure: Figure, name: str) -> str:
    """Return a count: one value if all contestants have the same, else all, separated by strokes."""
    values = [f"{figure.fact(name, contestant):.10g}" for contestant in figure.samples]
    return values[0] if len(set(values)) == 1 else "/".join(values)
