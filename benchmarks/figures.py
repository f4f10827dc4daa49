"""What is measured, as values: samples of contestants, and the figure that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement, in milliseconds, with what else was counted meanwhile."""

    ms: float
    facts: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The samples of one thing by contestant, the one that the others are compared with first.

    `marks` say what is above a limit; `notes` are for whoever wants to know why.
    """

    label: str
    samples: Mapping[str, Sequence[Sample]]
    marks: Sequence[str] = ()
    notes: Sequence[str] = ()

    def ms(self, contestant: str) -> float:
        """Return the median."""
        return median(sample.ms for sample in self.samples[contestant])

    def range_ms(self, contestant: str) -> tuple[float, float]:
        """Return the fastest and the slowest."""
        times = [sample.ms for sample in self.samples[contestant]]
        return min(times), max(times)

    def fact(self, name: str, contestant: str) -> float:
        """Return the median of what was counted."""
        return median(sample.facts[name] for sample in self.samples[contestant])

    @property
    def ratio(self) -> float | None:
        """How many times slower the last contestant is than the first; None when it is alone."""
        first, *others = self.samples or [""]
        return self.ms(others[-1]) / self.ms(first) if others else None

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        facts = {name for samples in self.samples.values() for name in samples[0].facts}
        return {
            "label": self.label,
            "ms": {name: [sample.ms for sample in samples] for name, samples in self.samples.items()},
            "median_ms": {name: self.ms(name) for name in self.samples},
            "ratio": self.ratio,
            "facts": {fact: {name: self.fact(fact, name) for name in self.samples} for fact in sorted(facts)},
            "marks": list(self.marks),
            "notes": list(self.notes),
        }
