"""What goes over many rows: how fast, and whether its memory stays flat."""

import io
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from benchmarks import databases, kaspi, past, rows
from benchmarks.databases import Result
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, log, timed
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.statuses import IN_TRANSIT
from tests.shop.models import Order

SHOWN = ("rows", "rows/s", "peak MiB")
SMALL, LARGE = "small", "large"
SMALL_ROWS = 1000
MOST_GROWTH_MIB = 30
LATE_ORDERS = 20
SHARE = 50  # one event in so many is replayed
MOST_SILENT = 2000
PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def run(options: Options) -> Iterator[Figure]:
    """Fill a small and a large database on each engine, and sweep each once, in a process of its own."""
    sizes = {SMALL: min(SMALL_ROWS, options.rows), LARGE: options.rows}
    for engine in databases.ENGINES:
        with ExitStack() as stack:
            os.environ[kaspi.BASE_URL] = f"{stack.enter_context(kaspi.running())}/delivery"
            urls = [stack.enter_context(databases.created(engine, options, f"bulk_{name}")) for name in sizes]
            _sweep(urls, sizes, partial(past.create, events=1))
            for label, sweep in SWEEPS.items():
                log(f"{engine}: {label}")
                samples = {name: [sample] for name, sample in _sweep(urls, sizes, sweep).items()}
                yield _limited(Figure(label=f"{engine}: {label}", samples=samples))


def _sweep(urls: Sequence[str], sizes: Mapping[str, int], work: Callable[[int], Result]) -> dict[str, Result]:
    with databases.started(urls) as processes:
        both = zip(sizes.items(), processes, strict=True)
        return {name: process.do(work, size) for (name, size), process in both}


def enqueue(_size: int) -> Sample:
    """Look through all orders for the few without a delivery, and book them."""
    Order.objects.bulk_create(Order() for _ in range(LATE_ORDERS))
    before = Delivery.objects.count()
    sample = _timed(lambda: _call("kaspi_enqueue"), Order.objects.count() - LATE_ORDERS)
    _require(is_done=Delivery.objects.count() - before == LATE_ORDERS)
    return sample


def replay(size: int) -> Sample:
    """Apply some events again."""
    some = max(1, size // SHARE)
    WebhookEvent.objects.filter(pk__gt=size - some).update(state=WebhookEvent.State.FAILED)
    failed = WebhookEvent.objects.filter(state=WebhookEvent.State.FAILED)
    sample = _timed(lambda: _call("kaspi_replay"), failed.count())
    _require(is_done=not failed.exists())
    return sample


def work(size: int) -> Sample:
    """Run a worker that schedules a GET for each silent delivery, and sends it; Kaspi answers at once."""
    ApiCall.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=None, state=ApiCall.State.ABANDONED)
    newest = rows.last() - LATE_ORDERS - min(MOST_SILENT, size)
    silent = Delivery.objects.filter(pk__gt=newest, delivery_id__isnull=False)
    count = silent.update(status=IN_TRANSIT, next_refresh_at=timezone.now() - timedelta(hours=1))
    sample = _timed(Worker(log=lambda _line: None).run_until_idle, count)
    refreshed = ApiCall.objects.filter(kind=ApiCall.Kind.REFRESH, state=ApiCall.State.DONE)
    _require(is_done=refreshed.filter(delivery__in=silent).count() == count)
    return sample


def export(size: int) -> Sample:
    """Read the list of deliveries as a CSV file, as a browser gets it."""
    client = Client(raise_request_exception=True)
    client.force_login(User.objects.create(username="staff", is_staff=True, is_superuser=True))
    streamed: Any = client.get(reverse("admin:kaspi_delivery_export"))
    lines = list[int]()
    sample = _timed(lambda: lines.extend(part.count(b"\r\n") for part in streamed), size)
    _require(is_done=sum(lines) > size)
    return sample


def prune(size: int) -> Sample:
    """Delete a year's events, and blank a year's deliveries."""
    return _timed(lambda: _call("kaspi_prune", "--events-days=7", "--personal-days=7"), size)


SWEEPS = {"enqueue": enqueue, "replay": replay, "worker": work, "export": export, "prune": prune}  # in this order


def _call(*command: str) -> None:
    call_command(*command, stdout=io.StringIO())


def _timed(sweep: Callable[[], None], count: int) -> Sample:
    """Return the time of one row, and the most memory that this process ever had."""
    elapsed_s = timed(sweep).elapsed_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MIB
    facts = {"rows": count, "rows/s": round(count / elapsed_s), "peak MiB": round(peak)}
    return Sample(ms=elapsed_s * 1000 / count, facts=facts)


def _limited(figure: Figure) -> Figure:
    """Mark a sweep whose memory grows with the rows."""
    growth = figure.fact("peak MiB", LARGE) - figure.fact("peak MiB", SMALL)
    return replace(figure, marks=[f"{growth:.0f} MiB more"] if growth > MOST_GROWTH_MIB else [])


def _require(*, is_done: bool) -> None:
    if not is_done:
        raise RuntimeError("the sweep left rows as they were")
