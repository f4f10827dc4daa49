"""Call `wants_cancel` for booked orders at an interval: `QuerySet.update()` and raw SQL send no signal."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, InterfaceError, OperationalError, models
from django.db.models import Q

from kaspi_delivery_django import conf
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.models import AccountState, Attention, Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.orders import OrderAdapter, adapters
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import defer_or_raise
from kaspi_delivery_django.services.deliveries import calls, payloads
from kaspi_delivery_django.services.deliveries.actions import cancel_for_shop
from kaspi_delivery_django.services.deliveries.identities import adapter_of, content_type_of
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter_predicate

logger = logging.getLogger(__name__)
BATCH = 500
ROUND_S = 5.0


class CancelSweep:
    """Checks all booked orders that can be cancelled, once in CANCEL_CHECK_INTERVAL for any number of workers.

    It also checks the deliveries that were flagged because the adapter does not want them sent. It reads deliveries
    and orders in batches, and resumes in the next round.
    """

    def __init__(self) -> None:
        self._batches: Iterator[Sequence[Delivery]] = iter(())

    def run(self) -> int:
        """Check orders for some seconds. Return how many cancels were requested."""
        until, found = time.monotonic() + ROUND_S, 0
        while time.monotonic() < until:
            batch = next(self._batches, None)
            if batch is None and not self._begin():
                break
            found += _cancel_unwanted(batch or ())
        return found

    def _begin(self) -> bool:
        """Start a sweep if one is due. Return whether it is."""
        types = _cancellable_types()
        due = [account for account in conf.current().accounts.values() if types and _start(account)]
        self._batches = _cancellable(due, types) if due else iter(())
        return bool(due)


def _cancellable_types() -> Sequence[ContentType]:
    """Return the order types whose adapters override `wants_cancel`; none while the sweep is switched off."""
    if not conf.current().cancel_check_interval:
        return []
    default = OrderAdapter.wants_cancel
    return [content_type_of(one) for one in adapters().values() if type(one).wants_cancel is not default]


def _start(account: Account) -> bool:
    """Record the account's sweep; False when any worker has swept it within the interval."""
    now = clock.now()
    is_due = Q(cancels_asked_at__isnull=True) | Q(cancels_asked_at__lte=now - conf.current().cancel_check_interval)
    is_due |= Q(cancels_asked_at__gt=now + calls.MAX_CLOCK_SKEW)  # the clock was set back since
    own = AccountState.objects.filter(account=account.alias, environment=account.environment)
    return own.filter(is_due).exists() and bool(own.filter(is_due).update(cancels_asked_at=now))


def _cancellable(accounts: Iterable[Account], types: Sequence[ContentType]) -> Iterator[Sequence[Delivery]]:
    for account in accounts:
        own = Delivery.objects.filter(account=account.alias, environment=account.environment)
        own = own.outbound().filter(cancel_requested_at__isnull=True, content_type__in=types)
        for rows in (own.awaiting_pickup(), own.in_unknown_status().filter(delivery_id__isnull=False)):
            yield from _batches(rows)
        yield from _held(own)


def _batches(rows: DeliveryQuerySet) -> Iterator[Sequence[Delivery]]:
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        last = batch[-1].pk
        yield batch


def _held(own: DeliveryQuerySet) -> Iterator[Sequence[Delivery]]:
    """Read the flagged, unsent deliveries. Their keys are read first, or SQLite uses another index."""
    keys = list(Delivery.objects.filter(attention=Attention.NOT_WANTED).values_list("pk", flat=True))
    for start in range(0, len(keys), BATCH):
        yield list(own.filter(pk__in=keys[start : start + BATCH], delivery_id__isnull=True))


def _cancel_unwanted(batch: Sequence[Delivery]) -> int:
    """Cancel the deliveries whose orders are cancelled. Contain an error to one row."""
    cancellable = [delivery for delivery in batch if delivery.is_cancellable]  # FINAL_STATUSES may have grown
    orders = payloads.orders_of(cancellable)
    known = [(delivery, orders[delivery.pk]) for delivery in cancellable if delivery.pk in orders]
    return sum(_cancel_if_unwanted(delivery, order) for delivery, order in known)


def _cancel_if_unwanted(delivery: Delivery, order: models.Model) -> bool:
    try:
        if not call_adapter_predicate(adapter_of(order).wants_cancel, order):
            return False
        cancel_for_shop(delivery, reason=payloads.cancel_reason_of(order))
    except (OperationalError, InterfaceError) as err:
        defer_or_raise(err, f"delivery={delivery.pk}")
        return False
    except (AdapterFailed, DatabaseError, models.ObjectDoesNotExist) as err:
        logger.error("wants_cancel failed: delivery=%s error=%s", delivery.pk, errors.describe(err))  # noqa: TRY400  # no data in logs
        return False
    return True
