"""Saving an order in a transaction of its own, commit included: with the app, beside the plain save."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from django.db import connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from benchmarks import databases, rows
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, Trial, play, timed
from tests.shop.models import Order

SHOWN = ("µs", "statements", "busy %")
MOST = {"first save": 2.5, "re-save": 1.3}


def run(options: Options) -> Iterator[Figure]:
    """Save on each engine."""
    for engine in databases.ENGINES:
        with databases.created(engine, options, "orders") as url, databases.started([url] * 2) as [plain, ours]:
            plain.do(databases.migrate)
            plain.do(disconnect)
            shops = {"plain": plain, "ours": ours}
            for name, work in WORKS.items():
                contestants = {shop: partial(shops[shop].do, work, options.requests) for shop in shops}
                [figure] = play([Trial(label=f"{engine}: {name}", contestants=contestants)], options.rounds)
                yield figure.limited(MOST[name])


def disconnect() -> None:
    """Make this process one of a shop without the app."""
    post_save.disconnect(dispatch_uid="kaspi_delivery.order_saved")


def first_saves(count: int) -> Sample:
    """Save new orders that are paid: the app books each."""
    return _timed([Order() for _ in range(count)])


def re_saves(count: int) -> Sample:
    """Save orders with a delivery once more, as read from the database."""
    return _timed(list(Order.objects.filter(pk__in=rows.add_booked(count))))


WORKS: dict[str, Callable[[int], Sample]] = {"first save": first_saves, "re-save": re_saves}


def _timed(orders: Sequence[Order]) -> Sample:
    """Save the first with its statements counted, and the others with their time taken."""
    counted, *others = orders
    with CaptureQueriesContext(connection) as captured:
        _save([counted])
    timing = timed(lambda: _save(others))
    ms = timing.elapsed_s * 1000 / len(others)
    facts = {"µs": round(ms * 1000), "statements": rows.statements(captured), "busy %": timing.busy}
    return Sample(ms=ms, facts=facts)


def _save(orders: Iterable[Order]) -> None:
    for order in orders:
        with transaction.atomic():
            order.save()
