"""Notify customers of every change of a delivery's status."""

import logging
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext

from example_project.shop.models import CustomerNotice, Order
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.statuses import customer_label

logger = logging.getLogger(__name__)


def connect() -> None:
    """Listen to the package's news."""
    delivery_status_changed.connect(tell_customer, dispatch_uid="example_shop.tell_customer")


def tell_customer(delivery: Delivery, change: StatusChange, **_kwargs: Any) -> None:
    """Record the notice to the customer, once for each change: signals may be repeated."""
    is_ours = delivery.content_type_id == ContentType.objects.get_for_model(Order).pk
    order = delivery.order if is_ours else None
    if not isinstance(order, Order):  # of another app, or deleted since
        return
    text = gettext("the customer was told: %(status)s") % {
        "status": customer_label(change.to_status, is_return=delivery.is_return)
    }
    _, is_new = CustomerNotice.objects.get_or_create(change=change, defaults={"order": order, "text": text})
    if is_new:
        logger.info("%s: order=%s", text, order.pk)
