"""Assert facts about an order's delivery. A failed assertion prints Kaspi's deliveries and the package's rows."""

from collections.abc import Iterator, Mapping
from copy import copy
from typing import NoReturn, TypeAlias

from django.db.models import Model

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.services.errors import call_adapter_predicate
from kaspi_delivery_django.services.outbox import due_calls
from kaspi_delivery_django.statuses import CANCELLED

State, Kind = ApiCall.State, ApiCall.Kind

MAX_CALLS = 10_000

Subject: TypeAlias = Model
"""The shop's order, or one of its deliveries."""


class Assertions:
    """The assertions of a test. They read Kaspi's deliveries, not only the package's tables."""

    def __init__(self, fakes: Mapping[str, FakeKaspi]) -> None:
        self.fakes = fakes

    def delivery_of(self, order: Subject) -> Delivery:
        """Return the order's newest delivery, read from the table now."""
        current = [delivery for delivery in _deliveries_of(order) if _is_from_sandbox(delivery)]
        return current[0] if current else self._fail(order, "it has no delivery")

    def bookings_of(self, order: Subject) -> list[DeliveryRecord]:
        """Return Kaspi's deliveries of the order, of all generations, the newest generation first."""
        return [record for delivery in _deliveries_of(order) for record in self._booked(delivery)]

    def booking_of(self, order: Subject) -> DeliveryRecord:
        """Return Kaspi's only delivery of the order: its `request` is the body that Kaspi received."""
        return self._only_booking(order, self.delivery_of(order))

    def assert_booked_once(self, order: Subject) -> None:
        """Assert that Kaspi has one delivery, that the package has its id, and that no earlier one is active.

        Of an order in several parcels it has one for each.
        """
        parcels = identities.one_per_parcel([self.delivery_of(order), *_deliveries_of(order)])
        known = [(delivery, self._only_booking(order, delivery)) for delivery in parcels]
        for delivery, record in known:
            if delivery.delivery_id != record.delivery_id:
                self._fail(order, f"the package does not know {record.delivery_id}")
        booked = [record for _delivery, record in known]
        others = [one for one in self.bookings_of(order) if one not in booked and one.status != CANCELLED]
        if others:
            self._fail(order, f"{others[0].delivery_id} is active too")

    def assert_not_booked(self, order: Subject) -> None:
        """Assert that Kaspi has no delivery and that no create is due."""
        if self.bookings_of(order):
            self._fail(order, "it is booked")
        creates = ApiCall.objects.filter(delivery__in=_deliveries_of(order), kind=Kind.CREATE)
        if set(creates.values_list("pk", flat=True)) & set(due_calls.select(limit=MAX_CALLS)):
            self._fail(order, "its create is due; call send_due() first")

    def assert_stays_wanted(self, order: Model, *later: Mapping[str, object]) -> None:
        """Assert that the adapter wants the delivery, now and after each of these changes of the order's attributes.

        The order is not saved: `assert_stays_wanted(order, {"status": "packed"}, {"status": "shipped"})`.
        """
        adapter = identities.adapter_of(order)
        for changes in ({}, *later):
            changed = copy(order)
            for name, value in changes.items():
                setattr(changed, name, value)
            given = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "unchanged"
            if call_adapter_predicate(adapter.wants_cancel, changed):
                self._fail(order, f"wants_cancel returns True ({given}): it would be cancelled")
            if not call_adapter_predicate(adapter.wants_delivery, changed):
                self._fail(order, f"wants_delivery returns False ({given}): it would not be sent")

    def assert_status(self, order: Subject, status: str) -> None:
        """Assert the delivery's status in the package."""
        found = self.delivery_of(order).status
        if found != status:
            self._fail(order, f"its status is {found!r}, not {status!r}")

    def assert_cancelled(self, order: Subject) -> None:
        """Assert that no delivery is or will be active: it was cancelled at Kaspi, or before its create was sent."""
        active = [record for record in self.bookings_of(order) if record.status != CANCELLED]
        if active:
            self._fail(order, f"{active[0].delivery_id} is {active[0].status} at Kaspi")
        delivery = self.delivery_of(order)
        was_abandoned = delivery.calls.filter(kind=Kind.CREATE, state=State.ABANDONED).exists()
        if delivery.status != CANCELLED and not was_abandoned:
            self._fail(order, f"its status is {delivery.status!r}, not {CANCELLED!r}")

    def assert_needs_attention(self, order: Subject, reason: str) -> None:
        """Assert that the delivery needs attention for this `Attention`."""
        wanted = Attention(reason)
        if self.delivery_of(order).attention != wanted:
            self._fail(order, f"it does not need attention because of {wanted.value!r}")

    def assert_up_to_date(self, order: Subject) -> None:
        """Assert that nothing is pending: no attention, no unfinished call, no change that a receiver refused."""
        delivery = self.delivery_of(order)
        if delivery.attention:
            self._fail(order, f"it needs attention because of {delivery.attention!r}")
        if delivery.calls.filter(state__in=ApiCall.UNFINISHED).exists():
            self._fail(order, "it has an unfinished call")
        unnotified = StatusChange.objects.filter(delivery=delivery, applied=True, notified_at=None).first()
        if unnotified:
            self._fail(order, f"a signal receiver raised at {unnotified.to_status!r}; see the log")

    def _only_booking(self, order: Subject, delivery: Delivery) -> DeliveryRecord:
        records = self._booked(delivery)
        return records[0] if len(records) == 1 else self._fail(order, f"Kaspi has {len(records)} deliveries of it")

    def _booked(self, delivery: Delivery) -> list[DeliveryRecord]:
        fake = self.fakes.get(delivery.account)
        return fake.deliveries_for(delivery.external_order_id or "") if fake else []

    def _fail(self, order: Subject, message: str) -> NoReturn:
        found = _findings(_deliveries_of(order), self.bookings_of(order))
        raise AssertionError("\n  ".join([f"{order._meta.label} {order.pk}: {message}.", *found]))


