"""The worker: send due calls and run the maintenance tasks, round after round, until it is stopped."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import bulk_actions, clock, errors, extensions, inbox
from kaspi_delivery_django.services.db import database_now, defer_or_raise, is_transient
from kaspi_delivery_django.services.deliveries import actions, notifications
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from kaspi_delivery_django.services.outbox import due_calls, leases, rate_limit, sender
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
SEND_S = 10.0  # then the other tasks run


class Worker:
    """Sends due calls, refreshes stale deliveries, repeats signals, applies parked events, runs bulk actions.

    `log` gets a line for each task that did something. With `threads`, so many calls are sent at once; only their
    HTTP runs there, all else in the caller's thread. `stop` may be called from a signal handler.
    """

    def __init__(self, log: Callable[[str], None] = logger.info, *, threads: int = 1) -> None:
        self._log = log
        self._pipeline = Pipeline(threads) if threads > 1 else None
        self._cancel_sweep = CancelSweep()
        self._stopped = threading.Event()
        self._heartbeat_due = 0.0
        self._not_failed_since: datetime | None = None
        self._failures: dict[str, str] = {}
        self._reported = ""

    @property
    def trouble(self) -> str:
        """The tasks that failed when they last ran, each with its error; empty for a healthy worker."""
        return "; ".join(f"{label}: {error}" for label, error in self._failures.items())[:TROUBLE_LENGTH]

    def stop(self) -> None:
        """Finish the calls in flight, and claim no more."""
        self._stopped.set()
        if self._pipeline:
            self._pipeline.stop()

    def run(self) -> None:
        """Work until `stop`. Wait for an unavailable database."""
        while not self._stopped.is_set():
            close_old_connections()
            try:
                busy = self.run_round()
            except (DatabaseError, InterfaceError) as err:
                _log_database_error(err)
                self._stopped.wait(ERROR_PAUSE_S)
            else:
                self._stopped.wait(0 if busy else IDLE_S)

    def run_until_idle(self) -> None:
        """Work until nothing is due, for cron; calls that failed in this run are left to the next."""
        self._not_failed_since = database_now()
        try:
            while not self._stopped.is_set() and self.run_round():
                pass
        finally:
            self._not_failed_since = None

    def sweep(self, *, within_s: float) -> int:
        """Work until nothing is due, for a task runner; stop after `within_s` seconds.

        Return how many things were done. An unavailable database ends it too: the next sweep does the rest.
        """
        timer, done = threading.Timer(within_s, self.stop), 0
        timer.start()
        try:
            while busy := self.run_round():
                done += busy
        except (DatabaseError, InterfaceError) as err:
            _log_database_error(err)
        finally:
            timer.cancel()
        return done

    def send(self, call_pk: int) -> bool:
        """Try one call once, in its slot, for a task runner. Log every error: a later sweep tries again."""
        try:
            return self._send(call_pk)
        except (DatabaseError, InterfaceError) as err:
            _log_database_error(err)
            return False

    def run_round(self) -> int:
        """Run one batch of each task; return how many things were done."""
        self._run_task("heartbeat", self._beat)
        done = (
            self._run_task("claims of dead workers released", leases.release_expired)
            + self._run_task("parked events applied", inbox.apply_parked, limit=BATCH)
            + self._run_task("bulk actions done", bulk_actions.run_pending, limit=BATCH)
            + self._run_task("cancels requested", self._cancel_sweep.run)
            + self._run_task("stale deliveries refreshed", _refresh_stale)
            + self._run_task("signals repeated", notifications.notify_pending, limit=BATCH)
            + self._run_task("calls sent", self._send_due)
            + sum(self._run_task(added.label, added.run, limit=BATCH) for added in extensions.installed())
        )
        if self.trouble != self._reported:
            self._run_task("heartbeat", self._beat)
        return done

    def _run_task(self, label: str, task: Callable[..., int], **options: Any) -> int:
        try:
            done = 0 if self._stopped.is_set() else task(**options)
        except (OperationalError, InterfaceError) as err:
            if not is_transient(err):
                self._failures[label] = errors.describe(err)
            defer_or_raise(err, f"task={label}")
            return 0
        except Exception as err:  # noqa: BLE001  # the other tasks must run
            self._failures[label] = errors.describe(err)
            logger.error("task failed: %s error=%s", label, self._failures[label])  # noqa: TRY400
            return 0
        if not self._stopped.is_set():
            self._failures.pop(label, None)
        if done:
            self._log(f"{label}: {done}")
        return done

    def _send_due(self) -> int:
        if self._pipeline:
            return self._pipeline.run(within_s=SEND_S, not_failed_since=self._not_failed_since)
        due = due_calls.select(limit=BATCH, not_failed_since=self._not_failed_since)
        return sum(self._send(pk) for pk in due)

    def _send(self, call_pk: int) -> bool:
        if self._stopped.is_set() or not self._wait_for_slot():
            return False
        is_sent = run_contained(partial(sender.send, call_pk), call_pk) or False
        if not is_sent:  # without a request the slot is the next call's
            rate_limit.release()
        return is_sent

    def _wait_for_slot(self) -> bool:
        """Keep to MAX_REQUESTS_PER_SECOND; False when the worker was stopped meanwhile."""
        return not self._stopped.wait(rate_limit.acquire())

    def _beat(self) -> int:
        """Record that the worker is healthy, or which tasks fail. Return 0: it keeps no round busy."""
        trouble = self.trouble
        if time.monotonic() < self._heartbeat_due and trouble == self._reported:
            return 0
        self._heartbeat_due, self._reported = time.monotonic() + HEARTBEAT_S, trouble
        seen = {} if trouble else {"worker_seen_at": clock.now()}
        for account in conf.current().accounts.values():
            AccountState.objects.update_or_create(
                account=account.alias, environment=account.environment, defaults={"worker_trouble": trouble, **seen}
            )
        return 0


def _refresh_stale() -> int:
    """Refresh stale deliveries, unless a full batch of calls is due: bookings go before refreshes."""
    is_behind = len(due_calls.select(limit=BATCH)) == BATCH
    return 0 if is_behind else actions.refresh_stale(limit=BATCH)


def _log_database_error(err: Exception) -> None:
    """Log a database error without any row's data."""
    logger.error("database error: error=%s", errors.describe(err))
