"""Identify an order: the text of its primary key, and the account, environment and name that Kaspi knows it by."""

import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db import models, router
from django.db.models import Q

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.client.types import is_identifier, read_text
from kaspi_delivery_django.exceptions import NoAdapter, UnusableKey, UsageError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import ORDER_LABEL_LENGTH, PARCEL_KEY_LENGTH
from kaspi_delivery_django.models.search import has_digit, number_key, words_of
from kaspi_delivery_django.orders import AnyAdapter, adapter_for
from kaspi_delivery_django.services import fast_sql
from kaspi_delivery_django.services.db import content_types, db_alias, rows_of, storable
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter, project_locale
from kaspi_delivery_django.services.fast_sql import DeliveryKeys

logger = logging.getLogger(__name__)
Row = TypeVar("Row", DeliveryKeys, Delivery)
MAX_PLAIN_DIGITS = 9  # a phone has ten
MAX_PLAIN_LETTERS = 3  # as in KZ742

RESERVED_WORDS = frozenset({"return", *ApiCall.Kind.values})
_PARCEL_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z][A-Za-z0-9]*)*")
SETTING = "KASPI_DELIVERY['ORDER_ADAPTERS']"


@dataclass(frozen=True)
class Identity:
    """The account, environment and name of an order at Kaspi, and the text of its primary key."""

    account: str
    environment: str
    external_order_id: str | None = None
    parcel: str = ""
    generation: int = 1
    returned_generation: int = 0
    object_id: str = ""
    label: str | None = None  # not asked for, or the adapter failed
    label_is_personal: bool = True

    def columns(self) -> dict[str, Any]:
        """Return the columns of a delivery that follow its order until it is booked."""
        known = {
            "account": self.account,
            "parcel": self.parcel,
            "environment": self.environment,
            "external_order_id": self.external_order_id,
            "external_key": number_key(self.external_order_id or ""),
        }
        if self.label is None:
            return known
        label_key = number_key(self.label)
        return {**known, "order_label": self.label, "label_is_personal": self.label_is_personal, "label_key": label_key}


@dataclass(frozen=True)
class OrderRef:
    """An order with the database's primary key, the text of that key, and the keys of its deliveries."""

    order: models.Model
    object_id: str
    known: Sequence[DeliveryKeys] = ()


def adapter_of(order: models.Model) -> AnyAdapter:
    """Return the adapter of the order's model. Raises `NoAdapter`."""
    adapter = adapter_for(type(order))
    if adapter is None:
        raise NoAdapter(f"No adapter in {SETTING} is for {order._meta.label}.")
    return adapter


def identity_of(adapter: AnyAdapter, order: models.Model) -> Identity:
    """Read the order's primary key, and ask the adapter for its identity. Raises `AdapterFailed`."""
    key = key_of(order)
    return identity_as(adapter, OrderRef(orders.with_key(order, key), str(key)))


def identity_as(adapter: AnyAdapter, ref: OrderRef) -> Identity:
    """Ask the adapter for the identity of an order whose key is read already. Raises `AdapterFailed`."""
    alias = call_adapter(adapter.account, ref.order)
    account = conf.account(alias) if isinstance(alias, str) else None
    external_order_id = call_adapter(adapter.external_order_id, ref.order)
    if account is None:
        raise AdapterFailed("account must return an alias in KASPI_DELIVERY['ACCOUNTS']")
    if not is_identifier(external_order_id):
        raise AdapterFailed("external_order_id must return 1 to 128 printable ASCII characters")
    own = Identity(account.alias, account.environment, external_order_id, object_id=ref.object_id)
    here = [one for one in ref.known if one.environment == account.environment]
    is_booked = bool(here) and here[0].delivery_id is not None
    return own if is_booked else labelled(own, adapter, ref.order)


def labelled(identity: Identity, adapter: AnyAdapter, order: models.Model) -> Identity:
    """Return the identity with the shop's own name for the order; without one if the adapter fails."""
    try:
        label, is_personal = call_adapter(_label, adapter, order)
    except AdapterFailed as err:
        logger.error("no order label: model=%s error=%s", adapter.model, err)  # noqa: TRY400  # no data in logs
        return identity
    return replace(identity, label=label, label_is_personal=is_personal)


