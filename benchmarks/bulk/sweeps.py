"""What goes over many rows, from the first to the last. Runs in a process of its own, so that its peak is its own."""

import io
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from benchmarks.bulk import kaspi
from benchmarks.figures import Sample
from kaspi_delivery_django.lifecycle import IN_TRANSIT
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services import deliveries, gateway
from kaspi_delivery_django.services.transactions import home
from kaspi_delivery_django.services.worker import Worker
from tests.shop.models import Order

LATE_ORDERS = 20
BATCH = 100
SOME = 50  # one row in so many has to be replayed, or is on the road
MOST_OPEN = 10_000
MOST_SENT = 2000
PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def enqueue(rows: int) -> Sample:
    """Look through all orders for the few that no signal told us of, and book them."""
    Order.objects.bulk_create(Order() for _ in range(LATE_ORDERS))
    before = Delivery.objects.count()
    sample = _timed(lambda: _call("kaspi_enqueue"), rows)
    _require(is_done=Delivery.objects.count() - before == LATE_ORDERS)
    return sample


def look_at_replay(rows: int) -> Sample:
    """Count as many dead letters as there are events."""
    with transaction.atomic():
        WebhookEvent.objects.update(state=WebhookEvent.State.FAILED)
        sample = _timed(lambda: _call("kaspi_replay", "--dry-run"), rows)
        transaction.set_rollback(True)
    return sample


def replay(rows: int) -> Sample:
    """Apply some events again."""
    some = max(1, rows // SOME)
    WebhookEvent.objects.filter(pk__gt=_last(WebhookEvent) - some).update(state=WebhookEvent.State.FAILED)
    sample = _timed(lambda: _call("kaspi_replay"), some)
    _require(is_done=not WebhookEvent.objects.filter(state=WebhookEvent.State.FAILED).exists())
    return sample


def refresh(rows: int) -> Sample:
    """Intend to ask about all deliveries that are on the road and that Kaspi is silent about."""
    some = min(MOST_OPEN, rows)
    past = timezone.now() - timedelta(hours=1)
    silent = Delivery.objects.filter(pk__gt=_last(Delivery) - LATE_ORDERS - some, delivery_id__isnull=False)
    some = silent.update(status=IN_TRANSIT, next_refresh_at=past)
    sample = _timed(_refresh_all, some)
    _require(is_done=ApiCall.objects.filter(kind=ApiCall.Kind.REFRESH, state=ApiCall.State.DUE).count() == some)
    return sample


def work(_rows: int) -> Sample:
    """Let a worker ask about what is due, answered at once, until nothing is."""
    waiting = ApiCall.objects.filter(next_attempt_at__isnull=False)
    asking = waiting.filter(kind=ApiCall.Kind.REFRESH).order_by("pk").values_list("pk", flat=True)
    waiting.exclude(pk__in=list(asking[:MOST_SENT])).update(next_attempt_at=None, state=ApiCall.State.ABANDONED)
    some = waiting.update(next_attempt_at=timezone.now() - timedelta(hours=1))
    with gateway.transport(kaspi.transport()):
        sample = _timed(Worker(say=lambda _line: None).run_until_idle, some)
    _require(is_done=not waiting.exists())
    return sample


def prune(rows: int) -> Sample:
    """Delete a year's events, and blank a year's deliveries."""
    return _timed(lambda: _call("kaspi_prune", "--events-days=7", "--personal-days=7"), rows)


def _refresh_all() -> None:
    while deliveries.refresh_stale(limit=BATCH, using=home()):
        pass


def _call(*command: str) -> None:
    call_command(*command, stdout=io.StringIO())


def _timed(sweep: Callable[[], None], rows: int) -> Sample:
    """Return what a row took, and the most memory that this process ever had."""
    began = time.perf_counter()
    sweep()
    elapsed_s = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MIB
    facts = {"rows": rows, "rows/s": round(rows / elapsed_s), "peak MiB": round(peak)}
    return Sample(ms=elapsed_s * 1000 / rows, facts=facts)


def _last(model: type[Delivery | WebhookEvent]) -> int:
    return model._default_manager.order_by("-pk").values_list("pk", flat=True).first() or 0


def _require(*, is_done: bool) -> None:
    if not is_done:
        raise RuntimeError("it left rows as they were")
