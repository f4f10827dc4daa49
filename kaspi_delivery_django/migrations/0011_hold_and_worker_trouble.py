from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kaspi_delivery", "0010_final_statuses"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="accountstate",
            options={
                "permissions": [("hold_sending", "Can hold and release all requests to Kaspi")],
                "verbose_name": "account state",
                "verbose_name_plural": "account states",
            },
        ),
        migrations.AddField(
            model_name="accountstate",
            name="held_at",
            field=models.DateTimeField(null=True, verbose_name="sending held since"),
        ),
        migrations.AddField(
            model_name="accountstate",
            name="held_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=150, verbose_name="held by"),
        ),
        migrations.AddField(
            model_name="accountstate",
            name="worker_trouble",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=400, verbose_name="the worker fails at"
            ),
        ),
        migrations.AlterField(
            model_name="apicall",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("adapter_failed", "The shop's adapter failed"),
                    ("data_error", "The database cannot store its data"),
                    ("refused", "Kaspi refused the request"),
                    ("outcome_unknown", "Nobody knows whether Kaspi booked it"),
                    ("key_reused", "The idempotency key was used with another payload"),
                    ("payload_changed", "The stored request was changed after it was written"),
                    ("foreign_delivery", "Kaspi answered with another order's delivery"),
                    ("second_parcel", "Kaspi speaks of a second delivery for this order"),
                    ("contradiction", "Kaspi's messages contradict each other"),
                    ("too_old", "It waited too long to be sent by itself"),
                    ("configuration_changed", "Key, environment or address has changed"),
                    ("order_edited", "The order was edited after it was booked"),
                    ("cancel_refused", "Kaspi refused the cancellation"),
                    ("cancel_unknown", "Nobody knows whether Kaspi cancelled it"),
                    ("not_found", "Kaspi does not know the delivery"),
                    ("not_wanted", "The shop's adapter does not want it sent (yet)"),
                    ("unknown_status", "Its status is new to this version, and has lasted"),
                ],
                default="",
                max_length=40,
                verbose_name="waits because",
            ),
        ),
    ]
