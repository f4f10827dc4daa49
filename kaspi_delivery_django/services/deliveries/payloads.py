"""Ask the shop's adapter about an order: whether to send it, and what; freeze that as text, and detect later edits."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum, auto

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.functional import Promise

from kaspi_delivery_django.client import DeliveryRequest, Location, Parcel, protocol
from kaspi_delivery_django.client.types import MAX_REASON_LENGTH, read_text
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import CUSTOMER_KEYS
from kaspi_delivery_django.models.search import city_key, phone_tail, second_words_key, words_key
from kaspi_delivery_django.orders import AnyAdapter, adapter_for, can_be_looked_up
from kaspi_delivery_django.services import fast_sql
from kaspi_delivery_django.services.db import db_alias, storable
from kaspi_delivery_django.services.deliveries import attention
from kaspi_delivery_django.services.errors import (
    AdapterFailed,
    call_adapter,
    call_adapter_predicate,
    one_line,
    project_locale,
)

logger = logging.getLogger(__name__)
NO_ADAPTER = "ORDER_ADAPTERS has no adapter for this order's model"
FROZEN = ("payload", "payload_sha256")
PLACE = ("address", "notes", "name", "phone")
MIRRORED = (
    *(f"{side}_{name}" for side in ("pickup", "dropoff") for name in PLACE),
    *(f"parcel_{field.name}" for field in fields(Parcel)),
    "phone_tail",
    *CUSTOMER_KEYS,
    "order_sha256",
)
_WRONG_KEY = (AttributeError, OverflowError, TypeError, ValueError, ValidationError)  # the key's type was changed


class Wish(Enum):
    """What the shop's adapter wants for an order: have it sent, sent later, not sent, or cancelled."""

    SEND = auto()
    LATER = auto()
    WAIT = auto()
    CANCEL = auto()


def order_of(delivery: Delivery) -> models.Model:
    """Return the shop's order.

    Raises `ObjectDoesNotExist` when it is deleted, and `AdapterFailed` when its model has no adapter.
    """
    types = ContentType.objects.db_manager(db_alias())
    model = types.get_for_id(delivery.content_type_id).model_class()
    if model is None or adapter_for(model) is None:
        raise AdapterFailed(NO_ADAPTER)
    if not can_be_looked_up(model):  # the order may exist, so the delivery must not be abandoned
        raise AdapterFailed("orders with a primary key of several columns cannot be looked up: adapt another model")
    try:
        with project_locale():
            order: models.Model = model._base_manager.using(db_alias()).get(pk=delivery.object_id)
    except _WRONG_KEY as err:
        raise models.ObjectDoesNotExist("no such order") from err
    return order


def orders_of(deliveries: Iterable[Delivery]) -> dict[int, models.Model]:
    """Return the shop's orders by their deliveries' primary keys, with one query for each model.

    Orders that `order_of` would raise for are left out.
    """
    groups = defaultdict(list)
    for delivery in deliveries:
        groups[delivery.content_type_id].append(delivery)
    return {pk: order for group in groups.values() for pk, order in _orders_of_model(group).items()}


def _orders_of_model(group: list[Delivery]) -> dict[int, models.Model]:
    using = db_alias()
    model = ContentType.objects.db_manager(using).get_for_id(group[0].content_type_id).model_class()
    if model is None or adapter_for(model) is None:
        return {}
    try:
        with project_locale():
            orders = model._base_manager.using(using).in_bulk([delivery.object_id for delivery in group])
    except _WRONG_KEY:
        return _orders_of_halves(group)
    known = {str(pk): order for pk, order in orders.items()}
    return {delivery.pk: known[delivery.object_id] for delivery in group if delivery.object_id in known}


def _orders_of_halves(group: list[Delivery]) -> dict[int, models.Model]:
    """Leave out only the order whose key the shop's model cannot have."""
    if len(group) == 1:
        return {}
    middle = len(group) // 2
    return {**_orders_of_model(group[:middle]), **_orders_of_model(group[middle:])}


def build(call: ApiCall, delivery: Delivery, order: models.Model) -> None:
    """Build the create's payload; `store` writes it. The caller has a savepoint. Raises `AdapterFailed`."""
    request = _build(delivery, order)
    call.payload = protocol.dump(request.to_json(), ascii_only=True)
    call.payload_sha256 = delivery.order_sha256 = protocol.digest(call.payload)
    for name, value in _mirrored(request).items():
        setattr(delivery, name, value)


def current_wish(delivery: Delivery, order: models.Model) -> Wish:
    """Ask the adapter whether to send the delivery of this order, as the database has it. Raises `AdapterFailed`."""
    return wish_for(_adapter_of(order), order, is_sent_anyway=delivery.send_anyway_at is not None)


def wish_for(adapter: AnyAdapter, order: models.Model, *, is_sent_anyway: bool = False) -> Wish:
    """Ask the adapter what it wants for an order. Raises `AdapterFailed`."""
    if call_adapter_predicate(adapter.wants_cancel, order):
        return Wish.CANCEL
    if is_sent_anyway or call_adapter_predicate(adapter.wants_delivery, order):
        return Wish.SEND
    return Wish.WAIT


