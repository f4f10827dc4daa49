"""The time the demo has, and the way it fails."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.utils.translation import gettext

POLL_S = 0.05


class DemoFailed(Exception):
    """Something did not happen as it should; the text says what."""


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A stretch of time that begins now."""

    total_s: float
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """The seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.elapsed_s > self.total_s

    def wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        """Look again and again until it happened; raise `DemoFailed` when the time is over."""
        while not happened():
            if self.is_over:
                raise DemoFailed(still_waits(self.total_s, what))
            time.sleep(POLL_S)


def still_waits(total_s: float, what: str) -> str:
    """Return how the demo fails when its time is over."""
    return gettext("After %(seconds)s s the demo still waits for %(what)s.") % {
        "seconds": f"{total_s:.0f}",
        "what": what,
    }
