"""Saving an order in a transaction of its own, commit included: with us, beside the plain save."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from benchmarks import engines, processes
from benchmarks.figures import Figure, Sample
from benchmarks.plan import Plan
from benchmarks.processes import Contestant
from benchmarks.rounds import Trial, play
from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import nudges
from tests.shop.models import Order

SHOWN = ("µs", "statements", "busy %")
PLAIN, OTHER = "plain", "other"
MOST = {"first save, ": 2.5, "re-save, ": 1.3}

Work = Callable[[Order], object]


@dataclass(frozen=True, kw_only=True)
class Shops:
    """A process for each: without us, with a worker that sends, and with a runner in the shop's own process."""

    plain: Contestant
    worker: Contestant
    inline: Contestant


def run(plan: Plan) -> Iterator[Figure]:
    """Save on each engine."""
    for engine in engines.NAMES:
        with engines.made(engine, plan, "orders") as url, processes.started([url] * 3) as [plain, worker, inline]:
            plain.do(call_command, "migrate", verbosity=0, run_syncdb=True)
            plain.do(leave_alone)
            inline.do(nudge_inline)
            shops = Shops(plain=plain, worker=worker, inline=inline)
            trials = [_first_saves(engine, shops, plan.requests), _saves_again(engine, shops, plan.requests)]
            for together in play(trials, plan.rounds):
                yield from _judged(_pairs(together))


def leave_alone() -> None:
    """Make this process one of a shop that does not have us."""
    post_save.disconnect(dispatch_uid="kaspi_delivery.order_saved")


def nudge_inline() -> None:
    """Tell a runner of each call after the commit. It sends nothing: what Kaspi takes is not our time."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    nudges.RUNNERS["inline"] = f"{__name__}.send_nothing"


def send_nothing(_call_pk: int) -> None:
    """Stand in for the runner."""


def first_saves(count: int) -> Sample:
    """Save new orders, paid for: with us, each is booked."""
    return _timed([Order() for _ in range(count)], _committed)


def saves_again(count: int) -> Sample:
    """Save orders once more whose deliveries are under way."""
    return _timed(_shipped(count), _committed)


def inserts(count: int) -> Sample:
    """Insert orders into one transaction: what a row costs by itself."""
    with transaction.atomic():
        return _timed([Order() for _ in range(count)], _saved)


def savepoints(count: int) -> Sample:
    """Begin and end savepoints in one transaction."""
    with transaction.atomic():
        return _timed([Order() for _ in range(count)], _savepoint)


def _first_saves(engine: str, shops: Shops, count: int) -> Trial:
    return Trial(
        label=engine,
        contestants={
            PLAIN: partial(shops.plain.do, first_saves, count),
            "first save, worker": partial(shops.worker.do, first_saves, count),
            "first save, inline": partial(shops.inline.do, first_saves, count),
            "an insert": partial(shops.plain.do, inserts, count),
            "a savepoint": partial(shops.plain.do, savepoints, count),
        },
    )


def _saves_again(engine: str, shops: Shops, count: int) -> Trial:
    return Trial(
        label=engine,
        contestants={
            PLAIN: partial(shops.plain.do, saves_again, count),
            "re-save, worker": partial(shops.worker.do, saves_again, count),
            "re-save, inline": partial(shops.inline.do, saves_again, count),
        },
    )


def _pairs(together: Figure) -> Iterator[Figure]:
    plain, *others = together.samples
    for name in others:
        pair = {PLAIN: together.samples[plain], OTHER: together.samples[name]}
        yield Figure(label=f"{together.label}: {name}", samples=pair)


def _judged(pairs: Iterator[Figure]) -> Iterator[Figure]:
    """Mark what takes longer than it may."""
    for pair in pairs:
        ratio = pair.ms(OTHER) / pair.ms(PLAIN)
        limits = [most for name, most in MOST.items() if f": {name}" in pair.label and ratio > most]
        yield replace(pair, marks=[f"{ratio:.2f} times the plain save, not {most:g}" for most in limits])


def _timed(orders: Sequence[Order], work: Work) -> Sample:
    """Do it to each order, after one that is counted."""
    counted, *timed = orders
    with CaptureQueriesContext(connection) as statements:
        work(counted)
    began, computed = time.perf_counter(), time.process_time()
    for order in timed:
        work(order)
    elapsed_s, busy_s = time.perf_counter() - began, time.process_time() - computed
    ms = elapsed_s * 1000 / len(timed)
    facts = {"µs": round(ms * 1000), "statements": _of_the_save(statements), "busy %": round(busy_s / elapsed_s * 100)}
    return Sample(ms=ms, facts=facts)


def _of_the_save(statements: CaptureQueriesContext) -> int:
    """Count them without the transaction's own."""
    return sum(not said["sql"].startswith(("BEGIN", "COMMIT")) for said in statements.captured_queries)


def _committed(order: Order) -> None:
    with transaction.atomic():
        order.save()


def _saved(order: Order) -> None:
    order.save()


def _savepoint(_order: Order) -> None:
    with transaction.atomic():
        pass


def _shipped(count: int) -> list[Order]:
    """Make orders whose deliveries are under way, as read from the database."""
    booked = Order.objects.bulk_create([Order() for _ in range(count)])
    Delivery.objects.bulk_create([_delivery(order) for order in booked], batch_size=5000)
    return list(Order.objects.filter(pk__in=[order.pk for order in booked]))


def _delivery(order: Order) -> Delivery:
    name = f"order-{order.pk}"
    return Delivery(
        account="default",
        environment="production",
        content_type=ContentType.objects.get_for_model(Order),
        object_id=str(order.pk),
        external_order_id=name,
        delivery_id=f"dlv_{name}",
        status=lifecycle.ACCEPTED,
    )
