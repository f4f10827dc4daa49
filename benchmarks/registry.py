"""Which benchmarks there are: each is a module of this package, whose docstring says what it measures."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Protocol, cast

from benchmarks.figures import Figure
from benchmarks.plan import Plan

NAMES = ("admin", "webhook", "orders", "client", "dispatch", "imports", "scaling", "bulk")


class Benchmark(Protocol):
    """What such a module has. `SHOWN` names the facts that get a column in the report."""

    __doc__: str
    SHOWN: Sequence[str]

    def run(self, plan: Plan) -> Iterator[Figure]:
        """Measure, and yield the figures."""


def load(name: str) -> Benchmark:
    """Return a benchmark. Django must be set up, because its modules know the models."""
    return cast("Benchmark", import_module(f"benchmarks.{name}"))
