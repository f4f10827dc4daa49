from django.db import migrations, models

REASONS = [
    ("adapter_failed", "The shop's adapter failed"),
    ("refused", "Kaspi refused the request"),
    ("outcome_unknown", "Nobody knows whether Kaspi booked it"),
    ("key_reused", "The idempotency key was used with another payload"),
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
]


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
                max_length=400,
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
        migrations.AlterField(
            model_name="apicall",
            name="reason",
            field=models.CharField(
                blank=True, choices=REASONS, default="", max_length=40, verbose_name="waits because"
            ),
        ),
    ]
