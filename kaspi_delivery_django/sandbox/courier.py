"""A courier who takes every delivery one status further at a steady pace."""

from itertools import pairwise

from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.sandbox.world import World

ROUTE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")
_NEXT = dict(pairwise(ROUTE))


class Courier:
    """Moves the deliveries of a world; `pace_s` is the time each spends in one status."""

    def __init__(self, world: World, pace_s: float) -> None:
        self._world = world
        self._pace_s = pace_s

    def step(self, now: float) -> None:
        """Carry out accepted cancels, then move each delivery that is due, by one status."""
        with self._world.lock:
            for record in list(self._world.deliveries.values()):
                self._step_one(record, now)

    def _step_one(self, record: DeliveryRecord, now: float) -> None:
        if record.pending_cancel is not None:
            self._world.move(record.delivery_id, "cancelled", now, record.pending_cancel)
        elif record.status in _NEXT and now - record.changed_at >= self._pace_s:
            self._world.move(record.delivery_id, _NEXT[record.status], now)
