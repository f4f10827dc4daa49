"""Move the oscar order along its pipeline as Kaspi moves the parcel."""

from django.db import transaction
from django.dispatch import receiver
from oscar.core.loading import get_class, get_model

from kaspi_delivery_django.signals import delivery_status_changed

EventHandler = get_class("order.processing", "EventHandler")
Order = get_model("order", "Order")

ORDER_STATUS = {"in_transit": "On the way", "out_for_delivery": "On the way", "delivered": "Delivered"}


@receiver(delivery_status_changed)
def move_the_order(sender, delivery, change, **kwargs):
    """Set the order's status if the pipeline allows it; a repeated status changes nothing."""
    wanted = ORDER_STATUS.get(change.to_status)
    if wanted is None or delivery.is_return or not isinstance(delivery.order, Order):
        return
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=delivery.object_id)
        if wanted in order.available_statuses():
            EventHandler().handle_order_status_change(order, wanted, note_msg=f"Kaspi: {change.to_status}")
