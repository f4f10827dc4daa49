"""What one piece of work costs beside a thousand deliveries, a hundred thousand, and a million."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from django.core.management import call_command

from benchmarks import engines, processes
from benchmarks.figures import Figure
from benchmarks.plan import Plan, say
from benchmarks.processes import Contestant
from benchmarks.rounds import Trial, play
from benchmarks.scaling import works
from benchmarks.year import past
from kaspi_delivery_django.models import Delivery

SHOWN: Sequence[str] = ()
SHARES = (1000, 10, 1)
MOST_RATIO = 1.3
READS = 10


def run(plan: Plan) -> Iterator[Figure]:
    """Fill three databases on each engine, and do the same here and there in turn."""
    sizes = [max(1, plan.rows // share) for share in SHARES]
    for engine in engines.NAMES:
        with ExitStack() as until_measured:
            urls = [until_measured.enter_context(engines.made(engine, plan, f"scaling_{size}")) for size in sizes]
            contestants = until_measured.enter_context(processes.started(urls))
            for contestant, size in zip(contestants, sizes, strict=True):
                contestant.do(prepare, size)  # one after the other: each is heavy
            named = {f"{size:,}": contestant for size, contestant in zip(sizes, contestants, strict=True)}
            yield from map(_judged, play(_trials(engine, named, plan.requests), plan.rounds))


def prepare(size: int) -> None:
    """Bring a database to today's schema, and fill it unless it was kept."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    if not Delivery.objects.exists():
        past.fill(size, say)


def _trials(engine: str, named: dict[str, Contestant], times: int) -> list[Trial]:
    writes = {"webhook": works.webhooks, "claim": works.claims, "order's first save": works.orders}
    reads = {
        "due calls, a batch": works.due_calls,
        "worker's idle round": works.idle_rounds,
        "customer's page": works.pages,
        "kaspi_report": works.reports,
    }
    counts = [*((label, work, times) for label, work in writes.items())]
    counts += [(label, work, max(1, times // READS)) for label, work in reads.items()]
    return [
        Trial(
            label=f"{engine}: {label}",
            contestants={size: partial(contestant.do, work, count) for size, contestant in named.items()},
        )
        for label, work, count in counts
    ]


def _judged(figure: Figure) -> Figure:
    """Mark what costs more the more there is."""
    is_above = (figure.ratio or 0) > MOST_RATIO
    return replace(figure, marks=[f"ratio above {MOST_RATIO:g}"] if is_above else [])
