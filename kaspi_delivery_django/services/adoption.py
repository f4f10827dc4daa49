"""Take over what was booked with Kaspi before this app came, by a person or by the shop's own code."""

from dataclasses import replace

from django.db import models, transaction

from kaspi_delivery_django.client.exceptions import UsageError
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import CannotLink
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import booking, calls, exits, identities
from kaspi_delivery_django.services.deliveries import link_delivery
from kaspi_delivery_django.services.failures import AdapterFailed
from kaspi_delivery_django.services.transactions import home


def adopt_delivery(order: models.Model, delivery_id: str, *, external_order_id: str = "") -> Delivery:
    """Follow a delivery that Kaspi has already; the order is not booked, whatever its adapter wants.

    `external_order_id` is what Kaspi was told then; without it, what the adapter says. Kaspi is asked
    after the commit, and must confirm the two ids; what it does not confirm waits for a person.
    Adopting twice asks again, and does no harm. Raises `NoAdapter`, `UsageError` for an external order
    id that cannot be one, and `CannotLink` when the order has another delivery.
    """
    adapter = booking.adapter_of(order)
    if external_order_id and not is_identifier(external_order_id):
        raise UsageError("external_order_id must be 1 to 128 printable ASCII characters")
    try:
        identity = booking.identity_of(adapter, order)
        known_as = replace(identity, external_order_id=external_order_id or identity.external_order_id)
        return _adopt(adapter, delivery_id, known_as)
    except AdapterFailed as err:
        raise CannotLink(booking.ADAPTER_FAILED % {"error": err}) from err


def _adopt(adapter: AnyAdapter, delivery_id: str, identity: booking.Identity) -> Delivery:
    with transaction.atomic(using=home()):
        own = identities.deliveries_as(adapter, identity.object_id)
        known = own.filter(environment=identity.environment).first()
        delivery = known or booking.open_delivery(adapter, identity, calls.add_booked_elsewhere)
        if delivery.delivery_id == delivery_id:
            return delivery
        if not exits.may_be_booked(delivery) or delivery.external_order_id != identity.external_order_id:
            raise CannotLink(booking.OTHER_DELIVERY % {"name": delivery})
        link_delivery(delivery, delivery_id)
    return delivery
