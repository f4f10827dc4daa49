"""A clock that runs and can be moved forward."""

from datetime import datetime, timedelta

from django.utils import timezone


class FakeClock:
    """The time of this process plus an offset; follows a frozen time too."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return timezone.now() + self._offset

    def timestamp(self) -> float:
        """Return the time as Unix seconds."""
        return self.now().timestamp()

    def advance(self, by: timedelta) -> None:
        """Move the clock forward. Raises `ValueError` for a negative `by`, which would order Kaspi's events wrongly."""
        if by < timedelta():
            raise ValueError("Time can only be moved forward.")
        self._offset += by

    def advance_to(self, timestamp: float) -> None:
        """Move the clock forward to these Unix seconds, if they are to come."""
        self.advance(timedelta(seconds=max(0.0, timestamp - self.timestamp())))
