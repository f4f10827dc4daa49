"""Ask the shop's adapter about an order: whether to send it, and what; freeze that as text, and detect later edits."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum, auto
from typing import Any

from django.db import Error, models
from django.utils import timezone
from django.utils.functional import Promise

from kaspi_delivery_django.client import Contact, DeliveryRequest, Location, Parcel
from kaspi_delivery_django.client.protocol import dump
from kaspi_delivery_django.client.types import MAX_REASON_LENGTH, read_text
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.calls import digest
from kaspi_delivery_django.models.deliveries import CUSTOMER_KEYS
from kaspi_delivery_django.models.search import city_key, phone_tail, second_words_key, words_key
from kaspi_delivery_django.orders import AnyAdapter, OrderAdapter, adapter_for, can_be_looked_up, is_key
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import atomic, content_types, rows_of, storable
from kaspi_delivery_django.services.deliveries import attention, identities
from kaspi_delivery_django.services.deliveries.identities import Identity
from kaspi_delivery_django.services.errors import (
    AdapterFailed,
    call_adapter,
    call_adapter_predicate,
    describe,
    one_line,
    project_locale,
)

logger = logging.getLogger(__name__)
NO_ADAPTER = "ORDER_ADAPTERS has no adapter for this order's model"
NO_REQUEST = "build_request must return a DeliveryRequest"
NO_RETURN = "build_return must return a DeliveryRequest"
FROZEN = ("payload", "payload_sha256")
SIDES = ("pickup", "dropoff")
PLACES = tuple(f"{side}_{name}" for side in SIDES for name in ("address", "notes", "name", "phone"))
MIRRORED = (
    *PLACES,
    *(f"parcel_{field.name}" for field in fields(Parcel)),
    "phone_tail",
    *CUSTOMER_KEYS,
    "order_sha256",
)


class OtherParcels(AdapterFailed):
    """The order no longer goes in the parcels that it was split into."""


class Wish(Enum):
    """What the shop's adapter wants for an order: have it sent, sent later, not sent, or cancelled."""

    SEND = auto()
    LATER = auto()
    WAIT = auto()
    CANCEL = auto()


def order_of(delivery: Delivery) -> models.Model:
    """Return the shop's order.

    Raises `ObjectDoesNotExist` when it is deleted, and `AdapterFailed` when its model has no adapter or cannot read it.
    """
    model = _adapted_model(delivery)
    if model is None:
        raise AdapterFailed(NO_ADAPTER)
    if not can_be_looked_up(model):  # the order may exist, so the delivery must not be abandoned
        raise AdapterFailed("orders with a primary key of several columns cannot be looked up: adapt another model")
    if not is_key(model, delivery.object_id):
        raise models.ObjectDoesNotExist("no such order")
    try:
        with project_locale():
            return rows_of(model).get(pk=delivery.object_id)
    except (model.DoesNotExist, Error):  # type: ignore[attr-defined]  # each model has its own
        raise
    except Exception as err:  # also of a row that the shop's model looks up: the order exists, and is not cancelled
        raise AdapterFailed(describe(err)) from err


def _adapted_model(delivery: Delivery) -> type[models.Model] | None:
    """Return the model of the delivery's order; None if it is gone or has no adapter."""
    content_type = content_types().get_for_id(delivery.content_type_id)
    model: type[models.Model] | None = content_type.model_class()
    return model if model and adapter_for(model) else None


def orders_of(deliveries: Iterable[Delivery]) -> dict[int, models.Model]:
    """Return the shop's orders by their deliveries' primary keys, with one query for each model.

    Orders that `order_of` would raise for are left out.
    """
    groups = defaultdict(list)
    for delivery in deliveries:
        groups[delivery.content_type_id].append(delivery)
    return {pk: order for group in groups.values() for pk, order in _orders_of_model(group).items()}


def _orders_of_model(group: list[Delivery]) -> dict[int, models.Model]:
    model = _adapted_model(group[0])
    if model is None:
        return {}
    try:
        with project_locale():
            orders = rows_of(model).in_bulk([delivery.object_id for delivery in group])
    except Error:
        raise
    except Exception as err:  # noqa: BLE001  # a key that the model cannot have, or whatever it raises about a row
        if len(group) == 1:
            logger.warning("order not read: delivery=%s error=%s", group[0].pk, describe(err))
            return {}
        middle = len(group) // 2
        return {**_orders_of_model(group[:middle]), **_orders_of_model(group[middle:])}
    known = {str(pk): order for pk, order in orders.items()}
    return {delivery.pk: known[delivery.object_id] for delivery in group if delivery.object_id in known}


