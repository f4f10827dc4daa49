"""Whether the database has our tables, as the code that runs knows them."""

from collections.abc import Sequence

from django.apps import apps
from django.db import connections

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.transactions import home


def missing() -> Sequence[str]:
    """Return the tables and columns that the database lacks, where the connection looks for tables."""
    connection = connections[home()]
    found: list[str] = []
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_app_config(Delivery._meta.app_label).get_models():
            table = model._meta.db_table
            if table not in tables:
                found.append(table)
                continue
            columns = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            wanted = (field.column for field in model._meta.concrete_fields)
            found += [f"{table}.{name}" for name in wanted if name not in columns]
    return found


def advice(lacking: Sequence[str]) -> str:
    """Return what is wrong with such a database, and what to do."""
    named = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")  # noqa: PLR2004  # enough to recognise them
    return (
        f'The database "{home()}" lacks {named}. Run manage.py migrate first. In a project with one schema for each'
        " tenant, run the worker inside the tenant's schema, not in the public one."
    )
