"""The sandbox's courier, who also knows how to confuse a shop."""

from itertools import pairwise

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.deliveries import ROUTE, DeliveryRecord
from kaspi_delivery_django.sandbox.server import Courier

NEXT = dict(pairwise(ROUTE))


class DemoCourier(Courier):
    """Walks as the sandbox's courier does, but looks at whose parcel it is.

    The parcels of customers in `waits_for` stay where they are. Those of customers in `muddles`
    take two steps at a time, and Kaspi sends their webhooks in the wrong order, each twice.
    """

    def __init__(self, kaspi: FakeKaspi, pace_s: float) -> None:
        super().__init__(kaspi, pace_s)
        self.kaspi = kaspi
        self.pace_s = pace_s
        self.waits_for: set[str] = set()
        self.muddles: set[str] = set()

    def step(self, now: float) -> None:
        """Move every parcel that is due."""
        with self.kaspi.lock:
            for record in list(self.kaspi.deliveries.values()):
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
            self.kaspi.move(record.delivery_id, NEXT[record.status], now)

    def _muddle(self, record: DeliveryRecord, now: float) -> None:
        """Take two steps; the caller holds the lock, so no other webhooks are touched."""
        webhooks = self.kaspi.webhooks
        webhooks.duplicate, webhooks.reorder = True, 2
        self.kaspi.move(record.delivery_id, NEXT[record.status], now - self.pace_s)
        self.kaspi.move(record.delivery_id, NEXT[record.status], now)
        webhooks.duplicate = False
