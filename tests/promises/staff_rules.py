"""What staff click: in the admin, on anything, twice, and at the wrong moment."""

from hypothesis.stateful import precondition, rule
from hypothesis.strategies import sampled_from

from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import (
    acknowledge_delivery,
    cancel_delivery,
    link_delivery,
    refresh_delivery,
    reissue_delivery,
    replay_event,
    retry_delivery,
)

WHICH = sampled_from(range(4))
REASONS = sampled_from(["", "changed their mind", "out of stock"])


def has_rows(machine):
    return Delivery.objects.exists()


def has_held_rows(_machine):
    return Delivery.objects.filter(attention=Attention.NOT_WANTED).exists()


class StaffRules:
    @precondition(has_rows)
    @rule(which=WHICH, reason=REASONS, times=sampled_from([1, 2]))
    def person_cancels(self, which, reason, times):
        row = self._row(which)
        self.system.cancelled_by_staff.add(row.object_id)
        for _ in range(times):
            self._click(cancel_delivery, row, reason=reason)

    @precondition(has_rows)
    @rule(which=WHICH, service=sampled_from([refresh_delivery, retry_delivery, retry_delivery, reissue_delivery]))
    def person_clicks(self, which, service):
        """Refresh it now, retry it now, or rebook it."""
        self._click(service, self._row(which))

    @precondition(has_held_rows)
    @rule(which=WHICH)
    def person_sends_anyway(self, which):
        """The adapter does not want it sent, and staff know better; that holds for this order from now on."""
        held = list(Delivery.objects.filter(attention=Attention.NOT_WANTED).order_by("pk"))
        row = held[which % len(held)]
        if self._click(retry_delivery, row, send_anyway=True):
            self.system.sent_by_staff.add(row.object_id)

    @precondition(has_rows)
    @rule(which=WHICH, rightly=sampled_from([True, True, False]))
    def person_links(self, which, rightly):
        """By the id in Kaspi's cabinet, or by another order's."""
        row = self._row(which)
        parcels = self.system.kaspi.deliveries.values()
        found = [one.delivery_id for one in parcels if (one.external_order_id == row.external_order_id) == rightly]
        self._click(link_delivery, row, delivery_id=found[0] if found else "dlv_unknown")

    @precondition(has_rows)
    @rule(
        which=WHICH, service=sampled_from([reissue_delivery, acknowledge_delivery]), looks=sampled_from([True, False])
    )
    def person_confirms_absence(self, which, service, looks):
        """Having looked at Kaspi; or without, and then two parcels may come of it, which must be seen."""
        row = self._row(which)
        is_there = bool(self.system.kaspi.deliveries_for(row.external_order_id))
        if looks and is_there:
            return
        if self._click(service, row, confirmed_absent=True) and is_there:
            self.system.wrongly_absent.add(row.object_id)

    @precondition(has_rows)
    @rule(which=WHICH)
    def person_acknowledges(self, which):
        self._click(acknowledge_delivery, self._row(which))

    @precondition(lambda _machine: WebhookEvent.objects.exists())
    @rule(which=WHICH)
    def person_replays_an_event(self, which):
        events = list(WebhookEvent.objects.order_by("-pk"))
        replay_event(events[which % len(events)])

    def _row(self, which):
        rows = list(Delivery.objects.order_by("pk"))
        return rows[which % len(rows)]

    def _click(self, service, row, **options):
        """Click; a service that refuses has changed nothing."""
        try:
            done = service(row, **options)
        except DeliveryError:
            return None
        if service is acknowledge_delivery:
            self.system.acknowledged.add(row.pk)
        return done
