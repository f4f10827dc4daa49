"""What docs/running.md promises of upgrades, as far as the code can break it."""

import pytest
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

from kaspi_delivery_django.models import ApiCall, Delivery
from tests.conftest import NOON
from tests.docs import pages
from tests.shop.models import Order
from tests.test_matrix import CELLS

APP = "kaspi_delivery"
ADDS = (migrations.CreateModel, migrations.AddField, migrations.RunPython)
KEYS_ALONE = (migrations.AddIndex, migrations.RemoveIndex, migrations.AddConstraint, migrations.RemoveConstraint)
NAMES_ALONE = (migrations.AlterModelOptions, migrations.AlterModelManagers)
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
LOADER = MigrationLoader(None)
RELEASED = sorted(name for app, name in LOADER.disk_migrations if app == APP)
LATER = RELEASED[1:]


def operations(name):
    """Return what a migration does to the database."""
    for one in LOADER.disk_migrations[APP, name].operations:
        is_split = isinstance(one, migrations.SeparateDatabaseAndState)
        yield from one.database_operations if is_split else [one]


def test_a_later_migration_only_adds():
    """Old code finds every table and column that it knows, and inserts rows without the new columns."""
    for name in LATER:
        for one in operations(name):
            assert isinstance(one, (*ADDS, *KEYS_ALONE, *NAMES_ALONE)) or is_in_words_alone(one)
        made = {one.name_lower for one in operations(name) if isinstance(one, migrations.CreateModel)}
        added = [one for one in operations(name) if isinstance(one, migrations.AddField)]
        columns = [one.field for one in added if one.model_name_lower not in made]
        assert all(column.null or column.db_default is not NOT_PROVIDED for column in columns)


def is_in_words_alone(operation):
    """Whether an altered column keeps its type and size in the database."""
    if not isinstance(operation, migrations.AlterField):
        return False
    before = LOADER.project_state((APP, RELEASED[0])).models[APP, operation.model_name_lower].fields[operation.name]
    return isinstance(operation.field, type(before)) and operation.field.max_length == before.max_length


def test_each_migration_is_in_the_changelog():
    """The reader of an upgrade knows what will run."""
    changelog = (pages.ROOT / "CHANGELOG.md").read_text()
    assert [name for name in RELEASED if name not in changelog] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", RELEASED)
def test_code_of_every_age_books_on_the_newest_tables(name, booked, drain):
    """Rows that it inserts are sent by today's worker."""
    old = LOADER.project_state((APP, name)).apps
    [order] = Order.objects.bulk_create([Order()])
    delivery = old.get_model(APP, "Delivery").objects.create(
        account="default",
        environment="sandbox",
        content_type_id=booked.content_type_id,
        object_id=order.pk,
        external_order_id="order-of-old",
        generation=1,
    )
    call = old.get_model(APP, "ApiCall").objects.create(
        delivery=delivery, kind="create", idempotency_key="order-of-old", queued_at=NOON, next_attempt_at=NOON
    )
    drain()
    assert ApiCall.objects.get(pk=call.pk).state == "done"
    assert Delivery.objects.get(pk=delivery.pk).delivery_id


def test_the_changelog_has_the_sections_of_its_format():
    """Those of Keep a Changelog."""
    page = pages.read("CHANGELOG.md")
    found = {line.removeprefix("### ") for line in page.prose if line.startswith("### ")}
    assert found
    assert found <= SECTIONS


def test_the_table_of_versions_is_toxs():
    """A yes for each pair that the tests run on."""
    [*rows] = pages.read("docs/running.md").rows
    documented = {
        (cells[0].removeprefix("Python "), django)
        for cells in rows
        if cells[0].startswith("Python 3")
        for django, cell in zip(("5.2", "6.0", "6.1"), cells[1:], strict=False)
        if cell == "yes"
    }
    assert documented == {(dotted(python), dotted(django)) for python, django, _engine in CELLS}


def dotted(digits):
    """Write 312 as 3.12."""
    return f"{digits[0]}.{digits[1:]}"
