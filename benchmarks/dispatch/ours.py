"""What the package does with the same rows: a worker with so many threads, and claims alone."""

import time

from kaspi_delivery_django.services import claims, outbox
from kaspi_delivery_django.services.supply import LOOK_AHEAD
from kaspi_delivery_django.services.worker import Worker

AT_ONCE = 32


def send_all(threads: int) -> None:
    """Do as `kaspi_worker --once` does, with so many threads."""
    Worker(say=lambda _line: None, threads=threads).run_until_idle()


def claim_all() -> tuple[float, list[int]]:
    """Claim whatever is due, and send nothing; return the seconds that took and which calls they were."""
    claimed: list[int] = []
    began = time.perf_counter()
    while due := outbox.due_calls(limit=LOOK_AHEAD):
        for start in range(0, len(due), AT_ONCE):
            taken, _behind_gates = claims.take_many(due[start : start + AT_ONCE], using="default")
            claimed += [claim.call.pk for claim in taken]
    return time.perf_counter() - began, claimed
