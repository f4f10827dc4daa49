"""What the check of a database's character set asks is what the engine answers."""

import pytest
from django.db import connection

from kaspi_delivery_django.checks import check_character_set
from kaspi_delivery_django.models import StatusChange

pytestmark = pytest.mark.django_db(transaction=True)


def test_tables_of_utf8mb4_are_left_in_peace():
    """The suite's own; other engines are not asked."""
    assert check_character_set(databases=["default"]) == []


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