def _label(adapter: AnyAdapter, order: models.Model) -> tuple[str, bool]:
    """Return one line of text, cut to its column, and whether it may be personal."""
    given = adapter.order_label(order)
    text = storable(read_text(str("" if given is None else given)))
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    label = " ".join(printable.split())[:ORDER_LABEL_LENGTH]
    return label, _may_be_personal(adapter, label)


def _may_be_personal(adapter: AnyAdapter, label: str) -> bool:
    """Return whether a label may name the customer: it is no shop's `order_label`, and more than a number."""
    if type(adapter).order_label is not orders.OrderAdapter.order_label:
        return False
    model = adapter.model_class()
    known = {*words_of(f"{model._meta.verbose_name} {model._meta.object_name}"), "object"}
    digits = sum(sign.isdigit() for sign in label)
    return digits > MAX_PLAIN_DIGITS or not all(word in known or _is_number(word) for word in words_of(label))


def _is_number(word: str) -> bool:
    return has_digit(word) and sum(sign.isalpha() for sign in word) <= MAX_PLAIN_LETTERS


def numbered(identity: Identity, generation: int) -> Identity:
    """Return the identity of one of the order's deliveries: the first has no number."""
    if generation == 1:
        return identity
    name = f"{identity.external_order_id}-{generation}"
    return replace(identity, external_order_id=name, generation=generation)


def is_parcel_key(key: object) -> bool:
    """Return whether a parcel may have this key.

    What follows an order's name at Kaspi is a parcel's key, a number or a word of ours, and none is taken for another.
    """
    if not isinstance(key, str) or len(key) > PARCEL_KEY_LENGTH or not _PARCEL_KEY.fullmatch(key):
        return False
    return RESERVED_WORDS.isdisjoint(key.lower().split("-"))


def for_parcel(identity: Identity, key: str) -> Identity:
    """Return the identity of one of an order's parcels; of the order without a key. Raises `AdapterFailed`."""
    if not key:
        return identity
    name = f"{identity.external_order_id}-{key}"
    if not is_identifier(name):
        raise AdapterFailed("external_order_id is too long for the key of a parcel: shorten it")
    return replace(identity, external_order_id=name, parcel=key)


def within(identity: Identity, delivery: DeliveryKeys | Delivery) -> Identity:
    """Return the identity that one of the order's deliveries has by its parcel and generation.

    Raises `AdapterFailed`.
    """
    return numbered(for_parcel(identity, delivery.parcel), delivery.generation)


def one_per_parcel(known: Iterable[Row]) -> list[Row]:
    """Return the newest of each parcel's deliveries, which come with the newest generation first."""
    newest: dict[str, Row] = {}
    for one in known:
        newest.setdefault(one.parcel, one)
    return list(newest.values())


def of_return(adapter: AnyAdapter, delivery: Delivery, order: models.Model) -> Identity:
    """Return the identity of the first return of a delivery: its account and name are the delivery's, not the order's.

    Raises `AdapterFailed` for a name that is too long.
    """
    name = f"{delivery.external_order_id}-return"
    if not is_identifier(name):
        raise AdapterFailed("external_order_id is too long for a return: shorten it")
    own = Identity(
        delivery.account,
        delivery.environment,
        name,
        parcel=delivery.parcel,
        returned_generation=delivery.generation,
        object_id=delivery.object_id,
    )
    return labelled(own, adapter, order)


def is_same(delivery: DeliveryKeys | Delivery, own: Identity) -> bool:
    """Return whether a delivery has the account, the name and the label that its order has now."""
    known = (delivery.account, delivery.external_order_id)
    return known == (own.account, own.external_order_id) and own.label in {None, delivery.order_label}


def key_of(order: models.Model) -> Any:
    """Return the order's primary key as the database has it. Raises `AdapterFailed` for an unusable one."""
    try:
        return orders.order_key(order, using=db_alias())
    except UnusableKey as err:
        raise AdapterFailed(str(err)) from err


