"""What one piece of work costs beside a thousand deliveries, a hundred thousand, and a million."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks import databases, past, rows
from benchmarks.databases import Contestant
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, Trial, play, timed
from kaspi_delivery_django import tracking
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.outbox import claims
from kaspi_delivery_django.services.outbox.due_calls import select
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import report
from tests.shop.models import Order

SHOWN: Sequence[str] = ("statements",)
SHARES = (1000, 10, 1)
MOST_RATIO = 1.3
READS_PER_WRITE = 10
OK = 200
BATCH = 100
STRIDE = 7919  # a prime, so that the pages lie far apart


def run(options: Options) -> Iterator[Figure]:
    """Fill three databases on each engine, and do the same work in each in turn."""
    sizes = [max(1, options.rows // share) for share in SHARES]
    for engine in databases.ENGINES:
        with ExitStack() as stack:
            made = (databases.created(engine, options, f"scaling_{size}") for size in sizes)
            contestants = stack.enter_context(databases.started([stack.enter_context(one) for one in made]))
            named = {f"{size:,}": contestant for size, contestant in zip(sizes, contestants, strict=True)}
            for size, contestant in zip(sizes, contestants, strict=True):
                contestant.do(past.create, size)  # one after the other: each is heavy
            for figure in play(list(_trials(engine, named, options.requests)), options.rounds):
                yield figure.limited(MOST_RATIO)


def webhooks(count: int) -> Sample:
    """Post webhooks of deliveries that were booked just now, in process through the whole of Django."""
    return _timed(partial(_post, Client()), lambda: rows.webhooks(rows.add_booked(count)))


def claims_of_creates(count: int) -> Sample:
    """Claim creates that are due, and build their payloads."""
    return _timed(claims.claim, lambda: rows.add_due(count, is_built=False))


def orders(count: int) -> Sample:
    """Save new orders, each in a transaction."""
    return _timed(_save, lambda: range(count))


def due_calls(count: int) -> Sample:
    """Read a worker's next batch, with two batches due."""
    read = partial(select, limit=BATCH)
    return _timed(lambda _call: read(), lambda: rows.add_due(2 * BATCH, is_built=False)[:count])


def idle_rounds(count: int) -> Sample:
    """Run a worker's rounds with nothing to do."""
    worker = Worker(log=lambda _line: None)
    return _timed(lambda _number: not worker.run_round(), lambda: range(count))


def pages(count: int) -> Sample:
    """Show customers the pages of deliveries that lie far apart."""
    client, last = Client(), rows.last()
    keys = [1 + number * STRIDE % last for number in range(count)]
    paths = [tracking.tracking_path(delivery) for delivery in Delivery.objects.filter(pk__in=keys)]
    return _timed(lambda path: client.get(path).status_code == OK, lambda: paths)


def reports(count: int) -> Sample:
    """Read the figures of `kaspi_report`."""
    return _timed(lambda _number: report.read(), lambda: range(count))


WRITES = {"webhook": webhooks, "claim": claims_of_creates, "order's first save": orders}
READS = {
    "due calls, a batch": due_calls,
    "worker's idle round": idle_rounds,
    "customer's page": pages,
    "kaspi_report": reports,
}


def _trials(engine: str, named: dict[str, Contestant], times: int) -> Iterator[Trial]:
    for works, count in ((WRITES, times), (READS, max(1, times // READS_PER_WRITE))):
        for label, work in works.items():
            contestants = {size: partial(contestant.do, work, count) for size, contestant in named.items()}
            yield Trial(label=f"{engine}: {label}", contestants=contestants)


def _timed(work: Callable[[Any], object], create: Callable[[], Iterable[Any]]) -> Sample:
    """Do the work for each thing created; raise `RuntimeError` if one returns nothing; remove all new rows.

    The last one's statements are counted.
    """
    newest = rows.last()
    *things, counted = create()
    done: list[bool] = []
    timing = timed(lambda: done.extend(bool(work(thing)) for thing in things or [counted]))
    with CaptureQueriesContext(connection) as captured:
        done.append(bool(work(counted)))
    rows.remove_after(newest)
    if not all(done):
        raise RuntimeError(f"{done.count(False)} of {len(done)} came to nothing")
    ms = timing.elapsed_s * 1000 / (len(things) or 1)
    return Sample(ms=ms, facts={"statements": rows.statements(captured)})


def _save(_number: int) -> Order:
    with transaction.atomic():
        return Order.objects.create()


def _post(client: Client, webhook: tuple[dict[str, str], bytes]) -> bool:
    headers, body = webhook
    response = client.post("/kaspi/webhook/", body, content_type="application/json", headers=headers)
    return response.status_code == OK
