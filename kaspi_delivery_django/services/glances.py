"""A glance at an order's deliveries, which every save of the order costs.

It is plain SQL: the ORM takes ten times as long to put this query together as a database to answer it. And it is
short: on a table with a dozen indexes PostgreSQL plans a sort, or one more condition, for longer than we do either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from django.db import connections, models

from kaspi_delivery_django.models import Attention, Delivery

_SQL = """
SELECT content_type_id, generation, environment, account, delivery_id, attention, unwanted_since
FROM kaspi_delivery_delivery WHERE object_id = %s
"""


@dataclass(frozen=True)
class Glimpse:
    """What of a delivery decides whether its order's save has anything to do."""

    environment: str
    account: str
    delivery_id: str | None
    attention: str
    unwanted_since: object = None


def deliveries_of(order: models.Model, content_type_id: int, *, using: str) -> Sequence[Glimpse]:
    """Return an order's deliveries, the newest generation first."""
    with connections[using].cursor() as cursor:
        cursor.execute(_SQL, [str(order.pk)])
        own = [row[1:] for row in cursor.fetchall() if row[0] == content_type_id]
    return [Glimpse(*row) for _generation, *row in sorted(own, key=itemgetter(0), reverse=True)]


def is_settled(newest: Glimpse | Delivery, *, account: str) -> bool:
    """Tell whether a save leaves its order's newest delivery as it is.

    Not when the adapter has failed on it, nor when another account is to ship what Kaspi has not booked, nor when it
    waits for the adapter's yes.
    """
    is_held = newest.unwanted_since is not None and newest.delivery_id is None
    if is_held or newest.attention == Attention.ADAPTER_FAILED:
        return False
    return newest.account == account or newest.delivery_id is not None
