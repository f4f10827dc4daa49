"""Apply many events again: the dead letters, after what they failed on is mended."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from django.db import InterfaceError, OperationalError, models

from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services.inbox import replay_event
from kaspi_delivery_django.services.transactions import durably, home, is_transient

READ_AHEAD = 20


def replay(*, states: Sequence[str], batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Replay the events in these states, oldest first; yield how many each batch left in which state.

    Each is looked at once. One that met a deadlock twice is `deferred`: it stays for the next run. A dry
    run counts the states they are in.
    """
    using = home()
    waiting = WebhookEvent.objects.using(using).filter(state__in=states)
    if dry_run:
        yield Counter(dict(waiting.order_by().values_list("state").annotate(models.Count("pk"))))
        return
    for keys in _batches(waiting, batch):
        yield Counter(_replay(event, using) for event in waiting.filter(pk__in=keys).order_by("pk"))


def _batches(waiting: models.QuerySet[WebhookEvent], size: int) -> Iterator[list[int]]:
    """Yield the keys, read for many batches at once: no index has the states' oldest."""
    last = 0
    keys = waiting.order_by("pk").values_list("pk", flat=True)
    while found := list(keys.filter(pk__gt=last)[: size * READ_AHEAD]):
        yield from (found[start : start + size] for start in range(0, len(found), size))
        last = found[-1]


def _replay(event: WebhookEvent, using: str) -> str:
    try:
        return durably(partial(replay_event, event), using=using)
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        return "deferred"
