from django.db import migrations, models

BATCH = 1000


def close(apps, schema_editor):
    """Give what was cancelled before it was sent the status that it gets from now on; the shop is not notified."""
    using = schema_editor.connection.alias
    deliveries, calls, changes = (
        apps.get_model("kaspi_delivery", name).objects.using(using) for name in ("Delivery", "ApiCall", "StatusChange")
    )
    creates = calls.filter(delivery=models.OuterRef("pk"), kind="create")
    unsent = deliveries.filter(status="", delivery_id__isnull=True, cancel_requested_at__isnull=False)
    unsent = unsent.filter(models.Exists(creates)).exclude(models.Exists(creates.exclude(state="abandoned")))
    while rows := list(unsent.order_by("pk").only("cancel_requested_at", "cancel_reason")[:BATCH]):
        changes.bulk_create([changes.model(delivery=row, **_step(row)) for row in rows])
        same = deliveries.filter(pk__in=[row.pk for row in rows])
        same.update(status="cancelled", status_at=models.F("cancel_requested_at"), next_refresh_at=None)


def _step(row):
    at = row.cancel_requested_at
    times = {"at": at, "created_at": at, "notify_after": at, "notified_at": at}
    return {"to_status": "cancelled", "source": "cancel", "note": row.cancel_reason, **times}


class Migration(migrations.Migration):
    dependencies = [
        ("kaspi_delivery", "0007_no_order_type_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="accountstate",
            name="cancels_asked_at",
            field=models.DateTimeField(null=True, verbose_name="adapters last asked about cancels at"),
        ),
        migrations.AddField(
            model_name="delivery",
            name="raised_reasons",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=600,
                verbose_name="reasons raised so far",
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="send_anyway_at",
            field=models.DateTimeField(null=True, verbose_name="staff had it sent at"),
        ),
        migrations.AddField(
            model_name="delivery",
            name="unwanted_since",
            field=models.DateTimeField(null=True, verbose_name="not wanted by the adapter since"),
        ),
        migrations.RunPython(close, migrations.RunPython.noop, elidable=True),
    ]
