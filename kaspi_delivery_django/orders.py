"""The order adapter, which a shop writes; and the identity of an order."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db import models
from django.utils.module_loading import import_string

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import DeliveryRequest
from kaspi_delivery_django.exceptions import UnusableKey, UsageError

KEY_LENGTH = 64
MAX_KEY = 2**63 - 1  # more is no integer to SQLite

_SIMPLE_FIELDS = (models.IntegerField, models.UUIDField)
_CONVERSIONS = frozenset(
    {
        "to_python",
        "get_prep_value",
        "get_db_prep_value",
        "get_db_prep_save",
        "get_db_converters",
        "from_db_value",
        "pre_save",
        "select_format",
        "db_type",
    }
)

Order = TypeVar("Order", bound=models.Model)


class OrderAdapter(ABC, Generic[Order]):
    """Answers the package's questions about an order.

    `model` is the model whose rows are shipped, as `"app.Model"`; it may be any model. An adapter is
    instantiated once per process and must not keep state. An adapter that raises never breaks the saving
    of an order: the delivery is flagged for manual review, and saving the order again retries.
    """

    model: str

    @abstractmethod
    def wants_delivery(self, order: Order) -> bool:
        """Return whether to ship the order. Called on every save, and again right before a courier is booked.

        It must stay true once it was true: "paid and not cancelled", not "the status is paid". Avoid queries.
        """

    @abstractmethod
    def build_request(self, order: Order) -> DeliveryRequest:
        """Return the delivery request, from the database alone: a transaction of ours waits for it.

        Called after the order and its lines are committed; every attempt sends what it returns then. Until pickup
        it is called again at each refresh, to detect an edited order.
        """

    def parcels(self, order: Order) -> Mapping[str, DeliveryRequest] | None:
        """Return the requests of an order that goes in several parcels, by stable keys; None for one parcel.

        Called instead of `build_request`: right before the order is booked, and until pickup at each refresh. A key has
        at most 20 ASCII letters, digits and hyphens, such as "almaty" or "box-b2"; each word begins with a letter. It
        becomes part of the external order id, and the keys of an order must not change once one parcel is booked.
        """
        return None

    def build_return(self, order: Order, request: DeliveryRequest) -> DeliveryRequest:
        """Return the request of a return: by default `request`, which is what was sent, with both places swapped.

        Called once, right before the courier is booked. Nothing else is asked about a return: neither `wants_delivery`
        nor `wants_cancel`, `not_before`, `account` or `external_order_id`.
        """
        return request

    def wants_cancel(self, order: Order) -> bool:
        """Return whether to cancel the order's delivery. Called on every save, and before booking, until pickup."""
        return False

    def cancel_reason(self, order: Order) -> str:
        """Return the reason for the cancel, which Kaspi receives."""
        return ""

    def external_order_id(self, order: Order) -> str:
        """Return the order's id at Kaspi: unique in the account, 1 to 128 printable ASCII."""
        return f"order-{order.pk}"

    def order_label(self, order: Order) -> str:
        """Return the shop's own name for the order, by which staff find it; without the customer's data.

        The default is `str(order)`, which staff without `view_personal_data` see if it is a plain number.
        """
        return str(order)

    def not_before(self, order: Order) -> datetime | None:
        """Return the aware time before which the courier must not be booked, None for at once.

        Called right before a courier is booked; a save of the order asks again. See `timetables.WeeklyTimetable`.
        """
        return None

    def customer_recipients(self, order: Order) -> Mapping[str, str | int | None]:
        """Return where the order's customer gets messages, by channel: `{"email": order.email, "telegram": 742}`.

        Empty values, and channels that are left out, get none. For `contrib.messages`; called before each attempt.
        """
        return {}

    def customer_language(self, order: Order) -> str:
        """Return the language of messages to the customer, as "kk"; empty for LANGUAGE_CODE."""
        return ""

    def account(self, order: Order) -> str:
        """Return the alias of the account that ships the order."""
        return conf.DEFAULT_ACCOUNT

    def find_order(self, reference: str) -> Order | None:
        """Return the order that another system calls by this number or id; None if there is none.

        The REST API asks it about an order that has no delivery yet. The default knows the default
        `external_order_id`: "order-742".
        """
        key = reference.removeprefix("order-")
        if key == reference or type(self).external_order_id is not OrderAdapter.external_order_id:
            return None
        return find_by_key(self.model_class(), key)

    def orders_to_enqueue(self) -> models.QuerySet[Order] | None:
        """Return the orders that `kaspi_enqueue` checks, or None for none.

        It books those without a delivery for which `wants_delivery` is true. Exclude orders that were shipped
        before this app was installed: `Order.objects.filter(created_at__gte=...)`.
        """
        return None

    def model_class(self) -> type[Order]:
        """Return the class that `model` names."""
        try:
            return apps.get_model(self.model)
        except (AttributeError, LookupError, ValueError) as err:
            raise ImproperlyConfigured(
                f'{type(self).__name__}.model must name an installed model, as "shop.Order".'
            ) from err


