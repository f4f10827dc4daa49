"""Each account's circuit breaker, worker and hold; and the deliveries that no account of the settings serves."""

from collections.abc import Sequence
from dataclasses import dataclass

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, CountUpTo, is_unserved, read_together


def read() -> Sequence[AccountState]:
    """Return the state of each account of the settings; a new row, not saved, where nothing is known of one."""
    states = {(row.account, row.environment): row for row in AccountState.objects.all()}
    own = ((account.alias, account.environment) for account in conf.current().accounts.values())
    return [states.get(key) or AccountState(account=key[0], environment=key[1]) for key in own]


@dataclass(frozen=True, kw_only=True)
class Unserved:
    """How many open deliveries were saved for an account and environment that the settings do not have."""

    account: str
    environment: str
    deliveries: int


def unserved() -> Sequence[Unserved]:
    """Count the open deliveries that no account of the settings serves, of each account and environment."""
    rows = Delivery.objects.filter(is_unserved())
    owners = sorted(set(rows.values_list("account", "environment")[:MAX_COUNT]))
    if not owners:
        return []
    counts = {
        f"of_{number}": CountUpTo(rows.filter(account=account, environment=environment))
        for number, (account, environment) in enumerate(owners)
    }
    found = read_together(counts)
    return [
        Unserved(account=account, environment=environment, deliveries=found[name])
        for name, (account, environment) in zip(counts, owners, strict=True)
    ]


def aliases() -> Sequence[str]:
    """Return the aliases of the settings, and after them those that rows may still have."""
    known = list(conf.current().accounts)
    seen = AccountState.objects.exclude(account__in=known).order_by("account")
    return [*known, *dict.fromkeys(seen.values_list("account", flat=True))]
