"""Which order is meant, and under which account, environment and name Kaspi knows it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models, router
from django.db.models import Q

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import NoAdapter, UnusableKey, UsageError
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter, adapter_for
from kaspi_delivery_django.services import fast_sql
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter, project_locale
from kaspi_delivery_django.services.fast_sql import DeliveryKeys


@dataclass(frozen=True)
class Identity:
    """Under which account, environment and name an order is known at Kaspi, and by which text of its key here."""

    account: str
    environment: str
    external_order_id: str | None = None
    generation: int = 1
    object_id: str = ""


@dataclass(frozen=True)
class Subject:
    """An order with the primary key that the database has, the text of it, and what is known of its deliveries."""

    order: models.Model
    object_id: str
    known: Sequence[DeliveryKeys] = field(default=())


def adapter_of(order: models.Model) -> AnyAdapter:
    """Return the adapter of the order's model. Raises `NoAdapter`."""
    adapter = adapter_for(type(order))
    if adapter is None:
        setting = "KASPI_DELIVERY['ORDER_ADAPTERS']"
        raise NoAdapter(f"No adapter in {setting} is for {order._meta.label}.")
    return adapter


def identity_of(adapter: AnyAdapter, order: models.Model) -> Identity:
    """Ask the adapter, with the order's primary key as the database has it. Raises `AdapterFailed`."""
    key = key_of(order)
    return identity_as(adapter, Subject(orders.with_key(order, key), str(key)))


def identity_as(adapter: AnyAdapter, subject: Subject) -> Identity:
    """Ask the adapter about an order whose key is read already. Raises `AdapterFailed`."""
    alias = call_adapter(adapter.account, subject.order)
    account = conf.account(alias) if isinstance(alias, str) else None
    external_order_id = call_adapter(adapter.external_order_id, subject.order)
    if account is None:
        raise AdapterFailed("account must return an alias in KASPI_DELIVERY['ACCOUNTS']")
    if not is_identifier(external_order_id):
        raise AdapterFailed("external_order_id must return 1 to 128 printable ASCII characters")
    return Identity(account.alias, account.environment, external_order_id, object_id=subject.object_id)


def numbered(identity: Identity, generation: int) -> Identity:
    """Return the identity of one of the order's deliveries: only the first goes without its number."""
    if generation == 1:
        return identity
    name = f"{identity.external_order_id}-{generation}"
    return replace(identity, external_order_id=name, generation=generation)


def key_of(order: models.Model) -> Any:
    """Return the order's primary key as the database has it. Raises `AdapterFailed` for one that is of no use."""
    try:
        return orders.order_key(order, using=db_alias())
    except UnusableKey as err:
        raise AdapterFailed(str(err)) from err


def object_id_of(order: models.Model) -> str:
    """Return the text that the order's deliveries are found by; a made one where the key is of no use."""
    try:
        return str(orders.order_key(order, using=db_alias()))
    except UnusableKey:
        return fitting(str(getattr(order, orders.key_name(orders.identified_model(order)))))


def fitting(text: str) -> str:
    """Return a text that has room in `object_id`: a longer one's digest."""
    return text if len(text) <= orders.KEY_LENGTH else hashlib.sha256(text.encode()).hexdigest()


def place_of(order: models.Model) -> str:
    """Return the alias of the database that the order is written to."""
    return router.db_for_write(type(order), instance=order)


def is_ours(adapter: AnyAdapter, order: models.Model) -> bool:
    """Tell whether our database has the order: one that was read from a replica without a router is there as well."""
    rows: models.QuerySet[models.Model] = adapter.model_class()._base_manager.using(db_alias())
    return place_of(order) == db_alias() or rows.filter(pk=key_of(order)).exists()


def subject_of(adapter: AnyAdapter, order: models.Model, *, from_row: bool) -> Subject | None:
    """Return the order with its key and its deliveries as the database has them; None when it is gone.

    `from_row` reads the whole order, for an instance that holds more, or less, than was saved.
    Raises `AdapterFailed` for a key that is of no use.
    """
    model, content_type_id = adapter.model_class(), content_type_of(adapter).pk
    if not orders.can_be_looked_up(model) or (orders.is_counted(model) and not from_row):
        key = key_of(order)
        known = fast_sql.delivery_keys_of(str(key), content_type_id, using=db_alias())
        return Subject(orders.with_key(order, key), str(key), known)
    with project_locale():  # a translated model remembers the language it was read in
        row = fast_sql.order_row(model, order, content_type_id, using=db_alias())
    if row is None:
        return None
    key, written = row.order.pk, str(getattr(order, orders.key_name(model)))
    _check(model, key)
    is_new = written == str(key) and not row.is_known
    known = () if is_new else fast_sql.delivery_keys_of(str(key), content_type_id, using=db_alias())
    return Subject(row.order if from_row else orders.with_key(order, key), str(key), known)


def content_type_of(adapter: AnyAdapter) -> ContentType:
    """Return the content type of the adapter's model."""
    return ContentType.objects.db_manager(db_alias()).get_for_model(adapter.model_class())


def deliveries_of(adapter: AnyAdapter, order: models.Model) -> models.QuerySet[Delivery]:
    """Return the order's deliveries, the newest generation first; none of an order that was never saved."""
    try:
        return deliveries_as(adapter, object_id_of(order))
    except UsageError:
        return Delivery.objects.using(db_alias()).none()


def deliveries_as(adapter: AnyAdapter, object_id: str) -> models.QuerySet[Delivery]:
    """Return the deliveries of the order whose key has this text, the newest generation first."""
    return Delivery.objects.using(db_alias()).of_order(content_type_of(adapter), object_id)


def newest_of(adapter: AnyAdapter, object_id: str, environment: str) -> Delivery | None:
    """Return the order's newest delivery there; else one without a name, which is nowhere yet."""
    nameless = Q(external_order_id__isnull=True, attention=Attention.ADAPTER_FAILED)
    known = list(deliveries_as(adapter, object_id).filter(Q(environment=environment) | nameless))
    return next((one for one in known if one.environment == environment), next(iter(known), None))


def _check(model: type[models.Model], key: Any) -> None:
    try:
        orders.usable_key(model, key)
    except UnusableKey as err:
        raise AdapterFailed(str(err)) from err