def _deliveries_of(order: Subject) -> list[Delivery]:
    """Return the order's deliveries, read from the table now, the newest generation first."""
    if isinstance(order, Delivery):
        return list(Delivery.objects.filter(pk=order.pk))
    return list(identities.deliveries_of(identities.adapter_of(order), order))


def _is_from_sandbox(delivery: Delivery) -> bool:
    """Return whether the delivery was saved with the settings of the sandbox."""
    account = conf.account(delivery.account)
    return account is not None and account.environment == delivery.environment


def _findings(deliveries: list[Delivery], records: list[DeliveryRecord]) -> Iterator[str]:
    """Describe Kaspi's deliveries and the package's rows, without personal data."""
    for record in records:
        yield f"Kaspi has {record.delivery_id} for {record.external_order_id}: {record.status}"
    if not records:
        yield "Kaspi has no delivery"
    for delivery in deliveries:
        yield from _describe(delivery)
    if not deliveries:
        yield "The package has no delivery: check wants_delivery(). bulk_create() and update() send no signals."


def _describe(delivery: Delivery) -> Iterator[str]:
    known = f"delivery id {delivery.delivery_id or 'unknown'}, status {delivery.status or 'unknown'}"
    attention = f", needs attention: {delivery.attention}" if delivery.attention else ""
    yield f"The package has {delivery.external_order_id or 'a delivery without an id'}: {known}{attention}"
    if not _is_from_sandbox(delivery):
        yield f"It was saved outside the sandbox, with ENVIRONMENT {delivery.environment!r}: save it inside"
    for call in delivery.calls.order_by("pk"):
        response = f", last response {call.http_status or 'none'} {call.error_code} {call.error_message}".rstrip()
        yield f"Its {call.kind} is {call.state}, attempts: {call.attempts}{response if call.error_message else ''}"