def build(call: ApiCall, delivery: Delivery, order: models.Model) -> None:
    """Build the create's payload; `store` writes it. The caller has a savepoint. Raises `AdapterFailed`."""
    request = _build(delivery, order)
    call.payload = dump(request.to_json(), ascii_only=True)
    call.payload_sha256 = delivery.order_sha256 = digest(call.payload)
    customer = request.pickup if delivery.is_return else request.dropoff
    for name, value in {**_booked(request), **_searched(customer)}.items():
        setattr(delivery, name, value)


def parcels_of(adapter: AnyAdapter, order: models.Model) -> Mapping[str, DeliveryRequest]:
    """Ask the adapter for the parcels of an order; none for an order that is one. Raises `AdapterFailed`."""
    if type(adapter).parcels is OrderAdapter.parcels:
        return {}
    parcels = call_adapter(adapter.parcels, order)
    if parcels is None:
        return {}
    if not isinstance(parcels, Mapping) or not all(isinstance(one, DeliveryRequest) for one in parcels.values()):
        raise AdapterFailed("parcels must return None or a mapping of keys to DeliveryRequests")
    if not all(map(identities.is_parcel_key, parcels)) or len({key.lower() for key in parcels}) < len(parcels):
        raise AdapterFailed(
            'a key of parcels must be at most 20 letters, digits and hyphens, such as "almaty" or "box-b2": each word'
            ' begins with a letter and is not "return", "create", "cancel", "refresh" or "link", and no two keys differ'
            " in case alone"
        )
    return parcels


def check(adapter: AnyAdapter, identity: Identity, order: models.Model) -> None:
    """Build an order's requests as a test. Raises `AdapterFailed`."""
    for key in parcels_of(adapter, order) or [""]:
        own = identities.for_parcel(identity, key)
        build(ApiCall(), Delivery(external_order_id=own.external_order_id, parcel=key), order)


def current_wish(delivery: Delivery, order: models.Model) -> Wish:
    """Ask the adapter whether to send the delivery of this order, as the database has it. Raises `AdapterFailed`.

    A return is sent whatever the adapter wants for its order: the customer hands back what was ordered once.
    """
    if delivery.is_return:
        return Wish.SEND
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
    if delivery.is_return or delivery.send_anyway_at or delivery.send_early_at:
        return None
    at = call_adapter(_adapter_of(order).not_before, order)
    if at is None:
        return None
    if not isinstance(at, datetime) or timezone.is_naive(at):
        raise AdapterFailed("not_before must return None or a datetime with a time zone")
    return at if at > max(now, clock.now()) else None  # an adapter that answers "now" has read a later clock


def store(built: Sequence[tuple[ApiCall, Delivery]], *, with_calls: bool = True) -> None:
    """Freeze payloads that were built in this transaction: every attempt sends their text.

    Without `with_calls` the caller writes the calls' columns (FROZEN).
    """
    if with_calls:
        fast_sql.update_all([call for call, _delivery in built], FROZEN)
    fast_sql.update_all([delivery for _call, delivery in built], MIRRORED)


def flag_edits(delivery: Delivery) -> None:
    """Flag an order that was edited between its booking and its pickup, once for each edit.

    Reverting the edit clears the flag. A return does not follow its order.
    """
    create = ApiCall.objects.of(delivery, ApiCall.Kind.CREATE).exclude(payload="").first()
    is_busy = delivery.attention not in {"", Attention.ORDER_EDITED}
    if create is None or is_busy or not delivery.is_before_pickup or delivery.is_return:
        return
    try:
        with atomic():
            document = _as_sent(_document(delivery, order_of(delivery)), create.payload)
    except (models.ObjectDoesNotExist, AdapterFailed):
        return
    current, older = (digest(dump(document, ascii_only=escaped)) for escaped in (True, False))
    if delivery.order_sha256 in {current, older}:
        return
    delivery.order_sha256 = current
    if create.payload_sha256 in {current, older}:
        attention.clear(delivery, attention.OF_EDIT)
    else:
        attention.flag(delivery, Attention.ORDER_EDITED, occurrence=current)
    delivery.save(update_fields=attention.COLUMNS)


def _as_sent(document: dict[str, Any], payload: str) -> dict[str, Any]:
    """Write phones as they were sent where their digits are the same: another version may group them otherwise."""
    sent = json.loads(payload)
    for side in document.keys() & set(SIDES):
        contact, before = document[side]["contact"], sent[side]["contact"]
        if _digits(contact["phone"]) == _digits(before["phone"]):
            contact["phone"] = before["phone"]
    return document


