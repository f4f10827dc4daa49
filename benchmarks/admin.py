"""What the operators' pages cost with a thousand deliveries, and with a million."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from django.core.management import call_command

from benchmarks import pages, postgres, processes
from benchmarks.figures import Figure
from benchmarks.pages import Page
from benchmarks.plan import Plan, say
from benchmarks.processes import Contestant
from benchmarks.rounds import Trial, play
from benchmarks.year.fill import fill
from kaspi_delivery_django.models import Delivery

SHOWN = ("queries", "rows", "sql ms")
SMALL, LARGE = "small", "large"
SMALL_ROWS = 1000
MOST_QUERIES = 12
MOST_RATIO = 3.0
OK = 200

Found = dict[str, dict[str, Page]]


def run(plan: Plan) -> Iterator[Figure]:
    """Fill two databases, find the pages, and render each in turn here and there."""
    sizes = (min(SMALL_ROWS, plan.rows // 10), plan.rows)
    with postgres.made(plan, [str(size) for size in sizes]) as urls, processes.started(urls) as contestants:
        for ready in [one.begin(prepare, size) for one, size in zip(contestants, sizes, strict=True)]:
            ready.result()
        both = dict(zip((SMALL, LARGE), contestants, strict=True))
        yield from _measure(plan, both, _found(both))


def prepare(rows: int) -> None:
    """Bring a database to today's schema, fill it unless it was kept, and hire the operator."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    if not Delivery.objects.exists():
        fill(rows, say)
    pages.hire()


def _found(both: dict[str, Contestant]) -> Found:
    """Return the pages of both by their label: some have no page 2, or no such choice in a filter."""
    found: Found = {}
    for name, contestant in both.items():
        for page in contestant.do(pages.find):
            found.setdefault(page.label, {})[name] = page
    return found


def _measure(plan: Plan, both: dict[str, Contestant], found: Found) -> Iterator[Figure]:
    trials = [
        Trial(label=label, contestants={name: partial(both[name].do, pages.render, page) for name, page in own.items()})
        for label, own in found.items()
    ]
    for figure in play(trials, plan.rounds):
        marks = _marks(figure)
        slower = list(figure.samples)[-1]
        wants_plan = plan.explain and marks
        notes = [both[slower].do(pages.explain, found[figure.label][slower])] if wants_plan else []
        yield replace(figure, marks=marks, notes=notes)
    if not any(label.startswith("dashboard") for label in found):
        yield Figure(label="dashboard", samples={}, notes=["skipped: there is no such page yet"])


def _marks(figure: Figure) -> Sequence[str]:
    queries = max(figure.fact("queries", name) for name in figure.samples)
    refused = {int(figure.fact("status", name)) for name in figure.samples} - {OK}
    marks = {
        f"more than {MOST_QUERIES} queries": queries > MOST_QUERIES,
        f"ratio above {MOST_RATIO:g}": (figure.ratio or 0) > MOST_RATIO,
        f"answered {refused}": bool(refused),
    }
    return [mark for mark, is_true in marks.items() if is_true]
