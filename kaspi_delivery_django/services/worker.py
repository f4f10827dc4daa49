"""The worker: whatever is due, round after round, until it is asked to stop."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import clock, deliveries, failures, handover, inbox, notices, outbox, pace
from kaspi_delivery_django.services.transactions import home, is_transient

logger = logging.getLogger(__name__)

BATCH = 100
IDLE_S = 1.0
TROUBLE_S = 5.0
HEARTBEAT_S = 30.0


class Worker:
    """Sends due calls, asks about silent deliveries, repeats signals, applies parked events, acts for staff.

    `say` gets one line for each thing that was done. `stop` may be called from a signal handler:
    the call under way is finished, nothing more is claimed.
    """

    def __init__(self, say: Callable[[str], None] = logger.info) -> None:
        self._say = say
        self._stopped = threading.Event()
        self._heartbeat_due = 0.0

    def stop(self) -> None:
        """Let the current call finish, and claim no more."""
        self._stopped.set()

    def run(self) -> None:
        """Work until `stop`. A database that is away is waited for."""
        while not self._stopped.is_set():
            close_old_connections()
            try:
                busy = self.run_round()
            except (DatabaseError, InterfaceError) as err:
                _say_trouble(err)
                self._stopped.wait(TROUBLE_S)
            else:
                self._stopped.wait(0 if busy else IDLE_S)

    def run_until_idle(self) -> None:
        """Work until nothing is due any more, for cron."""
        while not self._stopped.is_set() and self.run_round():
            pass

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
            _say_trouble(err)
        finally:
            bell.cancel()
        return done

    def send(self, call_pk: int) -> bool:
        """Try one call once, at its turn, for a task runner. Whatever goes wrong is logged: a sweep comes again."""
        try:
            return self._send(call_pk)
        except (DatabaseError, InterfaceError) as err:
            _say_trouble(err)
            return False

    def run_round(self) -> int:
        """Do one batch of everything; return how many things were done."""
        using = home()
        self._do("heartbeat", self._beat, using=using)
        return (
            self._do("claims of dead workers released", outbox.release_expired)
            + self._do("parked events applied", inbox.unpark_known, limit=BATCH, using=using)
            + self._do("actions of staff done", handover.do_waiting, limit=BATCH, using=using)
            + self._do("silent deliveries", deliveries.refresh_stale, limit=BATCH, using=using)
            + self._do("signals repeated", notices.notify_again, limit=BATCH, using=using)
            + self._do("calls sent", self._send_due)
        )

    def _do(self, label: str, chore: Callable[..., int], **options: Any) -> int:
        try:
            done = 0 if self._stopped.is_set() else chore(**options)
        except (OperationalError, InterfaceError) as err:
            _bear(err, f"chore={label}")
            return 0
        except Exception as err:  # noqa: BLE001  # one broken chore must not end the others
            logger.error("chore broke: %s error=%s", label, failures.describe(err))  # noqa: TRY400
            return 0
        if done:
            self._say(f"{label}: {done}")
        return done

    def _send_due(self) -> int:
        return sum(self._send(pk) for pk in outbox.due_calls(limit=BATCH))

    def _send(self, call_pk: int) -> bool:
        if self._stopped.is_set() or not self._wait_for_turn():
            return False
        try:
            is_sent = outbox.send(call_pk)
        except (OperationalError, InterfaceError) as err:
            _bear(err, f"call={call_pk}")
            return False
        except Exception as err:  # noqa: BLE001  # one bad row must not stop the others
            logger.error("call broke: call=%r error=%s", call_pk, failures.describe(err))  # noqa: TRY400
            return False
        if not is_sent:  # nobody was asked: the turn is the next call's
            pace.give_back()
        return is_sent

    def _wait_for_turn(self) -> bool:
        """Keep to MAX_REQUESTS_PER_SECOND; False when the worker was stopped meanwhile."""
        return not self._stopped.wait(pace.until_turn())

    def _beat(self, using: str) -> int:
        """Say that a worker is alive, now and then. It is no work that keeps a round busy."""
        if time.monotonic() >= self._heartbeat_due:
            self._heartbeat_due = time.monotonic() + HEARTBEAT_S
            for account in conf.current().accounts.values():
                AccountState.objects.using(using).update_or_create(
                    account=account.alias, environment=account.environment, defaults={"worker_seen_at": clock.now()}
                )
        return 0


def _say_trouble(err: Exception) -> None:
    """Say what the database did, in words that hold no row's data."""
    logger.error("database trouble: error=%s", failures.describe(err))


def _bear(err: OperationalError | InterfaceError, what: str) -> None:
    """Leave what met a deadlock or a lock timeout to a later round; a database that is away ends this one."""
    if not is_transient(err):
        raise err
    logger.warning("deferred: %s error=%s", what, failures.describe(err))
