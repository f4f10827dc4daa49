"""A whole storm: a storm, a calm, a user who works through the list, and a count."""

import random
import threading
import time
from dataclasses import dataclass

from kaspi_delivery_django.models import Delivery
from tests.shop.models import AppOrder
from tests.storm import counts
from tests.storm.chaos import Chaos
from tests.storm.shopping import Shopping
from tests.storm.staff import StaffUser
from tests.storm.stage import Stage

LOOK_EVERY_S = 0.5
SHOPPERS = 2
OPEN_ONES = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a storm does. `faults` is each fault's chance, `speed` how much faster than real its time runs.

    Each of the workers sends with so many threads.
    """

    orders: int
    faults: float = 0.1
    kill_every_s: float = 3.0
    workers: int = 2
    threads: int = 4
    seed: int = 1
    speed: float = 30.0
    limit_s: float = 3600.0


def storm(plan, log=lambda _line: None, disturb=None):
    """Run the plan and return the closing table. Raises TimeoutError when it does not settle in time.

    `disturb(stage)` is called once, in the middle of the storm.
    """
    began, dice = time.monotonic(), random.Random(plan.seed)
    over = threading.Event()
    with Stage(plan) as stage:
        shopping = Shopping(plan.orders, SHOPPERS, plan.seed, over)
        user = StaffUser(stage.kaspi)
        watch = Watch(plan, log, stage, began)
        try:
            with Chaos(stage, plan, dice) as chaos:
                shopping.start()
                watch.until(lambda: len(stage.kaspi.deliveries) > plan.orders / 4, "storm")
                if disturb:
                    disturb(stage)
                watch.until(lambda: shopping.is_over() and watch.unsettled() <= plan.orders / 20, "storm")
            watch.until(lambda: watch.unsettled() == 0, "calm")
            _cancel_what_is_open(stage, watch)
            user.work()
            watch.until(lambda: user.work() or watch.is_quiet(), "user")
        finally:
            over.set()
        table = counts.tally(stage.kaspi, shopping)
    table["kills"] = chaos.kills
    table |= {f"listed for staff: {reason}": count for reason, count in sorted(user.reasons.items())}
    return {**table, "seconds": round(time.monotonic() - began)}


def _cancel_what_is_open(stage, watch):
    """Cancel booked orders by `update()` while no courier moves, and wait until each is cancelled at Kaspi."""
    with stage.resting_courier():
        keys = [AppOrder.objects.create().pk for _ in range(OPEN_ONES)]
        own = Delivery.objects.filter(object_id__in=[str(key) for key in keys])
        watch.until(lambda: own.filter(status="created").count() == OPEN_ONES, "booking what is cancelled while open")
        AppOrder.objects.filter(pk__in=keys).update(cancelled=True)
        watch.until(lambda: own.filter(status="cancelled").count() == OPEN_ONES, "cancelling what is open")


class Watch:
    """Waits for the stage, and logs how far it is."""

    def __init__(self, plan, log, stage, began):
        self._plan, self._log, self._stage, self._began = plan, log, stage, began
        self._pause = threading.Event()

    def until(self, is_so, phase):
        logged = 0.0
        while not is_so():
            elapsed = time.monotonic() - self._began
            if elapsed > self._plan.limit_s:
                raise TimeoutError(f"{phase}: {self.unsettled()} rows unsettled\n{self._stage.log()[-3000:]}")
            if elapsed - logged > 10:
                logged = elapsed
                self._log(f"{phase} {elapsed:.0f} s: unsettled {self.unsettled()}, listed {counts.listed()}")
            self._pause.wait(LOOK_EVERY_S)

    def unsettled(self):
        return counts.unsettled() + len(self._stage.kaspi.webhooks.pending)

    def is_quiet(self):
        return self.unsettled() == 0 and counts.listed() == 0
