"""Importing the app: what fresh interpreters compute that set a shop up, with and without it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.figures import Figure, Sample
from benchmarks.plan import Plan
from benchmarks.rounds import Trial, play

SHOWN = ("wall ms", "modules")
WITHOUT, WITH = "without", "with"
MOST_MS = 60
OWN = {"kaspi_delivery_django", "environ"}
SHOPS = {  # by what the process without us does, and what ours does besides
    "REST framework in use, our addresses": (["used"], ["urls"]),
    "the same, settings from the environment": (["used"], ["urls", "env"]),
    "REST framework installed, set up alone": ([], []),
    "the same, and our addresses": ([], ["urls"]),
    "the same, and a client": ([], ["urls", "sends"]),
}
LIMITED = tuple(SHOPS)[:3]  # the rest have to import REST framework, or requests, for the first time


def run(plan: Plan) -> Iterator[Figure]:
    """Start them by turns."""
    trials = [
        Trial(label=label, contestants={WITHOUT: partial(fresh, base), WITH: partial(fresh, [*base, "app", *more])})
        for label, (base, more) in SHOPS.items()
    ]
    for figure in play(trials, plan.rounds):
        base, more = SHOPS[figure.label]
        guests = sorted({*started([*base, "app", *more])["names"]} - {*started(base)["names"]} - OWN)
        yield _judged(replace(figure, notes=[f"brings {', '.join(guests)}"] if guests else []))


def fresh(words: list[str]) -> Sample:
    """Measure one interpreter, by what it computed: imports wait for nobody."""
    said = started(words)
    return Sample(ms=said["cpu_ms"], facts={"wall ms": round(said["wall_ms"]), "modules": said["count"]})


def started(words: list[str]) -> dict[str, Any]:
    """Start one, and return what it says. It has byte code to read, as after `pip install`: the first one writes it."""
    command = [sys.executable, "-m", "benchmarks.fresh", *words]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "KASPI_DELIVERY_API_KEY": "an-api-key"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603  # ours
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def _judged(figure: Figure) -> Figure:
    """Say what is added, and mark what is too much of it."""
    added = figure.ms(WITH) - figure.ms(WITHOUT)
    marks = [f"{added:.0f} ms more, not {MOST_MS}"] if figure.label in LIMITED and added > MOST_MS else []
    return replace(figure, marks=marks, notes=[f"{added:.0f} ms more", *figure.notes])
