"""Insert a delivery and its create: one for each generation of an order's parcel, or of its return."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import fast_sql
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries.identities import Identity, content_type_of
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.locks import lock

KEY_COLUMNS = ("object_id", "environment", "parcel", "returned_generation", "generation")
NAME_TAKEN = "another order has this external_order_id already"


def open_delivery(adapter: AnyAdapter, identity: Identity, add: Callable[[Delivery], object]) -> Delivery:
    """Insert a delivery and its create; return the existing delivery if another transaction was faster."""
    try:
        with transaction.atomic(using=db_alias()):
            delivery = insert(adapter, identity)
            add(delivery)
    except IntegrityError as err:
        faster = winner(adapter, identity)
        if faster is None:
            raise AdapterFailed(NAME_TAKEN) from err
        return faster
    return delivery


def winner(adapter: AnyAdapter, identity: Identity) -> Delivery | None:
    """Return the row that another transaction inserted first.

    The read locks, because on MariaDB our snapshot may be older than that transaction's commit.
    """
    own: dict[str, Any] = {name: getattr(identity, name) for name in KEY_COLUMNS}
    with transaction.atomic(using=db_alias()):
        return lock(using=db_alias(), **own, content_type=content_type_of(adapter).pk)


def insert(adapter: AnyAdapter, identity: Identity) -> Delivery:
    """Insert a delivery without a call. Raises `IntegrityError` when there is one already."""
    own = identity.columns() | {name: getattr(identity, name) for name in KEY_COLUMNS}
    delivery = Delivery(**own, content_type=content_type_of(adapter))
    fast_sql.insert(delivery, using=db_alias())
    return delivery