def object_id_of(order: models.Model) -> str:
    """Return the text that the order's deliveries are found by; a substitute for an unusable key."""
    try:
        return str(orders.order_key(order, using=db_alias()))
    except UnusableKey:
        return fitting(str(getattr(order, orders.key_name(orders.identified_model(order)))))


def fitting(text: str) -> str:
    """Return a text that fits into `object_id`: a longer one's digest."""
    return text if len(text) <= orders.KEY_LENGTH else hashlib.sha256(text.encode()).hexdigest()


def place_of(order: models.Model) -> str:
    """Return the alias of the database that the order is written to."""
    return router.db_for_write(type(order), instance=order)


def is_ours(adapter: AnyAdapter, order: models.Model) -> bool:
    """Return whether our database has the order, also one that was read from a replica without a router."""
    return place_of(order) == db_alias() or rows_of(adapter.model_class()).filter(pk=key_of(order)).exists()


def order_ref(adapter: AnyAdapter, order: models.Model, *, from_row: bool) -> OrderRef | None:
    """Return the order with its key and its deliveries as the database has them; None when it is deleted.

    `from_row` reads the whole order, for an instance whose values differ from its row.
    Raises `AdapterFailed` for an unusable key.
    """
    model, content_type_id = adapter.model_class(), content_type_of(adapter).pk
    if not orders.can_be_looked_up(model) or (orders.has_simple_key(model) and not from_row):
        key = key_of(order)
        known = fast_sql.delivery_keys_of(str(key), content_type_id)
        return OrderRef(orders.with_key(order, key), str(key), known)
    written = getattr(order, orders.key_name(model))
    same_text = Delivery.objects.filter(object_id=str(written), content_type=content_type_id)
    rows = rows_of(model).filter(pk=written)
    with project_locale():  # a translated model remembers the language it was read in
        row = rows.annotate(kaspi_delivery_is_known=models.Exists(same_text)).first()
    if row is None:
        return None
    key, is_known = row.pk, row.__dict__.pop("kaspi_delivery_is_known")
    _check(model, key)
    is_new = str(written) == str(key) and not is_known
    known = () if is_new else fast_sql.delivery_keys_of(str(key), content_type_id)
    return OrderRef(row if from_row else orders.with_key(order, key), str(key), known)


def content_type_of(adapter: AnyAdapter) -> ContentType:
    """Return the content type of the adapter's model."""
    return content_types().get_for_model(adapter.model_class())


def deliveries_of(adapter: AnyAdapter, order: models.Model) -> models.QuerySet[Delivery]:
    """Return the order's deliveries to its customer, the newest generation first; none for an unsaved order."""
    try:
        return deliveries_as(adapter, object_id_of(order))
    except UsageError:
        return Delivery.objects.none()


def deliveries_as(adapter: AnyAdapter, object_id: str) -> models.QuerySet[Delivery]:
    """Return the deliveries to the customer of the order with this key, the newest generation first."""
    return Delivery.objects.of_order(content_type_of(adapter), object_id)


def generations_of(adapter: AnyAdapter, identity: Identity) -> models.QuerySet[Delivery]:
    """Return the generations of a parcel's delivery, or of its return, the newest first."""
    own = Delivery.objects.filter(content_type=content_type_of(adapter))
    same = {name: getattr(identity, name) for name in ("object_id", "environment", "parcel", "returned_generation")}
    return own.filter(**same).order_by("-generation")


def newest_of(adapter: AnyAdapter, object_id: str, environment: str) -> list[Delivery]:
    """Return the newest delivery of each of the order's parcels in the environment.

    If there is none, return the one without a name, which has no environment yet.
    """
    nameless = Q(external_order_id__isnull=True, attention=Attention.ADAPTER_FAILED)
    known = list(deliveries_as(adapter, object_id).filter(Q(environment=environment) | nameless))
    return one_per_parcel([one for one in known if one.environment == environment] or known[:1])


def _check(model: type[models.Model], key: Any) -> None:
    try:
        orders.usable_key(model, key)
    except UnusableKey as err:
        raise AdapterFailed(str(err)) from err
