"""What is sent next: the calls that are due, each once in a run, and the claims of them."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from django.db import InterfaceError, OperationalError

from kaspi_delivery_django.services import claims, failures, outbox
from kaspi_delivery_django.services.claims import Claim
from kaspi_delivery_django.services.isolation import bear, each_alone
from kaspi_delivery_django.services.transactions import home

logger = logging.getLogger(__name__)

LOOK_AHEAD = 500
FEW = 128


class Supply:
    """The calls that are due, each once in a run; without those that failed since a moment, if one is given."""

    def __init__(self, *, until: float, not_failed_since: datetime | None = None) -> None:
        self._until = until
        self._not_failed_since = not_failed_since
        self._due: deque[int] = deque()
        self._seen: set[int] = set()
        self._is_dry = False

    def has_more(self) -> bool:
        """Tell whether there is one to try, and time for it."""
        if time.monotonic() >= self._until:
            return False
        self.look_ahead()
        return bool(self._due)

    def look_ahead(self) -> None:
        """Look for more when there are few left, until nothing new is found."""
        if len(self._due) >= FEW or self._is_dry:
            return
        due = outbox.due_calls(limit=LOOK_AHEAD, not_failed_since=self._not_failed_since)
        found = [pk for pk in due if pk not in self._seen]
        self._seen.update(found)
        self._due.extend(found)
        self._is_dry = not found

    def next_calls(self, most: int) -> list[int]:
        """Hand out so many."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]


def take(call_pks: Sequence[int]) -> list[Claim]:
    """Claim them together; one by one what a gate must be asked for, or all, when one of them breaks that."""
    using = home()
    claimed, left = list[Claim](), call_pks
    try:
        claimed, left = claims.take_many(call_pks, using=using)
    except (OperationalError, InterfaceError) as err:
        bear(err, f"calls={len(call_pks)}")
    except Exception as err:  # noqa: BLE001  # found out which one it is
        logger.warning("not claimed together, one by one: error=%s", failures.describe(err))
    return [*claimed, *_take_alone(left, is_first=not claimed)]


def _take_alone(call_pks: Sequence[int], *, is_first: bool) -> Iterator[Claim]:
    """Claim one by one, for a second: then the others stay due, because what is claimed already waits to be sent.

    A database that goes away ends it too, and is for the caller unless that has claims to send.
    """
    until = time.monotonic() + claims.BUILD_S
    for pk in call_pks:
        if time.monotonic() > until:
            return
        try:
            claim = each_alone(partial(claims.take, pk, using=home()), pk)
        except (OperationalError, InterfaceError):
            if is_first:
                raise
            return
        if claim is not None:
            is_first = False
            yield claim
