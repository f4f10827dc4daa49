"""Run Celery tasks that send calls, and publish them from a thread.

Needs the extra `celery`, RUNNER = "celery", and `kaspi_delivery.sweep` in the beat schedule; docs/running.md has
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

from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.outbox import rate_limit
from kaspi_delivery_django.services.outbox.leases import LEASE
from kaspi_delivery_django.services.outbox.worker import Worker

__all__ = ["enqueue", "send_call", "sweep"]

logger = logging.getLogger(__name__)

SWEEP_S = 20.0  # then a sweep starts no more work
SEND_LIMIT_S = 2 * LEASE.total_seconds()  # longer than our own deadlines
SWEEP_LIMIT_S = 600  # includes the shop's receivers
MAX_PENDING = 1000
BROKER_TIMEOUT_S = 4.0
RETRY_PAUSE_S = 5.0
IDLE_TIMEOUT_S = 10.0
FLUSH_TIMEOUT_S = 1.0


@shared_task(  # type: ignore[untyped-decorator]  # Celery has no types
    name="kaspi_delivery.send_call",
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    time_limit=SEND_LIMIT_S,
)
def send_call(call_pk: int) -> None:
    """Send one call once, if it is due. A duplicate of the task does nothing."""
    Worker().send(call_pk)


@shared_task(name="kaspi_delivery.sweep", ignore_result=True, acks_late=False, time_limit=SWEEP_LIMIT_S)  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Do the work of `kaspi_worker` for `SWEEP_S` seconds. Sweeps may overlap or be lost."""
    Worker().sweep(within_s=SWEEP_S)


def enqueue(call_pk: int) -> None:
    """Publish a task for a due call. Returns at once, also when the broker is unavailable."""
    task: Task = send_call.app.tasks[send_call.name]
    if task.app.conf.task_always_eager:
        task.apply_async((call_pk,))
    else:
        _publisher(os.getpid(), task).publish(call_pk)


@worker_init.connect  # type: ignore[untyped-decorator]
def share_turns(**_signal: Any) -> None:
    """Share MAX_REQUESTS_PER_SECOND among the processes that a worker forks."""
    rate_limit.rate_limiter()


class Publisher:
    """Publishes tasks from a thread that lives as long as calls are pending.

    Neither kombu nor py-amqp guarantees a timeout for a broker that does not respond, so the caller does not
    wait for them. Up to `MAX_PENDING` calls are kept; the sweep finds the rest.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._pid = task, os.getpid()
        self._calls = deque[int]()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_away = False
        atexit.register(self.flush)

    def publish(self, call_pk: int) -> None:
        with self._changed:
            if len(self._calls) < MAX_PENDING:
                self._calls.append(call_pk)
                self._changed.notify_all()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="kaspi-publisher", daemon=True)
                thread.start()
                self._thread = thread

    def flush(self) -> None:
        """Wait shortly, before the process ends, until the pending calls are published."""
        if os.getpid() != self._pid:  # forked from the one that has the thread
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._calls, FLUSH_TIMEOUT_S)

    def _run(self) -> None:
        while self._is_needed():
            try:
                self._publish_all()
            except Exception as err:  # noqa: BLE001  # any transport error: only a notification is late
                self._pause(err)

    def _is_needed(self) -> bool:
        """Return whether calls are pending. If not, the thread ends and the next call starts another."""
        with self._changed:
            if not self._calls:
                self._thread = None
            return bool(self._calls)

    def _publish_all(self) -> None:
        with _connected(self._task) as connection:
            while (call_pk := self._wait_for_call()) is not None:
                self._task.apply_async((call_pk,), connection=connection, retry=False)
                self._is_away = False
                self._remove_first()

    def _wait_for_call(self) -> int | None:
        """Return the next call; None after `IDLE_TIMEOUT_S`, when the connection may be stale."""
        with self._changed:
            return self._calls[0] if self._changed.wait_for(lambda: self._calls, IDLE_TIMEOUT_S) else None

    def _remove_first(self) -> None:
        with self._changed:
            self._calls.popleft()
            self._changed.notify_all()

    def _pause(self, err: Exception) -> None:
        if not self._is_away:
            logger.error("broker not reached, calls wait: error=%s", errors.describe(err))
        self._is_away = True
        time.sleep(RETRY_PAUSE_S)


@lru_cache
def _publisher(_pid: int, task: Task) -> Publisher:
    """Return the publisher of this process; a forked one gets its own, as threads do not survive a fork."""
    return Publisher(task)


@contextmanager
def _connected(task: Task) -> Iterator[Connection]:
    """Connect to the project's broker, with a timeout for its responses.

    It sends and negotiates no heartbeats: an idle connection is closed soon.
    """
    limits = {"socket_timeout": BROKER_TIMEOUT_S, "socket_connect_timeout": BROKER_TIMEOUT_S}
    plain = task.app.connection_for_write()
    is_redis = plain.transport.driver_type == "redis"
    with task.app.connection_for_write(transport_options=limits) if is_redis else plain as connection:
        raw = connection.ensure_connection(max_retries=1, interval_start=0).connection
        if hasattr(raw, "sock"):  # py-amqp waits forever; its read_timeout only retries
            raw.sock.settimeout(BROKER_TIMEOUT_S)
        yield connection
