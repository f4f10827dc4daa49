"""One circuit breaker per account and environment, shared by all workers; and the hold of all sending.

401, 403 and 429 open it. After a while one trial call goes; when Kaspi answers it, the breaker closes
and the calls behind it are spread out.
"""

import logging
import random
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto

from django.db import IntegrityError, transaction
from django.db.models import Case, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Mod

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import after_commit, db_alias

logger = logging.getLogger(__name__)
TRIAL_LEASE = timedelta(minutes=1)
ANNOUNCEMENT_INTERVAL = timedelta(days=1)
SPREAD = timedelta(seconds=30)
SPREAD_STEPS = 16
BATCH = 500
MAX_SPREAD = 100_000
WAITING = (ApiCall.State.DUE, ApiCall.State.UNKNOWN)


class Admission(Enum):
    """Whether a call may go."""

    ALLOWED = auto()
    TRIAL = auto()
    BLOCKED = auto()


def admit(delivery: Delivery, now: datetime) -> Admission:
    """Return whether a call of this delivery may go now; `TRIAL` is given to one caller only."""
    states = list(AccountState.objects.filter(_own(delivery) | Q(held_at__isnull=False)))
    if any(state.held_at for state in states):
        return Admission.BLOCKED
    state = next(iter(states), None)
    if state is None or state.closed_until is None:
        return Admission.ALLOWED
    if state.closed_until > now:
        return Admission.BLOCKED
    unchanged = _states(delivery).filter(closed_until=state.closed_until)
    won = unchanged.update(closed_until=now + TRIAL_LEASE)
    return Admission.TRIAL if won else Admission.BLOCKED


def trip(delivery: Delivery, *, until: datetime, reason: str) -> None:
    """Let no call of this account go before `until`. Says so in the log once, not per call."""
    if not _states(delivery).filter(closed_until__isnull=False).exists():
        logger.error("gate closed: account=%s until=%s reason=%s", delivery.account, until, reason)
    _make_state(delivery)
    shorter = Q(closed_until__isnull=True) | Q(closed_until__lt=until)
    _states(delivery).filter(shorter).update(closed_until=until, closed_reason=reason)


def release_trial(delivery: Delivery, now: datetime) -> None:
    """End the probe's own lease, so that another call can be the probe. A longer pause is somebody else's."""
    _states(delivery).filter(closed_until__lte=now + TRIAL_LEASE).update(closed_until=now)


def reset(delivery: Delivery, now: datetime) -> None:
    """Open the gate after a probe that Kaspi answered, and spread the calls that have waited behind it.

    They are spread after the commit: a process that dies meanwhile has opened the gate all the same.
    """
    opened = _states(delivery).filter(closed_until__isnull=False)
    if not opened.update(closed_until=None, closed_reason=""):
        return
    logger.warning("gate open: account=%s", delivery.account)
    after_commit(_spread, delivery, now, using=db_alias())


def _spread(delivery: Delivery, now: datetime) -> None:
    """Schedule the account's due calls within `SPREAD`, in batches; what is beyond `MAX_SPREAD` goes without a delay.

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
    return Case(When(state__in=WAITING, next_attempt_at__lte=now, then=spread), default=F("next_attempt_at"))


def blocked_accounts(now: datetime, *, using: str) -> list[AccountState]:
    """Return the gates that are closed now, and the states that hold everything."""
    return list(AccountState.objects.using(using).filter(Q(closed_until__gt=now) | Q(held_at__isnull=False)))


def is_blocked() -> Exists:
    """The condition, on a call, that all is held, or its account's gate closed, or lets a probe through and no more."""
    own = {"account": OuterRef("delivery__account"), "environment": OuterRef("delivery__environment")}
    guarded = Q(closed_until__isnull=False, **own) | Q(held_at__isnull=False)  # a hold is of every account
    return Exists(AccountState.objects.filter(guarded))


def record_announcement(delivery: Delivery, text: str, now: datetime) -> None:
    """Keep what Kaspi's headers announce of its API, such as a sunset; log it once a day, whoever hears it first."""
    lately = now - ANNOUNCEMENT_INTERVAL
    if not text or _states(delivery).filter(announcement=text, announced_at__gt=lately).exists():
        return
    _make_state(delivery)
    older = Q(announced_at__isnull=True) | Q(announced_at__lte=lately) | ~Q(announcement=text)
    if _states(delivery).filter(older).update(announcement=text, announced_at=now):
        logger.warning("Kaspi announces: account=%s %s", delivery.account, text)


def _make_state(delivery: Delivery) -> None:
    using = db_alias()
    if not _states(delivery).exists():
        with suppress(IntegrityError), transaction.atomic(using=using):  # another sender may be faster
            AccountState.objects.using(using).create(account=delivery.account, environment=delivery.environment)


def _states(delivery: Delivery) -> QuerySet[AccountState]:
    return AccountState.objects.filter(_own(delivery))


def _own(delivery: Delivery) -> Q:
    return Q(account=delivery.account, environment=delivery.environment)


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
    released = AccountState.objects.using(db_alias()).filter(held_at__isnull=False).update(held_at=None, held_by="")
    if released:
        logger.warning("sending released")
    return bool(released)


def is_held() -> bool:
    """Tell whether sending is held."""
    return AccountState.objects.filter(held_at__isnull=False).exists()
