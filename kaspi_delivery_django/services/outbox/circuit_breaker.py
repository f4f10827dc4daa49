"""One circuit breaker per account and environment, shared by all workers; and the hold of all sending.

A closed breaker lets all calls through, an open one none. 429, or an answer that blames our settings, opens it until
`closed_until`. Then it is half-open: it lets one trial call through. When Kaspi answers that call, the breaker closes
and the pending calls are spread out.
"""

import logging
import random
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto

from django.db import IntegrityError
from django.db.models import Case, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Mod

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import after_commit

logger = logging.getLogger(__name__)
TRIAL_LEASE = timedelta(minutes=1)
ANNOUNCEMENT_INTERVAL = timedelta(days=1)
SPREAD = timedelta(seconds=30)
SPREAD_STEPS = 16
BATCH = 500
MAX_SPREAD = 100_000
PENDING = (ApiCall.State.DUE, ApiCall.State.UNKNOWN)
HELD_BY_LENGTH = 150


class Breaker(Enum):
    """The breaker's state for one caller; half-open for the one that makes the trial call."""

    CLOSED = auto()
    HALF_OPEN = auto()
    OPEN = auto()


def admit(delivery: Delivery, now: datetime) -> Breaker:
    """Return whether a call of this delivery may be sent now; `HALF_OPEN` is returned to one caller only."""
    states = list(AccountState.objects.filter(_own(delivery) | Q(held_at__isnull=False)))
    if any(state.held_at for state in states):
        return Breaker.OPEN
    state = next(iter(states), None)
    if state is None or state.closed_until is None:
        return Breaker.CLOSED
    if state.closed_until > now:
        return Breaker.OPEN
    unchanged = _states(delivery).filter(closed_until=state.closed_until)
    won = unchanged.update(closed_until=now + TRIAL_LEASE)
    return Breaker.HALF_OPEN if won else Breaker.OPEN


def trip(delivery: Delivery, *, until: datetime, reason: str) -> None:
    """Open the account's breaker until then. Log it once, not per call."""
    if not _states(delivery).filter(closed_until__isnull=False).exists():
        logger.error("circuit breaker opened: account=%s until=%s reason=%s", delivery.account, until, reason)
    _make_state(delivery)
    shorter = Q(closed_until__isnull=True) | Q(closed_until__lt=until)
    _states(delivery).filter(shorter).update(closed_until=until, closed_reason=reason)


def release_trial(delivery: Delivery, now: datetime) -> None:
    """End the trial call's lease, so that another call can be the trial. A longer pause is kept."""
    _states(delivery).filter(closed_until__lte=now + TRIAL_LEASE).update(closed_until=now)


def reset(delivery: Delivery, now: datetime) -> None:
    """Close the breaker after a trial call that Kaspi answered, and spread the pending calls.

    They are spread after the commit: a process that dies meanwhile has closed the breaker all the same.
    """
    opened = _states(delivery).filter(closed_until__isnull=False)
    if not opened.update(closed_until=None, closed_reason=""):
        return
    logger.warning("circuit breaker closed: account=%s", delivery.account)
    after_commit(_spread, delivery, now)


def _spread(delivery: Delivery, now: datetime) -> None:
    """Schedule the account's due calls within `SPREAD`, in batches; those beyond `MAX_SPREAD` are not delayed.

    Each statement has one condition. Without statistics PostgreSQL takes every further one, and a join, to leave few
    rows, and then reads all due calls, or all of the account's deliveries, for each batch.
    """
    due = list(ApiCall.objects.due(now).values_list("pk", "delivery_id")[:MAX_SPREAD])
    for start in range(0, len(due), BATCH):
        batch = due[start : start + BATCH]
        named = Delivery.objects.filter(pk__in={delivery_pk for _pk, delivery_pk in batch})
        owners = named.values_list("pk", "account", "environment")
        own = {pk for pk, *owner in owners if owner == [delivery.account, delivery.environment]}
        calls = ApiCall.objects.filter(pk__in=[pk for pk, delivery_pk in batch if delivery_pk in own])
        calls.annotate(share=Mod(F("pk"), SPREAD_STEPS)).update(next_attempt_at=_spread_times(now))


def _spread_times(now: datetime) -> Case:
    """Return a time for each share of the calls, with jitter; a call that was claimed meanwhile keeps its own."""
    part = SPREAD / SPREAD_STEPS
    times = [now + part * (step + random.random()) for step in range(SPREAD_STEPS)]  # noqa: S311  # no secret
    spread = Case(*(When(share=step, then=Value(at, DateTimeField())) for step, at in enumerate(times)))
    return Case(When(state__in=PENDING, next_attempt_at__lte=now, then=spread), default=F("next_attempt_at"))


def blocked_accounts(now: datetime) -> list[AccountState]:
    """Return the accounts whose breaker is open now, and those that hold all sending."""
    return list(AccountState.objects.filter(Q(closed_until__gt=now) | Q(held_at__isnull=False)))


def is_blocked() -> Exists:
    """Build the condition, on a call, that its account's breaker is not closed or that sending is held."""
    own = {"account": OuterRef("delivery__account"), "environment": OuterRef("delivery__environment")}
    guarded = Q(closed_until__isnull=False, **own) | Q(held_at__isnull=False)  # a hold is of every account
    return Exists(AccountState.objects.filter(guarded))


def record_announcement(delivery: Delivery, text: str, now: datetime) -> None:
    """Store what Kaspi's headers announce of its API, such as a sunset; log it once a day for all workers."""
    lately = now - ANNOUNCEMENT_INTERVAL
    if not text or _states(delivery).filter(announcement=text, announced_at__gt=lately).exists():
        return
    _make_state(delivery)
    older = Q(announced_at__isnull=True) | Q(announced_at__lte=lately) | ~Q(announcement=text)
    if _states(delivery).filter(older).update(announcement=text, announced_at=now):
        logger.warning("Kaspi announces: account=%s %s", delivery.account, text)


def hold_sending(*, by: str = "") -> None:
    """Hold all requests to Kaspi, of every account, in the name of `by`; an earlier hold keeps its time."""
    if is_held():
        return
    held = {"held_at": clock.now(), "held_by": by[:HELD_BY_LENGTH]}
    for account in conf.current().accounts.values():
        AccountState.objects.update_or_create(account=account.alias, environment=account.environment, defaults=held)
    logger.warning("sending held")


def release_sending() -> bool:
    """Release the hold. Return whether there was one."""
    released = AccountState.objects.filter(held_at__isnull=False).update(held_at=None, held_by="")
    if released:
        logger.warning("sending released")
    return bool(released)


def is_held() -> bool:
    """Return whether sending is held."""
    return AccountState.objects.filter(held_at__isnull=False).exists()


def _make_state(delivery: Delivery) -> None:
    with suppress(IntegrityError):  # MySQL's REPEATABLE READ does not see the row of another sender that was faster
        AccountState.objects.get_or_create(account=delivery.account, environment=delivery.environment)


def _states(delivery: Delivery) -> QuerySet[AccountState]:
    return AccountState.objects.filter(_own(delivery))


def _own(delivery: Delivery) -> Q:
    return Q(account=delivery.account, environment=delivery.environment)