def _digits(phone: str) -> str:
    return "".join(filter(str.isdigit, phone))


def _document(delivery: Delivery, order: models.Model) -> dict[str, Any]:
    """Return the order's request as it would be now; what differs from every request if its parcels are others."""
    try:
        document = _build(delivery, order).to_json()
        added = set(parcels_of(_adapter_of(order), order)) - set(_known_parcels(delivery)) if delivery.parcel else ()
    except OtherParcels:
        return {"parcels": []}
    return {**document, "parcels": sorted(added)} if added else document


def _known_parcels(delivery: Delivery) -> Iterable[str]:
    same_order = Delivery.objects.of_order(delivery.content_type, delivery.object_id)
    return same_order.filter(environment=delivery.environment).values_list("parcel", flat=True)


def edited(delivery: Delivery) -> Mapping[str, object]:
    """Return the values that the order has now, by the delivery's column, where they are not the booked ones."""
    request = None if delivery.blanked_at else _request_now(delivery)
    columns = _booked(request) if request else {}
    return {name: value for name, value in columns.items() if value != getattr(delivery, name)}


def _request_now(delivery: Delivery) -> DeliveryRequest | None:
    """Build the request of the order as it is now; None if the adapter fails or the order is gone."""
    try:
        with atomic():
            return _build(delivery, order_of(delivery))
    except (models.ObjectDoesNotExist, AdapterFailed):
        return None


def cancel_reason_of(order: models.Model) -> str:
    """Return the adapter's reason to cancel, cut to the limit; an empty one if the adapter fails."""
    adapter = _adapter_of(order)
    try:
        with atomic():
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
    adapter = _adapter_of(order)
    if delivery.is_return:
        request = _checked(call_adapter(adapter.build_return, order, _way_back(delivery, order)), NO_RETURN)
    else:
        request = _way_there(delivery, order)
    return replace(request, external_order_id=delivery.external_order_id or "")


def _way_there(delivery: Delivery, order: models.Model) -> DeliveryRequest:
    """Ask the adapter for the request of an order's delivery, or of one of its parcels."""
    adapter = _adapter_of(order)
    if not delivery.parcel:
        return _checked(call_adapter(adapter.build_request, order), NO_REQUEST)
    found = parcels_of(adapter, order).get(delivery.parcel)
    if found is None:
        raise OtherParcels("parcels no longer has this parcel's key: cancel it, or bring the key back")
    return found


def _checked(request: object, error: str) -> DeliveryRequest:
    if not isinstance(request, DeliveryRequest):
        raise AdapterFailed(error)
    return request


def _way_back(delivery: Delivery, order: models.Model) -> DeliveryRequest:
    """Return what was sent for the delivery that a return brings back, with its contacts and places swapped.

    Where that is not known, since other code booked it or its personal data is removed, the adapter is asked again.
    """
    sent = delivery.returned_delivery()
    request = call_adapter(_mirrored_request, sent) if sent.dropoff_address else _way_there(sent, order)
    return replace(request, pickup=request.dropoff, dropoff=request.pickup)


def _mirrored_request(delivery: Delivery) -> DeliveryRequest:
    """Read a request from the columns that `build` has written."""
    places: dict[str, Any] = {
        side: Location(
            address=getattr(delivery, f"{side}_address"),
            contact=Contact(name=getattr(delivery, f"{side}_name"), phone=getattr(delivery, f"{side}_phone")),
            notes=getattr(delivery, f"{side}_notes"),
        )
        for side in SIDES
    }
    measures: dict[str, Any] = {field.name: getattr(delivery, f"parcel_{field.name}") for field in fields(Parcel)}
    return DeliveryRequest(**places, parcel=Parcel(**measures))


def _booked(request: DeliveryRequest) -> dict[str, object]:
    columns = {f"parcel_{name}": value for name, value in vars(request.parcel).items()}
    for side, place in (("pickup", request.pickup), ("dropoff", request.dropoff)):
        columns[f"{side}_address"], columns[f"{side}_notes"] = place.address, place.notes
        columns[f"{side}_name"] = place.contact.name
        columns[f"{side}_phone"] = place.contact.phone
    return columns


def _searched(customer: Location) -> dict[str, object]:
    return {
        "phone_tail": phone_tail(customer.contact.phone),
        "name_key": words_key(customer.contact.name),
        "surname_key": second_words_key(customer.contact.name),
        "city_key": city_key(customer.address),
    }