AnyAdapter = OrderAdapter[Any]


def adapters() -> dict[type[models.Model], AnyAdapter]:
    """Return the adapters of ORDER_ADAPTERS by their models."""
    return _load(conf.current().order_adapters)


def adapter_for(model: type[models.Model]) -> AnyAdapter | None:
    """Return the adapter of a model, its proxies and its multi-table children."""
    return _find(model, conf.current().order_adapters)


@dataclass(frozen=True, kw_only=True)
class Shipments:
    """The rows of a page's model that are shipped: its own, or those that `path` leads to, as an order's parcels."""

    adapter: AnyAdapter
    path: str = ""


def shipments_of(model: type[models.Model], path: str = "") -> Shipments | None:
    """Return which rows an adapter ships for a model; None if there are none.

    `path` is a lookup such as "parcels" or "groups__parcels". Without one, a model that has no adapter is taken as the
    parent of the rows of the only relation to it whose model has one.
    """
    if not path and (own := adapter_for(model)):
        return Shipments(adapter=own)
    related = [relation.name for relation in model._meta.related_objects if adapter_for(relation.related_model)]
    path = path or (related[0] if len(related) == 1 else "")
    target = _at_end(model, path) if path else None
    adapter = adapter_for(target) if target else None
    return Shipments(adapter=adapter, path=path) if adapter else None


def _at_end(model: type[models.Model], path: str) -> type[models.Model] | None:
    """Return the model that a lookup ends at; None if it is no lookup of relations."""
    target: Any = model
    for name in path.split("__"):
        try:
            target = target._meta.get_field(name).related_model
        except (AttributeError, FieldDoesNotExist):
            return None
    return cast("type[models.Model] | None", target)


@lru_cache(maxsize=16)
def _load(paths: tuple[str, ...]) -> dict[type[models.Model], AnyAdapter]:
    found: dict[type[models.Model], AnyAdapter] = {}
    for path in paths:
        adapter = _import(path)
        model = adapter.model_class()._meta.concrete_model
        if model in found:
            raise ImproperlyConfigured(f"ORDER_ADAPTERS has two adapters for {adapter.model}.")
        found[model] = adapter
    return found


@lru_cache(maxsize=1024)
def _find(model: type[models.Model], paths: tuple[str, ...]) -> AnyAdapter | None:
    known = _load(paths)
    return next((known[kind] for kind in model.__mro__ if kind in known), None)


def _import(path: str) -> AnyAdapter:
    try:
        kind = import_string(path)
    except ImportError as err:
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: cannot import {path!r}: {err}.") from err
    if not (isinstance(kind, type) and issubclass(kind, OrderAdapter)):
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: {path!r} is not an OrderAdapter.")
    try:
        return kind()
    except Exception as err:  # the shop's code may raise anything
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: {path!r} cannot be instantiated: {err}.") from err


def order_key(order: models.Model, *, using: str) -> Any:
    """Return an order's primary key as the database returns it, however the instance spells it.

    This is the order's identity. Python computes it for integers and UUIDs; other keys (text that a collation
    compares, fields with conversions of their own) are read from the database. The key of a missing row is returned
    as it is. Raises `UsageError` when there is none yet, and `UnusableKey` when its text does not find the order.
    """
    model = identified_model(order)
    value = getattr(order, key_name(model))
    if has_simple_key(model):
        return _simple_key(model, value)
    rows: models.QuerySet[models.Model] = model._base_manager.using(using).filter(pk=_present(model, value))
    stored = rows.values_list("pk", flat=True).first() if can_be_looked_up(model) else None
    return usable_key(model, value if stored is None else stored)


