"""The forked app takes the place of oscar's own."""

from oscar.apps.shipping.apps import ShippingConfig as CoreShippingConfig


class ShippingConfig(CoreShippingConfig):
    """Has oscar's label, and this folder's name."""

    name = "tests.oscar.shipping"
