"""Keep to MAX_REQUESTS_PER_SECOND: one turn after the other, in a process and in those that it forks."""

import mmap
import os
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from kaspi_delivery_django import conf

MOMENT = struct.Struct("d")
TO_THE_END = 0


class Turns:
    """Moments of the monotonic clock, each given to one only: a thread of this process or of one that it forks.

    The lock is the kernel's, on a file without a name: it takes it back from a process that is killed,
    which a lock in shared memory would not survive.
    """

    def __init__(self) -> None:
        self._next = mmap.mmap(-1, MOMENT.size)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this does
        weakref.finalize(self, self._file.close)
        self._threads = threading.Lock()

    def take(self, every_s: float) -> float:
        """Return the next moment that is free; the one after it comes `every_s` seconds later."""
        with self._threads, self._locked():
            turn: float = max(time.monotonic(), MOMENT.unpack_from(self._next)[0])
            MOMENT.pack_into(self._next, 0, turn + every_s)
        return turn

    def give_back(self, every_s: float) -> None:
        """Let the next one come earlier by a turn that was not used: the rate is kept, though not every distance."""
        with self._threads, self._locked():
            MOMENT.pack_into(self._next, 0, MOMENT.unpack_from(self._next)[0] - every_s)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not hasattr(os, "lockf"):  # Windows, which forks nothing
            yield
            return
        os.lockf(self._file.fileno(), os.F_LOCK, TO_THE_END)
        try:
            yield
        finally:
            os.lockf(self._file.fileno(), os.F_ULOCK, TO_THE_END)


@lru_cache
def turns() -> Turns:
    """Return this process's turns, which are shared by what it forks from now on."""
    return Turns()


def until_turn() -> float:
    """Take the next turn, and return how many seconds it is away. Without a rate it is always one's turn."""
    rate = conf.current().max_requests_per_second
    return 0.0 if rate is None else max(0.0, turns().take(1 / rate) - time.monotonic())


def give_back() -> None:
    """Give back a turn that was taken for nothing."""
    rate = conf.current().max_requests_per_second
    if rate is not None:
        turns().give_back(1 / rate)
