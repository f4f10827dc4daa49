"""Select the calls to send next, fairly among accounts."""

import random
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import islice, zip_longest

from django.db.models import Exists, OuterRef, QuerySet

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import ApiCall, FailedAttempt
from kaspi_delivery_django.services.db import database_now
from kaspi_delivery_django.services.outbox import circuit_breaker, claims

READ_AHEAD = 500
REFILL_BELOW = 128


class DueCalls:
    """A queue of the due calls, each once in a run; without those that failed since a time, if one is given."""

    def __init__(self, *, until: float, not_failed_since: datetime | None = None) -> None:
        self._until = until
        self._not_failed_since = not_failed_since
        self._due: deque[int] = deque()
        self._seen: set[int] = set()
        self._is_exhausted = False

    def has_more(self) -> bool:
        """Return whether there is a call to send, and time for it."""
        if time.monotonic() >= self._until:
            return False
        self.refill()
        return bool(self._due)

    def refill(self) -> None:
        """Select more calls when few are left, until a selection finds no new one."""
        if len(self._due) >= REFILL_BELOW or self._is_exhausted:
            return
        due = select(limit=READ_AHEAD, not_failed_since=self._not_failed_since)
        found = [pk for pk in due if pk not in self._seen]
        self._seen.update(found)
        self._due.extend(found)
        self._is_exhausted = not found

    def pop(self, most: int) -> list[int]:
        """Remove the next calls, `most` at most, and return their primary keys."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]


def select(*, limit: int, not_failed_since: datetime | None = None) -> Sequence[int]:
    """Return the primary keys of due calls, in random order so that workers claim different ones.

    Each account gets its share, so that a backlog of one delays no other. Calls that failed at `not_failed_since` or
    later are excluded.
    """
    now = database_now()
    rows = ApiCall.objects.due(now)
    if not_failed_since is not None:
        failed = FailedAttempt.objects.filter(call=OuterRef("pk"), at__gte=not_failed_since)
        rows = rows.exclude(Exists(failed))
    for state in circuit_breaker.blocked_accounts(now):
        if state.held_at:  # which holds every account
            return []
        rows = rows.exclude(delivery__account=state.account, delivery__environment=state.environment)
    sendable = _with_key(rows)
    found = _first(sendable, limit)
    if len(found) == limit and len(conf.current().accounts) > 1:  # the calls left out must not be one account's
        found = _round_robin(sendable, limit)
    return random.sample(found, len(found))


def _with_key(rows: QuerySet[ApiCall]) -> QuerySet[ApiCall]:
    """Exclude the calls of accounts without an API key, and log those accounts."""
    keyless = [account.alias for account in conf.current().accounts.values() if not account.api_key]
    if not keyless:
        return rows
    pending = rows.filter(delivery__account__in=keyless).order_by().values_list("delivery__account", flat=True)
    for alias in pending.distinct():
        claims.log_missing_key(alias)
    return rows.exclude(delivery__account__in=keyless)


def _first(rows: QuerySet[ApiCall], limit: int) -> list[int]:
    return list(rows.values_list("pk", flat=True)[:limit])


def _round_robin(rows: QuerySet[ApiCall], limit: int) -> list[int]:
    """Select one call of each account, round by round; removed accounts count as one."""
    accounts = conf.current().accounts
    own = (_first(rows.filter(delivery__account=alias), limit) for alias in accounts)
    removed = _first(rows.exclude(delivery__account__in=accounts), limit)
    rounds = zip_longest(*own, removed)
    return list(islice((pk for keys in rounds for pk in keys if pk is not None), limit))
