"""Log what strangers cause: each message once in a while, whoever repeats it how often."""

import logging
import threading
import time
from collections.abc import Callable

MINUTE_S = 60.0
HOUR_S = 3600.0
MAX_KEYS = 200


class QuietLog:
    """Logs a message at most once per key and interval, and adds how often it was left out since.

    The keys are few: words of ours, never a stranger's. Past `MAX_KEYS` the rest share one.
    """

    def __init__(self, logger: logging.Logger, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._ticks = logger, ticks
        self._lock = threading.Lock()
        self._left_out: dict[str, int] = {}
        self._quiet_until: dict[str, float] = {}

    def log(self, level: int, message: str, *args: object, key: str, every_s: float = MINUTE_S) -> None:
        """Log the message, unless one of its key was logged within `every_s` seconds."""
        with self._lock:
            key = key if key in self._left_out or len(self._left_out) < MAX_KEYS else ""
            if self._ticks() < self._quiet_until.get(key, 0.0):
                self._left_out[key] += 1
                return
            left_out, self._left_out[key] = self._left_out.get(key, 0), 0
            self._quiet_until[key] = self._ticks() + every_s
        self._logger.log(level, "%s left_out=%s", message % args, left_out)

    def forget(self) -> None:
        """Log everything again from now on, for tests."""
        self._left_out.clear()
        self._quiet_until.clear()
