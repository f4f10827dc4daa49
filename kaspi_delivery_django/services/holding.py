"""Hold all sending until a member of staff releases it, for a restored backup above all.

A backup knows less than Kaspi does. While sending is held, no runner sends a request, inline and Celery included;
webhooks are still stored and applied, and what is saved meanwhile becomes due.
"""

import logging

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.transactions import home

logger = logging.getLogger(__name__)

HELD_BY_LENGTH = 150


def hold_sending(*, by: str = "") -> None:
    """Hold all requests to Kaspi, of every account. `by` names who asked for it; an earlier hold keeps its time."""
    if is_held():
        return
    held = {"held_at": clock.now(), "held_by": by[:HELD_BY_LENGTH]}
    for account in conf.current().accounts.values():
        AccountState.objects.update_or_create(account=account.alias, environment=account.environment, defaults=held)
    logger.warning("sending held")


def release_sending() -> bool:
    """Let requests go again. Returns whether they were held."""
    released = AccountState.objects.using(home()).filter(held_at__isnull=False).update(held_at=None, held_by="")
    if released:
        logger.warning("sending released")
    return bool(released)


def is_held() -> bool:
    """Tell whether sending is held."""
    return AccountState.objects.filter(held_at__isnull=False).exists()
