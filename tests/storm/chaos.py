"""What goes wrong in a storm, and how often."""

import threading
from concurrent.futures import ThreadPoolExecutor

from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.webhooks import WebhookQueue

TICK_S = 1.0
LATE_S = 300.0


def faults(chance, speed):
    """Return the faults that each call meets with this chance."""
    ways = (
        {"drop": "before"},
        {"drop": "after"},
        {"truncate": True},
        {"latency_s": 20 / speed},
        {"status": 500},
        {"status": 503, "booked": True},
        {"body": b"{}"},
        {"body": b"<html>"},
        {"operation": "create", "status": 500, "booked": True, "stored": True},
        {"operation": "create", "status": 409, "code": "in_progress"},
        {"operation": "create", "status": 409, "code": "idempotency_mismatch"},
        {"operation": "create", "status": 422},
    )
    return [Fault(probability=chance, times=None, **way) for way in ways]


BREAKER_OPENERS = (
    {"status": 401},
    {"status": 403},
    {"status": 405},
    {"status": 429, "retry_after": 30},
    {"status": 429, "retry_after": "soon"},
)


class Chaos:
    """Kills processes, and opens the circuit breaker now and then, until it is stopped.

    A 401 or a 429 holds up every call at once. So these come one at a time: with each kill, at the
    chance that every call has of meeting the others.
    """

    def __init__(self, stage, plan, dice):
        self._stage, self._plan, self._dice = stage, plan, dice
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=1)
        self.kills = 0

    def __enter__(self):
        for fault in faults(self._plan.faults, self._plan.speed):
            self._stage.kaspi.faults.add(fault)
        self._running = self._threads.submit(self._run)
        return self

    def __exit__(self, *_exc_info):
        self._stopped.set()
        self._threads.shutdown()
        self._stage.kaspi.faults.clear()
        self._stage.kaspi.webhooks.calm()
        self._running.result()  # raises what has ended it early

    def _run(self):
        due = self._plan.kill_every_s
        elapsed = 0.0
        while not self._stopped.wait(TICK_S):
            elapsed += TICK_S
            if elapsed >= due:
                due = elapsed + self._plan.kill_every_s * (0.5 + self._dice.random())
                self._kill()
                self._open_the_breaker()

    def _kill(self):
        processes = self._stage.processes
        process = self._dice.choice(processes)
        process.kill()
        process.start()
        self.kills += 1

    def _open_the_breaker(self):
        if self._dice.random() < self._plan.faults:
            fault = Fault(**self._dice.choice(BREAKER_OPENERS))
            self._stage.kaspi.faults._pending.insert(0, fault)


class RoughWebhookQueue(WebhookQueue):
    """Throws the dice for each event; `chance` 0 is a good day."""

    def __init__(self, *arguments, dice, chance, **options):
        super().__init__(*arguments, **options)
        self._dice = dice
        self.chance = chance

    def queue(self, url, event_type, data):
        with self._lock:
            self.duplicate = self._happens()
            self.lose = int(self._happens())
            self.delay_s = LATE_S if self._happens() else 0.0
            if self.reorder == 0 and self._happens():
                self.reorder = 3
            return super().queue(url, event_type, data)

    def calm(self):
        with self._lock:
            self.chance = 0.0
            self.reorder = 0
            self._release_held(self._clock())

    def _happens(self):
        return self._dice.random() < self.chance
