"""The migrations are complete, and work in both directions on the engine in use."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models

from kaspi_delivery_django.models import Delivery

MODELS = tuple(apps.get_app_config("kaspi_delivery").get_models())
MARIADB_LIMIT_BYTES = 3072
TABLES = {model._meta.db_table for model in MODELS}


def migrate(*target):
    call_command("migrate", *target, verbosity=0)


@pytest.mark.django_db
def test_the_models_need_no_new_migration():
    """`makemigrations --check` finds no change."""
    call_command("makemigrations", "--check", "--dry-run", "--skip-checks", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_the_app_can_be_removed_and_installed_again():
    """Migrating to zero drops all its tables, and migrating again creates them."""
    try:
        migrate("kaspi_delivery", "zero")
        assert not TABLES & set(connection.introspection.table_names())
    finally:
        migrate()  # apps that depend on it were migrated back too
    assert set(connection.introspection.table_names()) >= TABLES
    assert not Delivery.objects.exists()


@pytest.mark.skipif(connection.vendor == "mysql", reason="a foreign key needs one there")
@pytest.mark.django_db
def test_an_unused_index_is_left_out():
    """All deliveries of a shop have the same content type."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Delivery._meta.db_table)
    assert [name for name, one in found.items() if one["index"] and one["columns"] == ["content_type_id"]] == []


@pytest.mark.failure_mode("database: limits of MariaDB")
def test_indexes_fit_into_mariadbs_limit():
    """Four bytes for each letter."""
    for model in MODELS:
        unique = [constraint.fields for constraint in model._meta.constraints]
        for names in (*unique, *(index.fields for index in model._meta.indexes)):
            fields = [model._meta.get_field(name.removeprefix("-")) for name in names]
            assert sum(4 * (field.max_length or 2) for field in fields) <= MARIADB_LIMIT_BYTES


@pytest.mark.failure_mode("database: limits of MariaDB")
def test_no_constraint_has_a_condition():
    """MariaDB has none such."""
    found = [constraint for model in MODELS for constraint in model._meta.constraints]
    assert found
    assert all(isinstance(one, models.UniqueConstraint) and one.condition is None for one in found)
