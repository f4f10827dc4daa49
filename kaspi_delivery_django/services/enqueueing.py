"""Find orders that have no delivery although their adapter wants one, and book them.

A bulk_create, an update() or a fixture sends no signal, and a process may die between an order's
commit and its delivery's.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import InterfaceError, OperationalError, models

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import booking, failures, following
from kaspi_delivery_django.services.failures import AdapterFailed, ask
from kaspi_delivery_django.services.transactions import durably, home

logger = logging.getLogger(__name__)


def enqueue(adapter: AnyAdapter, *, batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Book an adapter's orders that have no delivery, and yield the counts of each batch.

    They are `seen`, `booked` and `failed`: what the adapter failed on waits for a person.
    Raises `AdapterFailed` when `orders_to_enqueue` does.
    """
    using = home()
    orders = ask(adapter.orders_to_enqueue)
    for chunk in () if orders is None else ask(_chunks, orders.using(using), batch):
        ends = [_end(adapter, order, dry_run) for order in _without_delivery(adapter, chunk, using)]
        yield Counter(seen=len(chunk), **Counter(end for end in ends if end))


def _chunks(orders: models.QuerySet[Any], size: int) -> Iterator[Sequence[models.Model]]:
    ordered = orders.order_by("pk")
    chunk = list(ordered[:size])
    while chunk:
        yield chunk
        chunk = list(ordered.filter(pk__gt=chunk[-1].pk)[:size])


def _without_delivery(adapter: AnyAdapter, orders: Sequence[models.Model], using: str) -> list[models.Model]:
    content_type = ContentType.objects.db_manager(using).get_for_model(adapter.model_class())
    known = Delivery.objects.using(using).filter(
        content_type=content_type,
        object_id__in=[str(order.pk) for order in orders],
        environment__in={account.environment for account in conf.current().accounts.values()},
    )
    taken = set(known.values_list("object_id", flat=True))
    return [order for order in orders if str(order.pk) not in taken]


def _end(adapter: AnyAdapter, order: models.Model, dry_run: bool) -> str:  # noqa: FBT001  # private
    work = partial(_would_book if dry_run else _book, adapter, order)
    try:
        return durably(work, using=home())
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:  # noqa: BLE001  # one bad order must not stop the others
        logger.error("order not enqueued: pk=%s error=%s", order.pk, failures.describe(err))  # noqa: TRY400
        return "failed"


def _would_book(adapter: AnyAdapter, order: models.Model) -> str:
    return "booked" if following.wants_booking(adapter, order) else ""


def _book(adapter: AnyAdapter, order: models.Model) -> str:
    try:
        if not following.wants_booking(adapter, order):
            return ""
        delivery = booking.request_delivery(order)
    except AdapterFailed as err:
        delivery = booking.set_aside(adapter, order, err)
    return "failed" if delivery.attention == Attention.ADAPTER_FAILED else "booked"
