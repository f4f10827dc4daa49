"""Apply many events again: the dead letters, after what they failed on is mended."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from django.db import InterfaceError, OperationalError

from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services.inbox import replay_event
from kaspi_delivery_django.services.transactions import durably, home, is_transient


def replay(*, states: Sequence[str], batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Replay the events in these states, oldest first; yield how many each batch left in which state.

    Each is looked at once. One that met a deadlock twice is `deferred`: it stays for the next run. A dry
    run counts the states they are in.
    """
    using = home()
    last = 0
    waiting = WebhookEvent.objects.using(using).filter(state__in=states).order_by("pk")
    while events := list(waiting.filter(pk__gt=last)[:batch]):
        last = events[-1].pk
        yield Counter(event.state if dry_run else _replay(event, using) for event in events)


def _replay(event: WebhookEvent, using: str) -> str:
    try:
        return durably(partial(replay_event, event), using=using)
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        return "deferred"
