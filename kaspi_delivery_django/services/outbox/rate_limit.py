"""Limit requests to MAX_REQUESTS_PER_SECOND, in a process and in those that it forks.

It has a lock of threads, though no thread of its own: Celery, too, may run its tasks in threads.
"""

import logging
import mmap
import os
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import IO

from kaspi_delivery_django import conf

logger = logging.getLogger(__name__)
_TIME = struct.Struct("d")
_WHOLE_FILE = 0
BATCH_S = 0.05


class RateLimiter:
    """Slots of the monotonic clock, each for one thread of this process or of one that it forks.

    The lock is the kernel's, on a file without a name: the kernel releases it when a process is killed, which a lock
    in shared memory would not survive. Without memory or a folder for such a file each process has its own limit.
    """

    def __init__(self) -> None:
        self._next = mmap.mmap(-1, _TIME.size)
        self._file = _nameless_file()
        if self._file is not None:
            weakref.finalize(self, self._file.close)
        self._threads = threading.Lock()

    def acquire(self, every_s: float) -> float:
        """Return the next free slot; the one after it comes `every_s` seconds later."""
        with self._threads, self._locked():
            slot: float = max(time.monotonic(), _TIME.unpack_from(self._next)[0])
            _TIME.pack_into(self._next, 0, slot + every_s)
        return slot

    def release(self, every_s: float) -> None:
        """Move the next slot forward by an unused one: the rate is kept, though not every distance."""
        with self._threads, self._locked():
            _TIME.pack_into(self._next, 0, _TIME.unpack_from(self._next)[0] - every_s)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._file is None or not hasattr(os, "lockf"):  # Windows forks nothing
            yield
            return
        os.lockf(self._file.fileno(), os.F_LOCK, _WHOLE_FILE)
        try:
            yield
        finally:
            os.lockf(self._file.fileno(), os.F_ULOCK, _WHOLE_FILE)


def _nameless_file() -> IO[bytes] | None:
    """Open a file in memory, else in the folder for temporary files; None in a container without either."""
    with suppress(OSError, AttributeError):  # AttributeError: not Linux
        return os.fdopen(os.memfd_create("kaspi_rate_limit"), "w+b")
    try:
        return tempfile.TemporaryFile()
    except OSError:
        logger.warning("no folder for temporary files: MAX_REQUESTS_PER_SECOND is limited in each process separately")
        return None


@lru_cache
def rate_limiter() -> RateLimiter:
    """Return this process's limiter, which processes forked from now on share."""
    return RateLimiter()


class BatchSlot:
    """A slot of several requests, which are sent together."""

    def __init__(self) -> None:
        self._at: float | None = None
        self.count = 0

    def wait_s(self, *, most: int) -> float:
        """Acquire a slot of `most` requests at most, unless one is held; return the seconds until it."""
        if self._at is None:
            self.count = batch_size(most)
            self._at = time.monotonic() + acquire(self.count)
        return max(0.0, self._at - time.monotonic())

    def end(self, *, used: int) -> None:
        """Release the unused part of the slot."""
        if self._at is not None and used < self.count:
            release(self.count - used)
        self._at = None


def batch_size(most: int) -> int:
    """Return how many requests may be sent together: those of `BATCH_S` seconds, and at least one."""
    rate = conf.current().max_requests_per_second
    return most if rate is None else min(most, max(1, int(rate * BATCH_S)))


def allowed_within(seconds: float) -> float:
    """Return how many requests are allowed in `seconds`; infinity if unlimited."""
    rate = conf.current().max_requests_per_second
    return float("inf") if rate is None else rate * seconds


def acquire(requests: int = 1) -> float:
    """Acquire the next slot, of so many requests; return the seconds until it, 0 if unlimited."""
    rate = conf.current().max_requests_per_second
    return 0.0 if rate is None else max(0.0, rate_limiter().acquire(requests / rate) - time.monotonic())


def release(requests: int = 1) -> None:
    """Release a slot, of so many requests, that was not used."""
    rate = conf.current().max_requests_per_second
    if rate is not None:
        rate_limiter().release(requests / rate)
