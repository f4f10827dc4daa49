"""What it takes to claim and send calls that are due, beside a loop by hand, and the ideal of HTTP alone."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import by_hand, databases, kaspi, rows
from benchmarks.databases import Contestant
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, Timing, Trial, play, timed
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.services.outbox.worker import Worker

SHOWN = ("calls/s", "of ideal", "busy %", "statements")
THREADS = (1, 8, 32)
SHARE_OF_ONE = 16  # one thread sends a sixteenth of the calls
LEAST_OF_IDEAL = {8: 0.9, 32: 0.65}
COUNTED = 64

Send = Callable[[int], None]


def run(options: Options) -> Iterator[Figure]:
    """Send on each engine."""
    with kaspi.running() as address:
        os.environ[kaspi.BASE_URL] = f"{address}{kaspi.LATE}"
        for engine in databases.ENGINES:
            with databases.created(engine, options, "dispatch") as url, databases.started([url]) as [database]:
                database.do(databases.migrate)
                send = partial(_send, database, 2 * options.requests)
                for figure in play(list(_trials(engine, send)), options.rounds):
                    yield _limited(figure, engine)


def _send(database: Contestant, most: int, work: Send, threads: int, *, is_built: bool = True) -> Sample:
    """Send calls and record their results; raise `RuntimeError` if any is left."""
    calls = most if threads > 1 else max(1, most // SHARE_OF_ONE)
    timing, statements = database.do(send_due, work, threads, calls, is_built=is_built)
    facts = {
        "calls/s": round(calls / timing.elapsed_s),
        "of ideal": round(calls * kaspi.LATENCY_S / threads / timing.elapsed_s, 2),
        "busy %": timing.busy,
        "statements": statements,
    }
    return Sample(ms=timing.elapsed_s * 1000 / calls, facts=facts)


def by_worker(threads: int) -> None:
    """Send as `kaspi_worker --once --threads N` does."""
    Worker(log=lambda _line: None, threads=threads).run_until_idle()


def send_due(work: Send, threads: int, calls: int, *, is_built: bool) -> tuple[Timing, float]:
    """Send calls; return their time, and the statements of a call among some that are sent afterwards."""
    add(calls, is_built=is_built)
    timing = timed(partial(work, threads))
    _require_sent()
    counted = min(calls, COUNTED)
    add(counted, is_built=is_built)
    with CaptureQueriesContext(connection) as captured:
        work(threads)
    return timing, round(rows.statements(captured) / counted, 1)


def add(calls: int, *, is_built: bool) -> None:
    """Replace all rows by calls that are due."""
    rows.remove_after(0)
    rows.add_due(calls, is_built=is_built)


def _require_sent() -> None:
    unsent = ApiCall.objects.exclude(state=ApiCall.State.DONE).count()
    unbooked = Delivery.objects.filter(delivery_id__isnull=True).count()
    steps = StatusChange.objects.filter(to_status="created").count()
    if unsent or unbooked or steps != Delivery.objects.count():
        raise RuntimeError(f"{unsent} calls are not sent, {unbooked} deliveries not booked")


def _trials(engine: str, send: Callable[..., Sample]) -> Iterator[Trial]:
    for threads in THREADS:
        yield Trial(
            label=f"{engine}: --threads {threads}",
            contestants={
                "by hand": partial(send, by_hand.send_all, threads),
                "ours": partial(send, by_worker, threads),
            },
        )
    yield Trial(
        label=f"{engine}: --threads 32, built meanwhile",
        contestants={
            "built before": partial(send, by_worker, 32),
            "built meanwhile": partial(send, by_worker, 32, is_built=False),
        },
    )


def _limited(figure: Figure, engine: str) -> Figure:
    """Mark a share of the ideal that is too small, on PostgreSQL: SQLite has one writer."""
    limits = {f"{engine}: --threads {threads}": least for threads, least in LEAST_OF_IDEAL.items()}
    least = limits.get(figure.label, 0.0) if engine == "postgresql" else 0.0
    share = figure.fact("of ideal", list(figure.samples)[-1])
    return replace(figure, marks=[f"{share:.2f} of the ideal, not {least:g}"] if share < least else [])
