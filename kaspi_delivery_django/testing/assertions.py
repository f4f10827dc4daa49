"""Claims about an order's delivery. One that does not hold says what was found instead."""

from collections.abc import Mapping
from copy import copy
from typing import NoReturn

from django.db.models import Model

from kaspi_delivery_django.lifecycle import CANCELLED
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.sandbox.world import World
from kaspi_delivery_django.services import booking, outbox
from kaspi_delivery_django.services.failures import ask_whether
from kaspi_delivery_django.testing import findings
from kaspi_delivery_django.testing.rows import Subject, deliveries_of, is_ours

State, Kind = ApiCall.State, ApiCall.Kind

MANY = 10_000


class Assertions:
    """What a test may claim. Kaspi's own books are asked, not only the package's tables."""

    def __init__(self, worlds: Mapping[str, World]) -> None:
        self.worlds = worlds

    def delivery_of(self, order: Subject) -> Delivery:
        """Return the order's newest delivery, as it is in the table now."""
        mine = [delivery for delivery in deliveries_of(order) if is_ours(delivery)]
        return mine[0] if mine else self._fail(order, "it has no delivery")

    def bookings_of(self, order: Subject) -> list[DeliveryRecord]:
        """Return what Kaspi has booked for the order, over all of its generations, the newest generation first."""
        return [record for delivery in deliveries_of(order) for record in self._booked(delivery)]

    def booking_of(self, order: Subject) -> DeliveryRecord:
        """Return the order's one booking at Kaspi: its `request` is what Kaspi was sent."""
        records = self._booked(self.delivery_of(order))
        return records[0] if len(records) == 1 else self._fail(order, f"Kaspi has {len(records)} bookings of it")

    def assert_booked_once(self, order: Subject) -> None:
        """Kaspi has one booking, the package knows it by its id, and no earlier parcel is under way."""
        delivery, record = self.delivery_of(order), self.booking_of(order)
        if delivery.delivery_id != record.delivery_id:
            self._fail(order, f"the package has not heard of {record.delivery_id}")
        others = [one for one in self.bookings_of(order) if one is not record and one.status != CANCELLED]
        if others:
            self._fail(order, f"{others[0].delivery_id} is under way as well")

    def assert_not_booked(self, order: Subject) -> None:
        """Kaspi has no booking, and not only because it is due and was not sent."""
        if self.bookings_of(order):
            self._fail(order, "it is booked")
        creates = ApiCall.objects.filter(delivery__in=deliveries_of(order), kind=Kind.CREATE)
        if set(creates.values_list("pk", flat=True)) & set(outbox.due_calls(limit=MANY)):
            self._fail(order, "its booking is due; call send_due() first")

    def assert_stays_wanted(self, order: Model, *later: Mapping[str, object]) -> None:
        """The adapter wants the order shipped, and still does after each of these changes of its attributes.

        The order's row stays as it is: `assert_stays_wanted(order, {"status": "packed"}, {"status": "shipped"})`.
        """
        adapter = booking.adapter_of(order)
        for changes in ({}, *later):
            changed = copy(order)
            for name, value in changes.items():
                setattr(changed, name, value)
            given = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "as it is"
            if ask_whether(adapter.wants_cancel, changed):
                self._fail(order, f"wants_cancel says yes ({given}): it would be cancelled")
            if not ask_whether(adapter.wants_delivery, changed):
                self._fail(order, f"wants_delivery says no ({given}): it would wait instead of being sent")

    def assert_status(self, order: Subject, status: str) -> None:
        """The package shows this status."""
        found = self.delivery_of(order).status
        if found != status:
            self._fail(order, f"its status is {found!r}, not {status!r}")

    def assert_cancelled(self, order: Subject) -> None:
        """No parcel is under way, nor will be: it was cancelled, or taken back before anything was sent."""
        live = [record for record in self.bookings_of(order) if record.status != CANCELLED]
        if live:
            self._fail(order, f"{live[0].delivery_id} is {live[0].status} at Kaspi")
        delivery = self.delivery_of(order)
        was_taken_back = delivery.calls.filter(kind=Kind.CREATE, state=State.ABANDONED).exists()
        if delivery.status != CANCELLED and not was_taken_back:
            self._fail(order, f"its status is {delivery.status!r}, not {CANCELLED!r}")

    def assert_needs_attention(self, order: Subject, reason: str) -> None:
        """A person is asked for, because of this `Attention`."""
        wanted = Attention(reason)
        if self.delivery_of(order).attention != wanted:
            self._fail(order, f"it does not need attention because of {wanted.value!r}")

    def assert_settled(self, order: Subject) -> None:
        """Nothing is left to do: no person is needed, no call waits, and every receiver took every change."""
        delivery = self.delivery_of(order)
        if delivery.attention:
            self._fail(order, f"it needs attention because of {delivery.attention!r}")
        if delivery.calls.filter(state__in=ApiCall.UNFINISHED).exists():
            self._fail(order, "a call of it waits")
        untold = StatusChange.objects.filter(delivery=delivery, applied=True, notified_at=None).first()
        if untold:
            self._fail(order, f"a receiver of the signals has raised at {untold.to_status!r}; the log says so")

    def _booked(self, delivery: Delivery) -> list[DeliveryRecord]:
        world = self.worlds.get(delivery.account)
        return world.deliveries_for(delivery.external_order_id or "") if world else []

    def _fail(self, order: Subject, what: str) -> NoReturn:
        raise AssertionError(findings.tell(order, what, deliveries_of(order), self.bookings_of(order)))
