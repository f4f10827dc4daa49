"""The pieces of work that are measured, with rows of their own that go afterwards. Runs in a contestant's process."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client
from django.utils import timezone

from benchmarks.figures import Sample
from benchmarks.webhook import inside, requests
from benchmarks.webhook.rows import delivery_id, external_order_id
from kaspi_delivery_django import tracking
from kaspi_delivery_django.figures import report
from kaspi_delivery_django.lifecycle import CREATED
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services import claims as claiming
from kaspi_delivery_django.services import outbox
from kaspi_delivery_django.services.transactions import home
from kaspi_delivery_django.services.worker import Worker
from tests.shop.models import Order

OK = 200
BATCH = 100
STRIDE = 7919  # a prime, so that the pages asked for lie far apart


def webhooks(count: int) -> Sample:
    """Take news of deliveries that were booked just now, in process through the whole of Django."""
    with _booked(count) as first:
        elapsed_s, _computed_s = inside.take(list(requests.kaspi("/kaspi/webhook/", first, count)), OK)
    return Sample(ms=elapsed_s * 1000 / count, facts={})


def claims(count: int) -> Sample:
    """Claim creates that are due, with the payload that each is given then."""
    with _due(count) as calls:
        return _timed(lambda call: claiming.take(call, using=home()), calls)


def due_calls(count: int) -> Sample:
    """Find a worker's next batch among two of them."""
    with _due(2 * BATCH):
        return _timed(lambda _number: outbox.due_calls(limit=BATCH), range(count))


def idle_rounds(count: int) -> Sample:
    """Let a worker look round when there is nothing to do."""
    worker = Worker(say=lambda _line: None)
    return _timed(lambda _number: not worker.run_round(), range(count))


def orders(count: int) -> Sample:
    """Save new orders, each in a transaction, with the hook that intends the booking."""
    last = _last()
    sample = _timed(_order, range(count))
    _take_back(last)
    return sample


def pages(count: int) -> Sample:
    """Show customers the pages of deliveries that lie far apart."""
    client, last = Client(), _last()
    keys = [1 + number * STRIDE % last for number in range(count)]
    paths = [tracking.tracking_path(delivery) for delivery in Delivery.objects.filter(pk__in=keys)]
    return _timed(lambda path: client.get(path).status_code == OK, paths)


def reports(count: int) -> Sample:
    """Read all figures."""
    return _timed(lambda _number: report.read(), range(count))


def _timed(work: Callable[[Any], object], each: Iterable[Any]) -> Sample:
    """Do it with each, and return what one took. What comes to nothing does not count."""
    things: Sequence[Any] = list(each)
    began = time.perf_counter()
    done = [bool(work(thing)) for thing in things]
    ms = (time.perf_counter() - began) * 1000
    if not all(done):
        raise RuntimeError(f"{done.count(False)} of {len(done)} came to nothing")
    return Sample(ms=ms / len(things), facts={})


def _order(_number: int) -> Order:
    with transaction.atomic():
        return Order.objects.create()


@contextmanager
def _booked(count: int) -> Iterator[int]:
    """Write deliveries that Kaspi has booked, with their orders; yield the number of the first."""
    first, now = _last() + 1, timezone.now()
    numbers = range(first, first + count)
    kind = ContentType.objects.get_for_model(Order)
    Order.objects.bulk_create(Order(pk=number) for number in numbers)
    Delivery.objects.bulk_create(
        Delivery(
            pk=number,
            account="default",
            environment="production",
            content_type=kind,
            object_id=str(number),
            external_order_id=external_order_id(number),
            delivery_id=delivery_id(number),
            status=CREATED,
            status_at=now,
            next_refresh_at=now + timedelta(hours=1),
        )
        for number in numbers
    )
    yield first
    _take_back(first - 1)


@contextmanager
def _due(count: int) -> Iterator[list[int]]:
    """Write creates that are due; yield their keys."""
    now = timezone.now()
    with _booked(count) as first:
        own = Delivery.objects.filter(pk__gte=first)
        own.update(delivery_id=None, status="", status_at=None, next_refresh_at=None)
        due = timedelta(minutes=1)
        ApiCall.objects.bulk_create(
            ApiCall(
                delivery=delivery,
                kind=ApiCall.Kind.CREATE,
                idempotency_key=external_order_id(delivery.pk),
                queued_at=now,
                next_attempt_at=now - due,
            )
            for delivery in own
        )
        yield list(ApiCall.objects.filter(delivery_id__gte=first).values_list("pk", flat=True))


def _last() -> int:
    return Delivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _take_back(last: int) -> None:
    """Delete what came after the last of the past."""
    WebhookEvent.objects.filter(delivery_id__gt=last).delete()
    orders = list(Delivery.objects.filter(pk__gt=last).values_list("object_id", flat=True))
    Delivery.objects.filter(pk__gt=last).delete()
    Order.objects.filter(pk__in=orders).delete()
