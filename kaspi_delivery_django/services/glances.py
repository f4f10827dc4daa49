"""A glance at an order's deliveries, which every save of the order costs.

It is plain SQL: the ORM takes ten times as long to put this query together as a database to answer it. And it is
short: on a table with a dozen indexes PostgreSQL plans a sort, or one more condition, for longer than we do either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from django.db import connections, models

from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.orders import key_name

_SQL = """
SELECT content_type_id, id, generation, environment, account, external_order_id, delivery_id, attention, unwanted_since
FROM kaspi_delivery_delivery WHERE object_id = %s
"""


@dataclass(frozen=True)
class Glimpse:
    """What of a delivery decides whether its order's save has anything to do."""

    pk: int
    generation: int
    environment: str
    account: str
    external_order_id: str | None
    delivery_id: str | None
    attention: str
    unwanted_since: object = None


@dataclass(frozen=True)
class Row:
    """An order's row as the database has it; `is_known` tells whether a delivery is kept under the text looked for."""

    order: models.Model
    is_known: bool


def deliveries_of(object_id: str, content_type_id: int, *, using: str) -> Sequence[Glimpse]:
    """Return an order's deliveries, the newest generation first."""
    with connections[using].cursor() as cursor:
        cursor.execute(_SQL, [object_id])
        own = [Glimpse(*row[1:]) for row in cursor.fetchall() if row[0] == content_type_id]
    return sorted(own, key=attrgetter("generation"), reverse=True)


def row_of(model: type[models.Model], order: models.Model, content_type_id: int, *, using: str) -> Row | None:
    """Return the order's row, and in the same statement whether it has a delivery; None when the row is gone."""
    key = getattr(order, key_name(model))
    deliveries = Delivery.objects.filter(object_id=str(key), content_type=content_type_id)
    rows: models.QuerySet[models.Model] = model._base_manager.using(using).filter(pk=key)
    row = rows.annotate(kaspi_delivery_is_known=models.Exists(deliveries)).first()
    return None if row is None else Row(row, row.__dict__.pop("kaspi_delivery_is_known"))


def is_settled(newest: Glimpse | Delivery, *, account: str, external_order_id: str | None) -> bool:
    """Tell whether a save leaves its order's newest delivery as it is.

    Not when the adapter has failed on it, nor when Kaspi has not booked what is to be shipped by another account
    or under another name now, nor when it waits for the adapter's yes.
    """
    is_held = newest.unwanted_since is not None and newest.delivery_id is None
    if is_held or newest.attention == Attention.ADAPTER_FAILED:
        return False
    same = (newest.account, newest.external_order_id) == (account, external_order_id)
    return same or newest.delivery_id is not None
