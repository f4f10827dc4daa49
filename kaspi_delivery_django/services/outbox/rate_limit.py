"""Limit requests to MAX_REQUESTS_PER_SECOND, in a process and in those that it forks."""

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
    """Moments of the monotonic clock, each given to one only: a thread of this process or of one that it forks.

    The lock is the kernel's, on a file without a name: it takes it back from a process that is killed,
    which a lock in shared memory would not survive. Where there is neither memory for such a file nor a folder,
    each process keeps to the rate by itself.
    """

    def __init__(self) -> None:
        self._next = mmap.mmap(-1, _TIME.size)
        self._file = _nameless_file()
        if self._file is not None:
            weakref.finalize(self, self._file.close)
        self._threads = threading.Lock()

    def take(self, every_s: float) -> float:
        """Return the next moment that is free; the one after it comes `every_s` seconds later."""
        with self._threads, self._locked():
            turn: float = max(time.monotonic(), _TIME.unpack_from(self._next)[0])
            _TIME.pack_into(self._next, 0, turn + every_s)
        return turn

    def give_back(self, every_s: float) -> None:
        """Let the next one come earlier by a turn that was not used: the rate is kept, though not every distance."""
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
    """Open a file in memory, else in the folder for temporary files; None where a container has neither."""
    with suppress(OSError, AttributeError):  # AttributeError: not Linux
        return os.fdopen(os.memfd_create("kaspi_turns"), "w+b")
    try:
        return tempfile.TemporaryFile()
    except OSError:
        logger.warning("no folder for temporary files: each process keeps to MAX_REQUESTS_PER_SECOND by itself")
        return None


@lru_cache
def rate_limiter() -> RateLimiter:
    """Return this process's turns, which are shared by what it forks from now on."""
    return RateLimiter()


class BatchSlot:
    """A turn of several requests, which go together."""

    def __init__(self) -> None:
        self._at: float | None = None
        self.count = 0

    def wait_s(self, *, most: int) -> float:
        """Take a turn of `most` requests at most, unless one is taken; return how many seconds it is away."""
        if self._at is None:
            self.count = batch_size(most)
            self._at = time.monotonic() + acquire(self.count)
        return max(0.0, self._at - time.monotonic())

    def end(self, *, used: int) -> None:
        """Give back what of the turn was not used."""
        if self._at is not None and used < self.count:
            release(self.count - used)
        self._at = None


def batch_size(most: int) -> int:
    """Return how many requests may go together: as many as the rate has in `TOGETHER_S`, and one at least."""
    rate = conf.current().max_requests_per_second
    return most if rate is None else min(most, max(1, int(rate * BATCH_S)))


def allowed_within(seconds: float) -> float:
    """Return how many requests the rate has in so many seconds; without a rate there is no end to them."""
    rate = conf.current().max_requests_per_second
    return float("inf") if rate is None else rate * seconds


def acquire(requests: int = 1) -> float:
    """Take the next turn, of so many requests, and return how many seconds it is away. Without a rate it is now."""
    rate = conf.current().max_requests_per_second
    return 0.0 if rate is None else max(0.0, rate_limiter().take(requests / rate) - time.monotonic())


def release(requests: int = 1) -> None:
    """Give back a turn, of so many requests, that was taken for nothing."""
    rate = conf.current().max_requests_per_second
    if rate is not None:
        rate_limiter().give_back(requests / rate)
