"""Book orders that sent no signal: `manage.py kaspi_enqueue`."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from kaspi_delivery_django import orders
from kaspi_delivery_django.management.batches import BatchCommand
from kaspi_delivery_django.management.exits import WRONG_USE
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.maintenance import backfill

MISSING = (
    "No adapter has orders_to_enqueue. Write it, so that old orders are not shipped again:"
    " def orders_to_enqueue(self): return Order.objects.filter(created_at__gte=...)"
)


class Command(BatchCommand):
    """Book the orders of the adapters' `orders_to_enqueue` that have no delivery; safe at any time."""

    help = "Book orders that have no delivery although their adapter wants one."

    def sweep(self, options: dict[str, Any]) -> Iterator[Counter[str]]:
        able = [adapter for adapter in orders.adapters().values() if _is_able(adapter)]
        if not able:
            raise CommandError(MISSING, returncode=WRONG_USE)
        for adapter in able:
            try:
                yield from backfill.enqueue(adapter, batch=options["batch"], dry_run=options["dry_run"])
            except AdapterFailed as err:
                raise CommandError(f"orders_to_enqueue of {type(adapter).__name__} failed: {err}") from err


def _is_able(adapter: orders.AnyAdapter) -> bool:
    return type(adapter).orders_to_enqueue is not orders.OrderAdapter.orders_to_enqueue
