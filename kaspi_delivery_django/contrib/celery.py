"""Celery as the runner: tasks that hold no more than a primary key, and a thread that tells the broker of them.

Needs the extra `celery`, RUNNER = "celery", and `kaspi_delivery.sweep` in the beat schedule; docs/runners.md has
it to paste. The tasks belong to the project's own Celery app, and are routed as its others are.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from celery import Task, shared_task
from celery.signals import worker_init
from kombu.connection import Connection

from kaspi_delivery_django.services import failures, pace
from kaspi_delivery_django.services.claims import LEASE
from kaspi_delivery_django.services.worker import Worker

__all__ = ["nudge", "send_call", "sweep"]

logger = logging.getLogger(__name__)

SWEEP_S = 20.0  # after so long a sweep finishes what is under way
SEND_LIMIT_S = 2 * LEASE.total_seconds()  # Celery kills only what our own deadlines have failed to end
SWEEP_LIMIT_S = 600  # receivers of the shop's run in it
MOST_WAITING = 1000
ANSWER_S = 4.0
AWAY_S = 5.0
IDLE_S = 10.0
FAREWELL_S = 1.0


@shared_task(  # type: ignore[untyped-decorator]  # Celery has no types
    name="kaspi_delivery.send_call",
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    time_limit=SEND_LIMIT_S,
)
def send_call(call_pk: int) -> None:
    """Try one call once, if it is due. Delivered twice, it finds nothing to do the second time."""
    Worker().send(call_pk)


@shared_task(name="kaspi_delivery.sweep", ignore_result=True, acks_late=False, time_limit=SWEEP_LIMIT_S)  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Do what `kaspi_worker` does, for some seconds. Several at once, or one lost, do no harm."""
    Worker().sweep(within_s=SWEEP_S)


def nudge(call_pk: int) -> None:
    """Have a worker told of a due call. Returns at once, whatever the broker does."""
    task: Task = send_call.app.tasks[send_call.name]
    if task.app.conf.task_always_eager:
        task.apply_async((call_pk,))
    else:
        _messenger(os.getpid(), task).tell(call_pk)


@worker_init.connect  # type: ignore[untyped-decorator]
def share_turns(**_signal: Any) -> None:
    """Let the processes that a worker forks keep to MAX_REQUESTS_PER_SECOND together."""
    pace.turns()


class Messenger:
    """Tells the broker of calls, in a thread that lives as long as there is something to tell.

    Neither kombu nor py-amqp can promise when they give up on a broker that is away, or mute. So nobody
    waits for them here: what is not told yet is kept, up to `MOST_WAITING`, and the sweep finds the rest.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._pid = task, os.getpid()
        self._calls = deque[int]()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_away = False
        atexit.register(self.say_farewell)

    def tell(self, call_pk: int) -> None:
        """Take a call, and return."""
        with self._changed:
            if len(self._calls) < MOST_WAITING:
                self._calls.append(call_pk)
                self._changed.notify_all()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="kaspi-messenger", daemon=True)
                thread.start()
                self._thread = thread

    def say_farewell(self) -> None:
        """Give the thread a moment, before the process ends, to tell what waits."""
        if os.getpid() != self._pid:  # forked from the one that has the thread
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._calls, FAREWELL_S)

    def _run(self) -> None:
        while self._is_needed():
            try:
                self._tell_all()
            except Exception as err:  # noqa: BLE001  # whatever a transport raises: no more than a hint is late
                self._bear(err)

    def _is_needed(self) -> bool:
        """Tell whether there is more to tell. If not the thread is at its end, and the next call gets a new one."""
        with self._changed:
            if not self._calls:
                self._thread = None
            return bool(self._calls)

    def _tell_all(self) -> None:
        with _connected(self._task) as connection:
            while (call_pk := self._wait_for_call()) is not None:
                self._task.apply_async((call_pk,), connection=connection, retry=False)
                self._is_away = False
                self._forget()

    def _wait_for_call(self) -> int | None:
        """Return the call to tell next; None when none came for so long that the connection may grow stale."""
        with self._changed:
            return self._calls[0] if self._changed.wait_for(lambda: self._calls, IDLE_S) else None

    def _forget(self) -> None:
        with self._changed:
            self._calls.popleft()
            self._changed.notify_all()

    def _bear(self, err: Exception) -> None:
        """Wait a while, and say once why."""
        if not self._is_away:
            logger.error("broker not reached, calls wait: error=%s", failures.describe(err))
        self._is_away = True
        time.sleep(AWAY_S)


@lru_cache
def _messenger(_pid: int, task: Task) -> Messenger:
    """Return the messenger of this process. A forked one gets its own: threads do not survive a fork."""
    return Messenger(task)


@contextmanager
def _connected(task: Task) -> Iterator[Connection]:
    """Connect to the project's broker, so that nothing waits for its answers for ever.

    It sends no heartbeats, and promises none: the connection does not live long without work.
    """
    limits = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
    plain = task.app.connection_for_write()
    is_redis = plain.transport.driver_type == "redis"
    with task.app.connection_for_write(transport_options=limits) if is_redis else plain as connection:
        raw = connection.ensure_connection(max_retries=1, interval_start=0).connection
        if hasattr(raw, "sock"):  # py-amqp waits for ever, and its own read_timeout only makes it ask again
            raw.sock.settimeout(ANSWER_S)
        yield connection
