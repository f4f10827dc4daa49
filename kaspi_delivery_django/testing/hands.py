"""A clock that runs, and can be turned forward."""

from datetime import datetime, timedelta

from django.utils import timezone


class Hands:
    """Shows the time of this process, and how far it was turned on top. A frozen time is honoured."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return timezone.now() + self._ahead

    def timestamp(self) -> float:
        """Return the Unix seconds."""
        return self.now().timestamp()

    def turn(self, by: timedelta) -> None:
        """Go forward. Raises `ValueError` for a way back, which Kaspi's stamps would not survive."""
        if by < timedelta():
            raise ValueError("Time can only be turned forward.")
        self._ahead += by
