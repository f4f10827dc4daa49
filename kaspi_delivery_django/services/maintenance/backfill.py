"""Book orders that have no delivery although their adapter wants one."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, models

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import atomic, db_alias, is_transient, rows_of, run_in_transaction
from kaspi_delivery_django.services.deliveries import booking, identities, payloads
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter

logger = logging.getLogger(__name__)
Keys = Sequence[Any]


def enqueue(adapter: AnyAdapter, *, batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Book an adapter's orders that have no delivery, and yield the counts of each batch.

    The counts are `seen`, `booked`, `deferred` (two deadlocks: the next run finds the order) and `failed` (the
    adapter failed: flagged for staff). Raises `AdapterFailed` when `orders_to_enqueue` raises, or returns no queryset
    that can be filtered.
    """
    for keys in _batches(adapter, batch):
        results = [_process(adapter, key, dry_run=dry_run) for key in _without_delivery(adapter, keys)]
        yield Counter(seen=len(keys), **Counter(result for result in results if result))


def _batches(adapter: AnyAdapter, size: int) -> Iterator[Keys]:
    """Yield the orders' keys in batches. Each order is read just before it is booked."""
    wanted = call_adapter(adapter.orders_to_enqueue)
    if wanted is None:
        return
    if not isinstance(wanted, models.QuerySet) or wanted.query.is_sliced or wanted.query.combinator:
        raise AdapterFailed("it must return a queryset of orders that is neither sliced nor combined, or None")
    of_interest = wanted.using(db_alias()).order_by().values("pk")
    rows = rows_of(adapter.model_class()).filter(pk__in=of_interest).order_by("pk").values_list("pk", flat=True)
    keys = _read(rows[:size])
    while keys:
        yield keys
        keys = _read(rows.filter(pk__gt=keys[-1])[:size])


def _read(keys: models.QuerySet[Any, Any]) -> Keys:
    """Read keys in the project's locale: a date in the adapter's condition is one of its time zone."""
    with errors.project_locale():
        return list(keys)


def _without_delivery(adapter: AnyAdapter, keys: Keys) -> Keys:
    """Exclude, in one query, orders that have a delivery; with several environments `_is_wanted` does it."""
    environments = {account.environment for account in conf.current().accounts.values()}
    if len(environments) > 1:
        return keys
    known = Delivery.objects.filter(
        content_type=identities.content_type_of(adapter),
        object_id__in=[identities.fitting(str(key)) for key in keys],
        environment__in=environments,
    )
    taken = set(known.values_list("object_id", flat=True))
    return [key for key in keys if identities.fitting(str(key)) not in taken]


def _process(adapter: AnyAdapter, key: Any, *, dry_run: bool) -> str:
    try:
        return run_in_transaction(partial(_would_book if dry_run else _book, adapter, key))
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        return "deferred"
    except Exception as err:  # noqa: BLE001  # contained to this order
        logger.error(  # noqa: TRY400  # no data in logs
            "order not enqueued: pk=%s error=%s", errors.one_line(key), errors.describe(err)
        )
        return "failed"


def _would_book(adapter: AnyAdapter, key: Any) -> str:
    with errors.project_locale():
        order = rows_of(adapter.model_class()).filter(pk=key).first()
    try:
        return "booked" if order is not None and _is_wanted(adapter, order) else ""
    except AdapterFailed as err:
        logger.error("adapter failed: pk=%s error=%s", errors.one_line(key), err)  # noqa: TRY400  # no data in logs
        return "failed"


def _book(adapter: AnyAdapter, key: Any) -> str:
    """Book the order as it is now: it may have been cancelled since the batch was read."""
    with errors.project_locale():
        order = rows_of(adapter.model_class()).select_for_update().filter(pk=key).first()
    if order is None:
        return ""
    try:
        if not _is_wanted(adapter, order):
            return ""
        delivery = booking.request_delivery(order)
    except AdapterFailed as err:
        delivery = booking.flag_adapter_failure(adapter, order, err)
    return "failed" if delivery.attention == Attention.ADAPTER_FAILED else "booked"


def _is_wanted(adapter: AnyAdapter, order: models.Model) -> bool:
    """Call the adapter in a savepoint, which contains a failed query of its own."""
    with atomic():
        if payloads.wish_for(adapter, order) is not payloads.Wish.SEND:
            return False
        identity = identities.identity_of(adapter, order)
        own = identities.deliveries_as(adapter, identity.object_id)
        return not own.filter(environment=identity.environment).exists()