def with_key(order: Order, key: Any) -> Order:
    """Return the order with this primary key: itself if it has it, else a copy; the shop's instance is not changed.

    A multi-table child with a primary key of its own is returned as its parent.
    """
    model = identified_model(order)
    name, own = key_name(model), key_name(type(order))
    value = getattr(order, name)
    if own != name and key_field(type(order)) is not key_field(model):
        known = [field.attname for field in model._meta.concrete_fields if field.attname in order.__dict__]
        parent: Any = model.from_db(order._state.db, known, [getattr(order, attname) for attname in known])
        setattr(parent, name, key)
        return cast("Order", parent)
    if type(value) is type(key) and str(value) == str(key):
        return order
    same = copy.copy(order)
    setattr(same, own, key)
    setattr(same, name, key)
    return same


def key_texts(written: str) -> set[str]:
    """Return the object ids that an order may have whose primary key a user spells like this."""
    texts = {written}
    with suppress(ImproperlyConfigured):
        for model in filter(has_simple_key, adapters()):
            with suppress(UnusableKey):
                texts.add(str(_simple_key(model, written)))
    return texts


def find_by_key(model: type[Order], written: str, *, using: str | None = None) -> Order | None:
    """Return the row whose primary key a user spells like this; None if there is none, or if it is no such key."""
    if not can_be_looked_up(model):
        return None
    try:
        return model._base_manager.using(using).filter(pk=key_field(model).to_python(written)).first()
    except (TypeError, ValueError, ValidationError):
        return None


def identified_model(order: models.Model) -> type[models.Model]:
    """Return the model whose primary key identifies the order: the adapter's, else the order's own."""
    adapter = adapter_for(type(order))
    model: type[models.Model] = type(order) if adapter is None else adapter.model_class()
    return model


def key_name(model: type[models.Model]) -> str:
    """Return the attribute that holds the model's primary key; its multi-table children have it too."""
    return str(model._meta.pk.attname)


def key_field(model: type[models.Model]) -> Any:
    """Return the field that converts the model's primary key: a relation's is its target's."""
    field: Any = model._meta.pk
    while field.remote_field:
        field = field.target_field
    return field


def has_simple_key(model: type[models.Model]) -> bool:
    """Return whether the primary key is an integer or a UUID of Django's, which Python converts as a database does."""
    kind: Any = type(key_field(model))
    return _is_simple(kind)


def can_be_looked_up(model: type[models.Model]) -> bool:
    """Return whether the primary key is one column."""
    return not isinstance(model._meta.pk, models.CompositePrimaryKey)


def is_key(model: type[models.Model], text: str) -> bool:
    """Return whether the text can be a key of the model: the shop may have changed the key's type."""
    try:
        key = key_field(model).get_prep_value(text)
    except (AttributeError, OverflowError, TypeError, ValueError, ValidationError):
        return False
    return not isinstance(key, int) or key <= MAX_KEY


def usable_key(model: type[models.Model], key: Any) -> Any:
    """Return the key. Raises `UnusableKey` when its text does not find the order again."""
    text = str(_present(model, key))
    if not (can_be_looked_up(model) and len(text) <= KEY_LENGTH and _is_same(key_field(model), text, key)):
        raise UnusableKey(
            f"{model._meta.label} cannot be looked up by the text of its primary key: adapt a model whose key is a"
            f" number, a UUID, or a text of at most {KEY_LENGTH} characters, such as a shipment."
        )
    return key


def _simple_key(model: type[models.Model], value: Any) -> Any:
    field, present = key_field(model), _present(model, value)
    try:
        return field.to_python(field.get_prep_value(present))
    except (TypeError, ValueError, ValidationError) as err:
        raise UnusableKey(f"{model._meta.label} has a primary key that its field does not accept.") from err


def _present(model: type[models.Model], value: Any) -> Any:
    if value is None:
        raise UsageError(f"{model._meta.label} has no primary key yet: save the order first.")
    return value


def _is_same(field: Any, text: str, key: Any) -> bool:
    try:
        return bool(field.get_prep_value(text) == field.get_prep_value(key))
    except Exception:  # noqa: BLE001  # the shop's field may raise anything
        return False


@lru_cache(maxsize=256)
def _is_simple(kind: type[Any]) -> bool:
    own = [base for base in kind.__mro__ if not base.__module__.startswith("django.db.models.")]
    return issubclass(kind, _SIMPLE_FIELDS) and not any(_CONVERSIONS & vars(base).keys() for base in own)
