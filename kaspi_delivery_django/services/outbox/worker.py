"""The worker: send due calls and run the chores, round after round, until it is stopped."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import bulk_actions, clock, errors
from kaspi_delivery_django.services.db import db_alias, defer_or_raise, is_transient
from kaspi_delivery_django.services.deliveries import actions, notifications
from kaspi_delivery_django.services.inbox import replaying
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from kaspi_delivery_django.services.outbox import rate_limit, sender
from kaspi_delivery_django.services.outbox.pipeline import Pipeline
from kaspi_delivery_django.services.outbox.sender import run_contained

if TYPE_CHECKING:
    from datetime import datetime
logger = logging.getLogger(__name__)
BATCH = 100
IDLE_S = 1.0
ERROR_PAUSE_S = 5.0
HEARTBEAT_S = 30.0
TROUBLE_LENGTH = 400
SEND_S = 10.0  # then the other chores have their turn


class Worker:
    """Sends due calls, asks about silent deliveries, repeats signals, applies parked events, acts for staff.

    `say` gets one line for each thing that was done. With `threads`, so many calls are under way at once; only
    their HTTP is, all else is done in the caller's thread. `stop` may be called from a signal handler: what is under
    way is finished, nothing more is claimed.
    """

    def __init__(self, say: Callable[[str], None] = logger.info, *, threads: int = 1) -> None:
        self._say = say
        self._dispatch = Pipeline(threads) if threads > 1 else None
        self._cancel_sweep = CancelSweep()
        self._stopped = threading.Event()
        self._heartbeat_due = 0.0
        self._not_failed_since: datetime | None = None
        self._failures: dict[str, str] = {}
        self._reported = ""

    @property
    def trouble(self) -> str:
        """The chores that failed when they were last tried, each with its error; empty for a healthy worker."""
        return "; ".join(f"{label}: {error}" for label, error in self._failures.items())[:TROUBLE_LENGTH]

    def stop(self) -> None:
        """Let what is under way finish, and claim no more."""
        self._stopped.set()
        if self._dispatch:
            self._dispatch.stop()

    def run(self) -> None:
        """Work until `stop`. A database that is away is waited for."""
        while not self._stopped.is_set():
            close_old_connections()
            try:
                busy = self.run_round()
            except (DatabaseError, InterfaceError) as err:
                _record_trouble(err)
                self._stopped.wait(ERROR_PAUSE_S)
            else:
                self._stopped.wait(0 if busy else IDLE_S)

    def run_until_idle(self) -> None:
        """Work until nothing is due, for cron; what failed in this run is left to the next."""
        self._not_failed_since = clock.database_now(db_alias())
        try:
            while not self._stopped.is_set() and self.run_round():
                pass
        finally:
            self._not_failed_since = None

    def sweep(self, *, within_s: float) -> int:
        """Work until nothing is due, for a task runner; after `within_s` seconds finish what is under way, and end.

        Returns how many things were done. A database that is away ends it too: the next sweep does the rest.
        """
        bell, done = threading.Timer(within_s, self.stop), 0
        bell.start()
        try:
            while busy := self.run_round():
                done += busy
        except (DatabaseError, InterfaceError) as err:
            _record_trouble(err)
        finally:
            bell.cancel()
        return done

    def send(self, call_pk: int) -> bool:
        """Try one call once, at its turn, for a task runner. Whatever goes wrong is logged: a sweep comes again."""
        try:
            return self._send(call_pk)
        except (DatabaseError, InterfaceError) as err:
            _record_trouble(err)
            return False

    def run_round(self) -> int:
        """Do one batch of everything; return how many things were done."""
        using = db_alias()
        self._do("heartbeat", self._beat, using=using)
        done = (
            self._do("claims of dead workers released", sender.release_expired)
            + self._do("parked events applied", replaying.apply_parked, limit=BATCH, using=using)
            + self._do("actions of staff done", bulk_actions.run_pending, limit=BATCH, using=using)
            + self._do("cancels heard of", self._cancel_sweep.run, using=using)
            + self._do("silent deliveries", _refresh_stale, using=using)
            + self._do("signals repeated", notifications.notify_pending, limit=BATCH, using=using)
            + self._do("calls sent", self._send_due)
        )
        if self.trouble != self._reported:
            self._do("heartbeat", self._beat, using=using)
        return done

    def _do(self, label: str, chore: Callable[..., int], **options: Any) -> int:
        try:
            done = 0 if self._stopped.is_set() else chore(**options)
        except (OperationalError, InterfaceError) as err:
            if not is_transient(err):
                self._failures[label] = errors.describe(err)
            defer_or_raise(err, f"chore={label}")
            return 0
        except Exception as err:  # noqa: BLE001  # one broken chore must not end the others
            self._failures[label] = errors.describe(err)
            logger.error("chore broke: %s error=%s", label, self._failures[label])  # noqa: TRY400
            return 0
        if not self._stopped.is_set():
            self._failures.pop(label, None)
        if done:
            self._say(f"{label}: {done}")
        return done

    def _send_due(self) -> int:
        if self._dispatch:
            return self._dispatch.run(within_s=SEND_S, not_failed_since=self._not_failed_since)
        due = sender.due_calls(limit=BATCH, not_failed_since=self._not_failed_since)
        return sum(self._send(pk) for pk in due)

    def _send(self, call_pk: int) -> bool:
        if self._stopped.is_set() or not self._wait_for_turn():
            return False
        is_sent = run_contained(partial(sender.send, call_pk), call_pk) or False
        if not is_sent:  # nobody was asked: the turn is the next call's
            rate_limit.release()
        return is_sent

    def _wait_for_turn(self) -> bool:
        """Keep to MAX_REQUESTS_PER_SECOND; False when the worker was stopped meanwhile."""
        return not self._stopped.wait(rate_limit.acquire())

    def _beat(self, using: str) -> int:
        """Record that a worker is alive and healthy, or what it fails at. It is no work that keeps a round busy."""
        trouble = self.trouble
        if time.monotonic() < self._heartbeat_due and trouble == self._reported:
            return 0
        self._heartbeat_due, self._reported = time.monotonic() + HEARTBEAT_S, trouble
        seen = {} if trouble else {"worker_seen_at": clock.now()}
        for account in conf.current().accounts.values():
            AccountState.objects.using(using).update_or_create(
                account=account.alias, environment=account.environment, defaults={"worker_trouble": trouble, **seen}
            )
        return 0


def _refresh_stale(using: str) -> int:
    """Ask about silent deliveries, unless so much is due already that bookings would wait behind the questions."""
    is_behind = len(sender.due_calls(limit=BATCH)) == BATCH
    return 0 if is_behind else actions.refresh_stale(limit=BATCH, using=using)


def _record_trouble(err: Exception) -> None:
    """Say what the database did, in words that hold no row's data."""
    logger.error("database trouble: error=%s", errors.describe(err))
