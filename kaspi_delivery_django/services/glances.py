"""A glance at an order's deliveries, which every save of the order costs.

It is plain SQL: the ORM takes ten times as long to put this query together as a database to answer it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from kaspi_delivery_django.models import Attention

_SQL = """
SELECT environment, account, delivery_id, attention FROM kaspi_delivery_delivery
WHERE object_id = %s AND content_type_id = %s ORDER BY generation DESC
"""


@dataclass(frozen=True)
class Glimpse:
    """What of a delivery decides whether its order's save has anything to do."""

    environment: str
    account: str
    delivery_id: str | None
    attention: str


def deliveries_of(content_type_id: int, object_id: str, *, using: str) -> Sequence[Glimpse]:
    """Return an order's deliveries, the newest generation first."""
    with connections[using].cursor() as cursor:
        cursor.execute(_SQL, [object_id, content_type_id])
        return [Glimpse(*row) for row in cursor.fetchall()]


def is_settled(known: Sequence[Glimpse], *, environment: str, account: str) -> bool:
    """Tell whether the newest in the environment is to stay as it is: booked here, or soon to be."""
    newest = next((one for one in known if one.environment == environment), None)
    if newest is None or newest.attention == Attention.ADAPTER_FAILED:
        return False
    return newest.account == account or newest.delivery_id is not None
