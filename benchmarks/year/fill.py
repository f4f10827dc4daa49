"""Write a year into an empty database."""

from collections.abc import Callable

from django.core.management.color import no_style
from django.db import connection

from benchmarks.year import calls, deliveries, news
from benchmarks.year.inserts import Insert
from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)
from tests.shop.models import Order

TABLES = (Order, Delivery, ApiCall, FailedAttempt, WebhookEvent, StatusChange, PendingAction, AccountState)

ACTIONS = {
    "name": "'refresh'",
    "delivery_id": "d.id",
    "asked_by": "'operator'",
    "created_at": "now()",
    "failed_at": "CASE WHEN mod(d.id, 2) = 0 THEN now() END",
    "failure": "CASE WHEN mod(d.id, 2) = 0 THEN 'there is nothing to ask' ELSE '' END",
}
ACCOUNTS = {
    "account": "d.account",
    "environment": "d.environment",
    "closed_until": "CASE d.account WHEN 'almaty' THEN now() END",
    "worker_seen_at": "now() - interval '3 seconds'",
}


def fill(rows: int, say: Callable[[str], None]) -> None:
    """Write so many deliveries with all that belongs to them, and let the planner know its tables."""
    for insert in (*deliveries.inserts(rows), *calls.inserts(), *news.inserts(), *_rest()):
        say(f"{insert.run():>9,} {insert.model._meta.verbose_name_plural}")
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(TABLES)):
            cursor.execute(statement)
        cursor.execute("VACUUM (ANALYZE)")


def _rest() -> list[Insert]:
    """Return the few rows that are about no delivery, or that the worker has not got to."""
    table = Delivery._meta.db_table
    newest = f"(SELECT id FROM {table} ORDER BY id DESC LIMIT 10) d"
    accounts = f"(SELECT account, environment FROM {table} WHERE id IN (1, 31, 61)) d"
    return [
        Insert(model=PendingAction, columns=ACTIONS, source=newest),
        Insert(model=AccountState, columns=ACCOUNTS, source=accounts),
    ]
