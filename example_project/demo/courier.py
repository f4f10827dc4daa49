"""The sandbox's courier, who also knows how to confuse a shop."""

from itertools import pairwise

from kaspi_delivery_django.sandbox.courier import ROUTE, Courier
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.sandbox.world import World

NEXT = dict(pairwise(ROUTE))


class DemoCourier(Courier):
    """Walks as the sandbox's courier does, but looks at whose parcel it is.

    The parcels of customers in `waits_for` stay where they are. Those of customers in `muddles`
    take two steps at a time, and Kaspi tells of them in the wrong order, each twice.
    """

    def __init__(self, world: World, pace_s: float) -> None:
        super().__init__(world, pace_s)
        self.world = world
        self.pace_s = pace_s
        self.waits_for: set[str] = set()
        self.muddles: set[str] = set()

    def step(self, now: float) -> None:
        """Move every parcel that is due."""
        with self.world.lock:
            for record in list(self.world.deliveries.values()):
                self._walk(record, now)

    def _walk(self, record: DeliveryRecord, now: float) -> None:
        customer = record.request["dropoff"]["contact"]["name"]
        if record.status not in NEXT or customer in self.waits_for:
            return
        steps = 2 if customer in self.muddles else 1
        if now - record.changed_at < steps * self.pace_s:
            return
        if customer in self.muddles:
            self._muddle(record, now)
        else:
            self.world.move(record.delivery_id, NEXT[record.status], now)

    def _muddle(self, record: DeliveryRecord, now: float) -> None:
        """Take two steps; the caller holds the lock, so nobody else's webhooks are touched."""
        mailbox = self.world.mailbox
        mailbox.duplicate, mailbox.reorder = True, 2
        self.world.move(record.delivery_id, NEXT[record.status], now - self.pace_s)
        self.world.move(record.delivery_id, NEXT[record.status], now)
        mailbox.duplicate = False
