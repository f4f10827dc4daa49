import django.db.models.deletion
from django.db import migrations, models


def drop(apps, schema_editor):
    """Drop the index that nothing reads: an order is looked up by its key first, and all are of one type."""
    connection = schema_editor.connection
    if connection.vendor == "mysql":
        return  # a foreign key cannot be without one there
    table = apps.get_model("kaspi_delivery", "Delivery")._meta.db_table
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    for name, one in found.items():
        if one["index"] and one["columns"] == ["content_type_id"]:
            schema_editor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")


def bring_back(apps, schema_editor):
    """Let it be there again, under a name of its own."""
    if schema_editor.connection.vendor != "mysql":
        index = models.Index(fields=["content_type"], name="kaspi_delivery_by_type")
        schema_editor.add_index(apps.get_model("kaspi_delivery", "Delivery"), index)


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('kaspi_delivery', '0006_one_account_per_order'),
    ]

    operations = [
        # AlterField would check all foreign keys again on PostgreSQL, and write the table anew on SQLite
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name='delivery',
                    name='content_type',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='contenttypes.contenttype', verbose_name='order type'),
                ),
            ],
            database_operations=[migrations.RunPython(drop, bring_back)],
        ),
    ]
