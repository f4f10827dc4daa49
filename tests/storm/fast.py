"""Time that runs faster, for every process of a storm alike: leases, pauses and timeouts keep their proportions."""

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from unittest.mock import patch

from kaspi_delivery_django import client
from kaspi_delivery_django.client import KaspiClient, Timeouts
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox import pipeline, sender, worker

VARIABLE = "STORM_CLOCK"


@dataclass(frozen=True)
class FastClock:
    """A clock that was right at `epoch`, in Unix seconds, and runs `speed` times as fast since."""

    epoch: float
    speed: float

    @classmethod
    def from_environment(cls):
        epoch, speed = os.environ[VARIABLE].split()
        return cls(float(epoch), float(speed))

    def to_environment(self):
        return {VARIABLE: f"{self.epoch!r} {self.speed!r}"}

    def timestamp(self):
        return self.epoch + (time.time() - self.epoch) * self.speed

    def now(self):
        return datetime.fromtimestamp(self.timestamp(), UTC)


@contextmanager
def running(fast):
    """Let the services of this process follow the clock, and scale what they wait for by themselves."""
    waits = Timeouts(connect_s=5 / fast.speed, read_s=10 / fast.speed, total_s=15 / fast.speed)
    with (
        clock.replaced(fast.now),
        patch.object(client, "KaspiClient", partial(KaspiClient, timeouts=waits)),
        patch.object(worker, "HEARTBEAT_S", 30 / fast.speed),
        patch.object(worker, "IDLE_S", 0.1),
        patch.object(worker, "SEND_S", 10 / fast.speed),
        patch.object(pipeline, "MAX_WAIT_S", 25 / fast.speed),
        patch.object(worker, "ERROR_PAUSE_S", 0.3),
    ):
        sender._client.cache_clear()
        yield
    sender._client.cache_clear()
