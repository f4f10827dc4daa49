"""An order's deliveries, one after the other: a person opens the next when the last came to nothing."""

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet as Deliveries


def has_successor(delivery: Delivery) -> bool:
    """Tell whether a later generation of the order exists."""
    return _siblings(delivery).filter(generation__gt=delivery.generation).exists()


def has_live_forerunner(delivery: Delivery) -> bool:
    """Tell whether an earlier generation of the order turned out to be a parcel after all."""
    if delivery.generation == 1:
        return False
    return any(one.is_live for one in _siblings(delivery).filter(generation__lt=delivery.generation))


def _siblings(delivery: Delivery) -> Deliveries:
    same_order = Delivery.objects.of_order(delivery.content_type, delivery.object_id)
    return same_order.filter(environment=delivery.environment)
