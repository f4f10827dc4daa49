"""Let contestants take turns: what slows the machine down for a while then slows all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, Sample
from benchmarks.plan import say


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One thing that is measured for each contestant. The first try of each is not counted."""

    label: str
    contestants: Mapping[str, Callable[[], Sample]]


def play(trials: Sequence[Trial], rounds: int) -> Iterator[Figure]:
    """Try everything once without counting, then so many times, and return a figure for each trial."""
    say(f"warming up: {len(trials)} trials")
    taken = [_taken(trial, backwards=False) for trial in trials]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        again = [_taken(trial, backwards=number % 2 == 1) for trial in trials]
        taken = again if number == 0 else [_added(so_far, new) for so_far, new in zip(taken, again, strict=True)]
    for trial, samples in zip(trials, taken, strict=True):
        yield Figure(label=trial.label, samples=samples)


def _taken(trial: Trial, *, backwards: bool) -> dict[str, list[Sample]]:
    names = list(trial.contestants)
    found = {name: [trial.contestants[name]()] for name in (reversed(names) if backwards else names)}
    return {name: found[name] for name in names}


def _added(so_far: dict[str, list[Sample]], new: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    return {name: [*samples, *new[name]] for name, samples in so_far.items()}
