"""What goes over many rows: how fast, and whether its memory stays flat."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from django.core.management import call_command

from benchmarks import engines, processes
from benchmarks.bulk import sweeps
from benchmarks.figures import Figure
from benchmarks.plan import Plan, say
from benchmarks.year import past

SHOWN = ("rows", "rows/s", "peak MiB")
SETTINGS = "benchmarks.bulk_settings"
SMALL, LARGE = "small", "large"
SMALL_ROWS = 1000
MOST_GROWTH_MIB = 30
SWEEPS = {  # in this order: each leaves what the next needs
    "enqueue": sweeps.enqueue,
    "replay, dry run": sweeps.look_at_replay,
    "replay": sweeps.replay,
    "refresh": sweeps.refresh,
    "worker": sweeps.work,
    "prune": sweeps.prune,
}


def run(plan: Plan) -> Iterator[Figure]:
    """Fill a small and a large database on each engine, and sweep each once: nothing is left for a second time."""
    sizes = {SMALL: min(SMALL_ROWS, plan.rows), LARGE: plan.rows}
    for engine in engines.NAMES:
        with ExitStack() as until_measured:
            made = (engines.made(engine, replace(plan, keep=False), f"bulk_{name}") for name in sizes)
            urls = [until_measured.enter_context(database) for database in made]
            _prepare(urls, list(sizes.values()))
            for label, sweep in SWEEPS.items():
                say(f"{engine}: {label}")
                with processes.started(urls, SETTINGS) as fresh:
                    for ready in [process.begin(os.getpid) for process in fresh]:
                        ready.result()
                    both = zip(sizes.items(), fresh, strict=True)
                    samples = {name: [process.do(sweep, size)] for (name, size), process in both}
                yield _judged(Figure(label=f"{engine}: {label}", samples=samples))


def fill(size: int) -> None:
    """Write a past with one event for each delivery."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    past.fill(size, say, events=1)


def _prepare(urls: list[str], sizes: list[int]) -> None:
    with processes.started(urls, SETTINGS) as contestants:
        for contestant, size in zip(contestants, sizes, strict=True):
            contestant.do(fill, size)


def _judged(figure: Figure) -> Figure:
    """Mark what needs more memory the more rows there are."""
    growth = figure.fact("peak MiB", LARGE) - figure.fact("peak MiB", SMALL)
    return replace(figure, marks=[f"{growth:.0f} MiB more"] if growth > MOST_GROWTH_MIB else [])