def postponed_until(delivery: Delivery, order: models.Model, now: datetime) -> datetime | None:
    """Return when the adapter wants a wanted order to be booked; None for now, or if staff sent it before.

    Raises `AdapterFailed`.
    """
    if delivery.send_anyway_at or delivery.send_early_at:
        return None
    at = call_adapter(_adapter_of(order).not_before, order)
    if at is None:
        return None
    if not isinstance(at, datetime) or timezone.is_naive(at):
        raise AdapterFailed("not_before must return None or a datetime with a time zone")
    return at if at > now else None


def store(built: Sequence[tuple[ApiCall, Delivery]], *, using: str, with_calls: bool = True) -> None:
    """Freeze payloads that were built in this transaction: every attempt sends their text.

    Without `with_calls` the caller writes the calls' columns (FROZEN).
    """
    if with_calls:
        fast_sql.update_all([call for call, _delivery in built], FROZEN, using=using)
    fast_sql.update_all([delivery for _call, delivery in built], MIRRORED, using=using)


def flag_edits(delivery: Delivery) -> None:
    """Flag an order that was edited between its booking and its pickup, once for each edit.

    Reverting the edit clears the flag.
    """
    create = ApiCall.objects.of(delivery, ApiCall.Kind.CREATE).exclude(payload="").first()
    is_busy = delivery.attention not in {"", Attention.ORDER_EDITED}
    if create is None or is_busy or not delivery.is_before_pickup:
        return
    request = _request_now(delivery)
    if request is None:
        return
    document = request.to_json()
    digest, older = (protocol.digest(protocol.dump(document, ascii_only=escaped)) for escaped in (True, False))
    if delivery.order_sha256 in {digest, older}:
        return
    delivery.order_sha256 = digest
    if create.payload_sha256 in {digest, older}:
        attention.clear(delivery, attention.OF_EDIT)
    else:
        attention.flag(delivery, Attention.ORDER_EDITED, occurrence=digest)
    delivery.save(update_fields=attention.COLUMNS)


def edited(delivery: Delivery) -> Mapping[str, object]:
    """Return the values that the order has now, by the delivery's column, where they are not the booked ones."""
    request = None if delivery.blanked_at else _request_now(delivery)
    columns = _booked(request) if request else {}
    return {name: value for name, value in columns.items() if value != getattr(delivery, name)}


def _request_now(delivery: Delivery) -> DeliveryRequest | None:
    """Build the request of the order as it is now; None if the adapter fails or the order is gone."""
    try:
        with transaction.atomic(using=db_alias()):
            return _build(delivery, order_of(delivery))
    except (models.ObjectDoesNotExist, AdapterFailed):
        return None


def cancel_reason_of(order: models.Model) -> str:
    """Return the adapter's reason to cancel, cut to the limit; an empty one if the adapter fails."""
    adapter = _adapter_of(order)
    try:
        with transaction.atomic(using=db_alias()):
            reason = read_text(call_adapter(lambda: _as_text(adapter.cancel_reason(order))))
            return storable(reason)[:MAX_REASON_LENGTH]
    except AdapterFailed as err:
        logger.error("no cancel reason: model=%s pk=%s error=%s", adapter.model, one_line(order.pk), err)  # noqa: TRY400  # no data in logs
        return ""


def _as_text(reason: object) -> object:
    """Translate a lazy text, while the project's language is active."""
    return str(reason) if isinstance(reason, Promise) else reason


def _adapter_of(order: models.Model) -> AnyAdapter:
    adapter = adapter_for(type(order))
    if adapter is None:
        raise AdapterFailed(NO_ADAPTER)
    return adapter


def _build(delivery: Delivery, order: models.Model) -> DeliveryRequest:
    request = call_adapter(_adapter_of(order).build_request, order)
    if not isinstance(request, DeliveryRequest):
        raise AdapterFailed("build_request must return a DeliveryRequest")
    return replace(request, external_order_id=delivery.external_order_id or "")


def _mirrored(request: DeliveryRequest) -> dict[str, object]:
    return {**_booked(request), **_searched(request.dropoff)}


def _booked(request: DeliveryRequest) -> dict[str, object]:
    columns = {f"parcel_{name}": value for name, value in vars(request.parcel).items()}
    for side, place in (("pickup", request.pickup), ("dropoff", request.dropoff)):
        columns[f"{side}_address"], columns[f"{side}_notes"] = place.address, place.notes
        columns[f"{side}_name"] = place.contact.name
        columns[f"{side}_phone"] = place.contact.phone
    return columns


def _searched(dropoff: Location) -> dict[str, object]:
    return {
        "phone_tail": phone_tail(dropoff.contact.phone),
        "name_key": words_key(dropoff.contact.name),
        "surname_key": second_words_key(dropoff.contact.name),
        "city_key": city_key(dropoff.address),
    }
