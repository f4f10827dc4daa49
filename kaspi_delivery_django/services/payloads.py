"""What a create sends: built through the shop's adapter, frozen as text, compared with the order later."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models, transaction

from kaspi_delivery_django.client import DeliveryRequest, Parcel, wire
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import phone_tail
from kaspi_delivery_django.orders import adapter_for
from kaspi_delivery_django.services import attention, calls, statements
from kaspi_delivery_django.services.failures import AdapterFailed, ask

FROZEN = ("payload", "payload_sha256")
PLACE = ("address", "notes", "name", "phone")
MIRRORED = (
    *(f"{side}_{name}" for side in ("pickup", "dropoff") for name in PLACE),
    *(f"parcel_{field.name}" for field in fields(Parcel)),
    "phone_tail",
    "order_sha256",
)


def order_of(delivery: Delivery) -> models.Model:
    """Return the shop's order.

    Raises `ObjectDoesNotExist` when it is gone, and `AdapterFailed` when no adapter is for its model.
    """
    types = ContentType.objects.db_manager(delivery._state.db)
    model = types.get_for_id(delivery.content_type_id).model_class()
    if model is None or adapter_for(model) is None:
        raise AdapterFailed("no adapter in ORDER_ADAPTERS is for this order's model any more")
    try:
        order: models.Model = model._base_manager.using(delivery._state.db).get(pk=delivery.object_id)
    except (ValueError, ValidationError) as err:  # the shop's key has become of another type
        raise models.ObjectDoesNotExist("no such order any more") from err
    return order


def orders_of(deliveries: Iterable[Delivery]) -> dict[int, models.Model]:
    """Return the shop's orders by their deliveries' primary keys, with one query for each model.

    What `order_of` would raise for is left out.
    """
    groups = defaultdict(list)
    for delivery in deliveries:
        groups[delivery.content_type_id].append(delivery)
    return {pk: order for group in groups.values() for pk, order in _orders_alike(group).items()}


def _orders_alike(group: list[Delivery]) -> dict[int, models.Model]:
    using = group[0]._state.db
    model = ContentType.objects.db_manager(using).get_for_id(group[0].content_type_id).model_class()
    if model is None or adapter_for(model) is None:
        return {}
    with suppress(ValueError, ValidationError):
        orders = model._base_manager.using(using).in_bulk([delivery.object_id for delivery in group])
        known = {str(pk): order for pk, order in orders.items()}
        return {delivery.pk: known[delivery.object_id] for delivery in group if delivery.object_id in known}
    return {}


def build(call: ApiCall, delivery: Delivery, order: models.Model | None = None) -> None:
    """Build the payload of a create, unless it has one; `keep` freezes it. Nothing is written here.

    `order` is the shop's, when it was just read. Raises `ObjectDoesNotExist` when it is gone, and `AdapterFailed`.
    """
    if order is not None and call.payload:
        return
    with transaction.atomic(using=call._state.db):
        order = order or order_of(delivery)
        if call.payload:
            return
        request = _build(delivery, order)
    call.payload = wire.dump(request.to_json(), ascii_only=True)
    call.payload_sha256 = delivery.order_sha256 = wire.digest(call.payload)
    for name, value in _mirrored(request).items():
        setattr(delivery, name, value)


def keep(built: Sequence[tuple[ApiCall, Delivery]], *, using: str, with_calls: bool = True) -> None:
    """Freeze payloads that were built in this transaction: their text is what every attempt sends.

    Without `with_calls` the caller writes the calls' part (FROZEN) itself.
    """
    if with_calls:
        statements.update_all([call for call, _delivery in built], FROZEN, using=using)
    statements.update_all([delivery for _call, delivery in built], MIRRORED, using=using)


def notice_edits(delivery: Delivery) -> None:
    """Flag an order that was edited after it was booked and before the courier came; once for each edit."""
    create = calls.calls_of(delivery, ApiCall.Kind.CREATE).exclude(payload="").first()
    is_busy = delivery.attention not in {"", Attention.ORDER_EDITED}
    if create is None or is_busy or not delivery.is_before_pickup:
        return
    try:
        with transaction.atomic(using=delivery._state.db):
            document = _build(delivery, order_of(delivery)).to_json()
    except (models.ObjectDoesNotExist, AdapterFailed):
        return
    digest, older = (wire.digest(wire.dump(document, ascii_only=escaped)) for escaped in (True, False))
    if delivery.order_sha256 in {digest, older}:
        return
    delivery.order_sha256 = digest
    if create.payload_sha256 in {digest, older}:
        attention.clear(delivery, attention.OF_EDITING)
    else:
        attention.flag(delivery, Attention.ORDER_EDITED)
    delivery.save(update_fields=attention.COLUMNS)


def _build(delivery: Delivery, order: models.Model) -> DeliveryRequest:
    adapter = adapter_for(type(order))
    request = ask(adapter.build_request, order) if adapter else None
    if not isinstance(request, DeliveryRequest):
        raise AdapterFailed("build_request must return a DeliveryRequest")
    return replace(request, external_order_id=delivery.external_order_id or "")


def _mirrored(request: DeliveryRequest) -> dict[str, object]:
    columns = {f"parcel_{name}": value for name, value in vars(request.parcel).items()}
    for side, place in (("pickup", request.pickup), ("dropoff", request.dropoff)):
        columns[f"{side}_address"], columns[f"{side}_notes"] = place.address, place.notes
        columns[f"{side}_name"] = place.contact.name
        columns[f"{side}_phone"] = place.contact.phone
    return {**columns, "phone_tail": phone_tail(request.dropoff.contact.phone)}
