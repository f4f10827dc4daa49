"""What the check of a database's character set asks is what the engine answers."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from kaspi_delivery_django.checks.databases import check_character_set
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import cancel_delivery, request_delivery
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_tables_of_utf8mb4_are_left_in_peace():
    """The suite's own; other engines are not asked."""
    assert check_character_set(databases=["default"]) == []


def test_an_emoji_in_a_reason_keeps_no_order_from_being_cancelled(kaspi, monkeypatch):
    """A table of utf8mb3 cannot hold it: the cancel goes with a reason that any table holds."""
    monkeypatch.setattr(OrderAdapter, "cancel_reason", lambda _self, _order: "late \N{DELIVERY TRUCK}")
    tables = [(Delivery._meta.db_table, "cancel_reason"), (StatusChange._meta.db_table, "note")]
    for table, column in tables:
        set_charset(table, column, "utf8mb3")
    try:
        order = Order.objects.create()
        order.cancelled = True
        order.save()
        assert Delivery.objects.get().status == "cancelled"
        other = cancel_delivery(request_delivery(Order.objects.create()), reason="\N{DELIVERY TRUCK}")
        assert other.status == "cancelled"
    finally:
        for table, column in tables:
            set_charset(table, column, "utf8mb4")


def set_charset(table, column, charset):
    """Give a column of MySQL's this character set; other engines have one for the whole database."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} MODIFY {column} longtext CHARACTER SET {charset} NOT NULL")


@pytest.mark.skipif(connection.vendor != "mysql", reason="others have one character set for a database")
def test_a_table_of_utf8mb3_is_named():
    """Its long texts cannot hold an emoji."""
    table = StatusChange._meta.db_table
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} MODIFY note longtext CHARACTER SET utf8mb3 NOT NULL")
        [message] = check_character_set(databases=["default"])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} MODIFY note longtext CHARACTER SET utf8mb4 NOT NULL")
    assert f"utf8mb4 for: {table}." in message.hint


@pytest.mark.parametrize(("first", "second"), [("order-a", "ORDER-A"), ("order-e", "order-é")])
@pytest.mark.failure_mode("database: names that differ in case")
def test_uniqueness_is_letter_by_letter(first, second):
    """Case and accents count, on MariaDB too."""
    order_type = ContentType.objects.get_for_model(Order)
    for number, name in enumerate((first, second)):
        Delivery.objects.create(
            account="default", environment="sandbox", content_type=order_type, object_id=number, external_order_id=name
        )
    assert Delivery.objects.get(external_order_id=first).object_id == "0"
