"""Each account's circuit breaker, worker and hold; and the deliveries that no account of the settings serves."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, CountUpTo, is_unserved, read_together

LOST_AFTER = timedelta(minutes=5)
FORGOTTEN_AFTER = timedelta(days=2)  # it is noted once a day while Kaspi announces it


@dataclass(frozen=True, kw_only=True)
class AccountStats:
    """One account of the settings. `closed_until` is None while its circuit breaker is closed.

    The breaker stays open when that time has passed, until Kaspi has answered a trial call. `held_at` is None while
    sending is not held.
    """

    alias: str
    environment: str
    closed_until: datetime | None = None
    closed_reason: str = ""
    worker_seen_at: datetime | None = None
    worker_trouble: str = ""
    held_at: datetime | None = None
    held_by: str = ""
    announcement: str = ""
    announced_at: datetime | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the circuit breaker is open."""
        return self.closed_until is not None

    def announced(self, now: datetime) -> str:
        """Return what Kaspi announces of its API, as of a sunset; empty when it has not done so for two days."""
        is_fresh = self.announced_at is not None and now - self.announced_at < FORGOTTEN_AFTER
        return self.announcement if is_fresh else ""

    def is_without_worker(self, now: datetime) -> bool:
        """Return whether no worker was seen lately."""
        age = self.worker_age(now)
        return age is None or age > LOST_AFTER

    def worker_age(self, now: datetime) -> timedelta | None:
        """Return since when no worker was seen; None when none ever was."""
        return max(now - self.worker_seen_at, timedelta(0)) if self.worker_seen_at else None


STORED = [column.name for column in fields(AccountStats) if column.name not in {"alias", "environment"}]


def read() -> Sequence[AccountStats]:
    """Return the accounts of the settings with their stored states."""
    states = {(row.account, row.environment): row for row in AccountState.objects.using(db_alias()).all()}
    return [
        _figures(account, states.get((account.alias, account.environment)))
        for account in conf.current().accounts.values()
    ]


def _figures(account: conf.Account, state: AccountState | None) -> AccountStats:
    known = {name: getattr(state, name) for name in STORED} if state else {}
    return AccountStats(alias=account.alias, environment=account.environment, **known)


@dataclass(frozen=True, kw_only=True)
class Unserved:
    """How many open deliveries were saved for an account and environment that the settings do not have."""

    account: str
    environment: str
    deliveries: int


def unserved() -> Sequence[Unserved]:
    """Count the open deliveries that no account of the settings serves, of each account and environment."""
    using = db_alias()
    rows = Delivery.objects.using(using).filter(is_unserved())
    owners = sorted(set(rows.values_list("account", "environment")[:MAX_COUNT]))
    if not owners:
        return []
    counts = {
        f"of_{number}": CountUpTo(rows.filter(account=account, environment=environment))
        for number, (account, environment) in enumerate(owners)
    }
    found = read_together(counts, using=using)
    return [
        Unserved(account=account, environment=environment, deliveries=found[name])
        for name, (account, environment) in zip(counts, owners, strict=True)
    ]


def aliases() -> Sequence[str]:
    """Return the aliases of the settings, and after them those that rows may still have."""
    known = list(conf.current().accounts)
    seen = AccountState.objects.using(db_alias()).exclude(account__in=known).order_by("account")
    return [*known, *dict.fromkeys(seen.values_list("account", flat=True))]
