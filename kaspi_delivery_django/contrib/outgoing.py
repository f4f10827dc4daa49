"""Send rows of an optional app's outbox, each at least once: claim, send, record, and try again after an error.

A process that dies between the sending and the recording leaves a claim that ends by itself; then the row is sent a
second time. None is lost.
"""

import logging
import math
import random
import secrets
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.fields import WrittenModel
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import OldRows, database_now

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)  # longer than any one sending may take
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 6 * 3600.0
RETRIED_FOR = timedelta(days=3)
ERROR_LENGTH = 400


class NeverSendable(Exception):
    """No later attempt can succeed: the recipient does not exist, or refuses it for good. Staff read the text."""


class RetryLater(Exception):
    """This attempt failed, and the next one is to be `pause_s` seconds later at the earliest. Staff read the text.

    With `ends_round` it is the recipient that failed, not this row: those behind it are left to a later round.
    """

    def __init__(self, pause_s: float = 0.0, text: str = "", *, ends_round: bool = False) -> None:
        super().__init__(text or f"asked to wait {pause_s:g} s")
        self.pause_s, self.ends_round = pause_s, ends_round


class Outgoing(WrittenModel):
    """One row of an outbox. `next_attempt_at` is null when nothing is left to do: it was sent, or has failed."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        SKIPPED = "skipped", _("skipped")

    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), null=True, db_index=True)
    claim_token = models.CharField(_("claim token"), max_length=32, default="", blank=True)
    error = models.TextField(_("error"), default="", blank=True)
    created_at = models.DateTimeField(_("created at"), default=clock.now, db_index=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)

    class Meta:
        abstract = True


Row = TypeVar("Row", bound=Outgoing)


def send_due(
    rows: models.QuerySet[Row], send: Callable[[Row], object], *, limit: int, within_s: float = math.inf
) -> int:
    """Send the due rows of a queryset, outside any transaction. Return how many were sent.

    `send` raises for a row that was not sent, preferably `RetryLater`; another attempt follows, at growing intervals,
    for three days. `NeverSendable` ends it at once. After `within_s` seconds no further row is begun.
    """
    now, began = database_now(), time.monotonic()
    due = rows.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")  # also if its claim has expired
    sent = 0
    for row in list(due[:limit]):
        try:
            sent += _send(row, send)
        except RetryLater:
            break
        if time.monotonic() - began >= within_s:
            break
    return sent


def retry(rows: models.QuerySet[Row], *, states: Collection[str] = (Outgoing.State.FAILED,)) -> int:
    """Make the rows in these states due again, as staff ask for it. Return how many.

    They are retried as new ones are: at first soon, and for three days.
    """
    now = database_now()
    ended = rows.filter(state__in=states)
    return ended.update(state=Outgoing.State.WAITING, next_attempt_at=now, created_at=now, attempts=0, error="")


def old_rows(model: type[Row], before: datetime, abandoned: models.Q | None = None) -> OldRows:
    """Return the rows that have ended and were created before a time.

    `abandoned` is the condition of waiting rows that are never sent, and are deleted with them.
    """
    ended = ~models.Q(state=Outgoing.State.WAITING)
    old = model.objects.filter(ended if abandoned is None else ended | abandoned, created_at__lt=before)
    return OldRows(rows=old, by="created_at")


def _send(row: Row, send: Callable[[Row], object]) -> bool:
    if not _claim(row):
        return False
    try:
        send(row)
    except NeverSendable as err:
        _end(row, state=Outgoing.State.FAILED, next_attempt_at=None, error=_text(err))
    except RetryLater as err:
        _postpone(row, err, least_s=err.pause_s)
        if err.ends_round:
            raise
    except (OperationalError, InterfaceError):
        raise  # the worker waits for its database, and the claim ends by itself
    except Exception as err:  # noqa: BLE001  # the others must be sent
        _postpone(row, err)
    else:
        return _end(row, state=Outgoing.State.SENT, next_attempt_at=None, error="", sent_at=clock.now())
    return False


def _claim(row: Row) -> bool:
    """Take the row by one conditional UPDATE; False when another process has it."""
    now, token = database_now(), secrets.token_hex(16)
    unchanged = _same(row).filter(claim_token=row.claim_token, next_attempt_at__lte=now)
    row.attempts, row.claim_token, row.next_attempt_at = row.attempts + 1, token, now + LEASE
    changes = {name: getattr(row, name) for name in ("attempts", "claim_token", "next_attempt_at")}
    return bool(unchanged.update(**changes))


def _postpone(row: Row, err: Exception, *, least_s: float = 0.0) -> None:
    now = database_now()
    logger.warning("not sent: row=%s:%s error=%s", row._meta.label, row.pk, type(err).__name__)
    if now - row.created_at > RETRIED_FOR:
        _end(row, state=Outgoing.State.FAILED, next_attempt_at=None, error=_text(err))
        return
    own_s = FIRST_PAUSE_S * 2.0 ** min(row.attempts - 1, 20) * (0.8 + 0.4 * random.random())  # noqa: S311
    pause_s = min(max(own_s, least_s), LONGEST_PAUSE_S)
    _end(row, next_attempt_at=now + timedelta(seconds=pause_s), error=_text(err))


def _end(row: Row, **changes: Any) -> bool:
    """Record what came of the claim, unless it had expired and another process took the row."""
    return bool(_same(row).filter(claim_token=row.claim_token).update(claim_token="", **changes))


def _same(row: Row) -> models.QuerySet[Any]:
    return type(row)._default_manager.filter(pk=row.pk)


def _text(err: Exception) -> str:
    is_ours = isinstance(err, NeverSendable | RetryLater)
    return (errors.one_line(err) if is_ours else errors.describe(err))[:ERROR_LENGTH]
