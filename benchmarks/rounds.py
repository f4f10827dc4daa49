"""Run trials in rounds. Contestants take turns, so that a busy machine slows all of them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Figure, Sample


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run: PostgreSQL's address, deliveries of the largest database, requests of a round."""

    server: str
    rows: int
    rounds: int
    requests: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One measurement for each contestant."""

    label: str
    contestants: Mapping[str, Callable[[], Sample]]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The seconds that passed, and those that this process computed."""

    elapsed_s: float
    computed_s: float

    @property
    def busy(self) -> int:
        """The share of the time that this process computed, in percent."""
        return round(self.computed_s / self.elapsed_s * 100)


def timed(work: Callable[[], object]) -> Timing:
    """Run `work`, and return its time."""
    began, computed = time.perf_counter(), time.process_time()
    work()
    return Timing(elapsed_s=time.perf_counter() - began, computed_s=time.process_time() - computed)


def play(trials: Sequence[Trial], rounds: int) -> Iterator[Figure]:
    """Run all trials once without counting, then `rounds` times; yield a figure for each trial."""
    log(f"warming up: {len(trials)} trials")
    for trial in trials:
        _samples(trial, backwards=False)
    found: list[dict[str, list[Sample]]] = [{name: [] for name in trial.contestants} for trial in trials]
    for number in range(rounds):
        log(f"round {number + 1} of {rounds}")
        for trial, samples in zip(trials, found, strict=True):
            for name, sample in _samples(trial, backwards=number % 2 == 1):
                samples[name].append(sample)
    for trial, samples in zip(trials, found, strict=True):
        yield Figure(label=trial.label, samples=samples)


def log(line: str) -> None:
    """Write the progress to stderr, so that stdout has the report alone."""
    sys.stderr.write(f"{line}\n")


def _samples(trial: Trial, *, backwards: bool) -> list[tuple[str, Sample]]:
    names = list(trial.contestants)
    return [(name, trial.contestants[name]()) for name in (reversed(names) if backwards else names)]
