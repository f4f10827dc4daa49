"""The races: as many calls for each contestant, round after round, and what the ideal would take."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from django.core.management import call_command

from benchmarks import engines, local, processes
from benchmarks.dispatch import by_hand, kaspi, ours, rows
from benchmarks.figures import Figure, Sample
from benchmarks.plan import Plan
from benchmarks.processes import Contestant
from benchmarks.rounds import Trial, play

SHOWN = ("calls/s", "of ideal", "busy %")
SETTINGS = "benchmarks.local"
THREADS = (1, 8, 32)
ROUNDS_OF_ONE = 16  # one thread has a sixteenth of the calls
LEAST_OF_IDEAL = {8: 0.9, 32: 0.65}

Work = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Course:
    """A database, by two processes that know it, and so many calls for each run."""

    first: Contestant
    second: Contestant
    calls: int

    def send(self, work: Work, threads: int, *, frozen: bool = True) -> Sample:
        """Have calls sent and settled, and look that they are."""
        calls = self.calls if threads > 1 else max(1, self.calls // ROUNDS_OF_ONE)
        self._prepare(calls, frozen=frozen)
        elapsed_s, computed_s = self.first.do(timed, work, threads)
        if self.first.do(rows.unfinished):
            raise RuntimeError(f"{work.__module__} left calls where they were")
        ideal_s = calls * kaspi.LATENCY_S / threads
        facts = {"of ideal": round(ideal_s / elapsed_s, 2), "busy %": round(computed_s / elapsed_s * 100)}
        return _sample(elapsed_s, calls, facts)

    def claim(self, claimants: int) -> Sample:
        """Have calls claimed, by one or by both, and look that nobody has another's."""
        self._prepare(self.calls, frozen=True)
        begun = [one.begin(ours.claim_all) for one in (self.first, self.second)[:claimants]]
        ended = [future.result() for future in begun]
        claimed = [pk for _elapsed_s, pks in ended for pk in pks]
        if len(set(claimed)) != self.calls or len(claimed) != self.calls:
            raise RuntimeError(f"{len(claimed)} claims of {self.calls} calls")
        return _sample(max(elapsed_s for elapsed_s, _pks in ended), self.calls, {"of ideal": 0, "busy %": 0})

    def _prepare(self, calls: int, *, frozen: bool) -> None:
        self.first.do(rows.empty)
        self.first.do(rows.add, calls, frozen=frozen)


def run(plan: Plan) -> Iterator[Figure]:
    """Race on each engine."""
    with kaspi.answering() as (port, _process):
        os.environ[local.PORT] = str(port)
        for engine in engines.NAMES:
            with engines.made(engine, plan, "dispatch") as url, processes.started([url, url], SETTINGS) as pair:
                pair[0].do(call_command, "migrate", verbosity=0, run_syncdb=True)
                course = Course(first=pair[0], second=pair[1], calls=2 * plan.requests)
                for figure in play(list(_trials(engine, course)), plan.rounds):
                    yield _judged(figure, engine)


def timed(work: Work, threads: int) -> tuple[float, float]:
    """Do it; return the seconds it took, and those that this process computed meanwhile."""
    began, computed = time.perf_counter(), time.process_time()
    work(threads)
    return time.perf_counter() - began, time.process_time() - computed


def _trials(engine: str, course: Course) -> Iterator[Trial]:
    for threads in THREADS:
        yield Trial(
            label=_label(engine, threads),
            contestants={
                "by hand": partial(course.send, by_hand.send_all, threads),
                "ours": partial(course.send, ours.send_all, threads),
            },
        )
    yield Trial(
        label=f"{engine}, 32 threads, built meanwhile",
        contestants={
            "frozen": partial(course.send, ours.send_all, 32),
            "built": partial(course.send, ours.send_all, 32, frozen=False),
        },
    )
    yield Trial(
        label=f"{engine}, claims alone",
        contestants={"two": partial(course.claim, 2), "one": partial(course.claim, 1)},
    )


def _label(engine: str, threads: int) -> str:
    return f"{engine}, {threads} thread{'s' if threads > 1 else ''}"


def _sample(elapsed_s: float, calls: int, facts: dict[str, float]) -> Sample:
    return Sample(ms=elapsed_s * 1000 / calls, facts={"calls/s": round(calls / elapsed_s), **facts})


def _judged(figure: Figure, engine: str) -> Figure:
    """Mark what is further from the ideal than it may be."""
    aims = {_label(engine, threads): least for threads, least in LEAST_OF_IDEAL.items() if engine == "postgresql"}
    least = aims.get(figure.label, 0.0)
    share = figure.fact("of ideal", list(figure.samples)[-1])
    return replace(figure, marks=[f"{share:.2f} of the ideal, not {least:g}"] if share < least else [])
