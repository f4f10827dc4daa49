"""Say what was found of an order, in the words of the admin, for a claim that does not hold. No customer's data."""

from collections.abc import Iterator, Sequence

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.deliveries import DeliveryRecord
from kaspi_delivery_django.testing.rows import Subject, is_ours


def tell(order: Subject, what: str, deliveries: Sequence[Delivery], records: Sequence[DeliveryRecord]) -> str:
    """Return a text of several lines: what is wrong, Kaspi's books, and the package's tables."""
    return "\n  ".join([f"{order._meta.label} {order.pk}: {what}.", *_lines(deliveries, records)])


def _lines(deliveries: Sequence[Delivery], records: Sequence[DeliveryRecord]) -> Iterator[str]:
    for record in records:
        yield f"Kaspi has {record.delivery_id} for {record.external_order_id}: {record.status}"
    if not records:
        yield "Kaspi has nothing"
    for delivery in deliveries:
        yield from _delivery_lines(delivery)
    if not deliveries:
        yield "The package has nothing: does wants_delivery() say so? A bulk_create() or an update() tells nobody."


def _delivery_lines(delivery: Delivery) -> Iterator[str]:
    known = f"delivery id {delivery.delivery_id or 'unknown'}, status {delivery.status or 'unknown'}"
    asks = f", needs attention: {delivery.attention}" if delivery.attention else ""
    yield f"The package has {delivery.external_order_id or 'a delivery without a name'}: {known}{asks}"
    if not is_ours(delivery):
        yield f"It was saved outside of the sandbox, with ENVIRONMENT {delivery.environment!r}: save it inside"
    yield from map(_call, delivery.calls.order_by("pk"))


def _call(call: ApiCall) -> str:
    reply = f", last answer {call.http_status or 'none'} {call.error_code} {call.error_message}".rstrip()
    return f"Its {call.kind} is {call.state}, tries: {call.attempts}{reply if call.error_message else ''}"
