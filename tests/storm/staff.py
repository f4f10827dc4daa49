"""A user who works through the list of flagged deliveries, with the actions of staff."""

from collections import Counter

from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import (
    acknowledge_delivery,
    link_delivery,
    reissue_delivery,
    replay_event,
    retry_delivery,
)
from kaspi_delivery_django.services.deliveries import rules

TRY_AGAIN = {Attention.ADAPTER_FAILED, Attention.TOO_OLD}


class StaffUser:
    """Looks deliveries up in Kaspi's console, which is `kaspi`; remembers why they were listed."""

    def __init__(self, kaspi):
        self._kaspi = kaspi
        self.reasons = Counter()
        self._seen = set()

    def work(self):
        for delivery in Delivery.objects.exclude(attention=""):
            if (delivery.pk, delivery.attention) not in self._seen:
                self._seen.add((delivery.pk, delivery.attention))
                self.reasons[delivery.attention] += 1
            try:
                self._settle(delivery)
            except DeliveryError:
                continue  # not yet: it stays on the list
        for event in WebhookEvent.objects.filter(state__in=WebhookEvent.DEAD_LETTERS):
            replay_event(event)

    def _settle(self, delivery):
        if delivery.attention in TRY_AGAIN:
            retry_delivery(delivery)
        elif rules.may_be_booked(delivery):
            self._look_up(delivery)
        elif delivery.attention == Attention.REFUSED and _is_wanted(delivery):
            reissue_delivery(delivery)
        elif delivery.attention != Attention.SECOND_PARCEL:
            acknowledge_delivery(delivery)

    def _look_up(self, delivery):
        found = self._kaspi.deliveries_for(delivery.external_order_id)
        if found:
            link_delivery(delivery, found[0].delivery_id)
        elif _is_wanted(delivery):
            reissue_delivery(delivery, confirmed_absent=True)
        else:
            acknowledge_delivery(delivery, confirmed_absent=True)


def _is_wanted(delivery):
    orders = delivery.content_type.model_class().objects
    return orders.filter(pk=delivery.object_id, cancelled=False).exists()
