"""the rows after a step: every row, read once, for all of the promises."""

from dataclasses import dataclass

from django.db import connection

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from tests.shop.spellings import MODELS


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The rows of the shop and of the package, in the order they were written."""

    orders: dict
    deliveries: dict
    calls: list
    events: list
    changes: list

    def calls_of(self, delivery, kind):
        return [call for call in self.calls if call.delivery_id == delivery.pk and call.kind == kind]

    def changes_of(self, delivery):
        return [change for change in self.changes if change.delivery_id == delivery.pk and change.applied]

    def newest_of(self, order):
        key = str(order.pk)
        own = [one for one in self.deliveries.values() if one.object_id == key and not one.is_return]
        return max(own, key=lambda delivery: delivery.generation, default=None)

    def has_later(self, delivery):
        same = (one for one in self.deliveries.values() if way_of(one) == way_of(delivery))
        return any(one.generation > delivery.generation for one in same)

    def named(self, external_order_id):
        own = (row for row in self.deliveries.values() if row.external_order_id == external_order_id)
        return next(own, None)


def way_of(delivery):
    """Return what only one live parcel may be on: an order's way to its customer, or one way back."""
    return delivery.object_id, delivery.returned_generation


def read():
    """Read everything where it is written. No transaction may be open: the rows must be committed."""
    assert not connection.in_atomic_block
    return Ledger(
        orders={str(row.pk): row for model in MODELS for row in _rows(model)},
        deliveries={row.pk: row for row in _rows(Delivery)},
        calls=list(_rows(ApiCall)),
        events=list(_rows(WebhookEvent)),
        changes=list(_rows(StatusChange)),
    )


def _rows(model):
    return model.objects.using("default").order_by("pk")
