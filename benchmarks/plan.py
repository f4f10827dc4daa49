"""What a run is asked for, and how it speaks while it runs."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run. `server` is a PostgreSQL's address; `rows` are the deliveries of the largest database.

    `keep` leaves the databases where they are, and takes those that an earlier run has left.
    """

    server: str
    rows: int
    rounds: int
    explain: bool = False
    keep: bool = False


def say(line: str) -> None:
    """Tell at once how far the run has come: on stderr, so that the report stands alone."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
