"""What a run is asked for, and how it speaks while it runs."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: a PostgreSQL's address, the deliveries of its largest database, and the requests of a race.

    `keep` leaves the databases where they are, and takes those that an earlier run has left.
    """

    server: str
    rows: int
    rounds: int
    requests: int = 1000
    explain: bool = False
    keep: bool = False


def say(line: str) -> None:
    """Tell at once how far the run has come: on stderr, so that the report stands alone."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
