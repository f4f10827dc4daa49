"""The ways to get a parcel that this shop offers."""

from decimal import Decimal

from oscar.apps.shipping.methods import *
from oscar.apps.shipping.methods import FixedPrice, Free


class KaspiDelivery(FixedPrice):
    """A courier of Kaspi's brings it; the shop charges a fixed price."""

    code = "kaspi-delivery"
    name = "Kaspi Delivery"
    charge_excl_tax = charge_incl_tax = Decimal(1500)


class SelfPickup(Free):
    """The customer fetches it."""

    code = "self-pickup"
    name = "Self-pickup"
