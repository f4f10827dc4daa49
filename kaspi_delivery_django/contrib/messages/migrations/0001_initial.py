import django.db.models.deletion
import kaspi_delivery_django.models.fields
import kaspi_delivery_django.services.clock
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("kaspi_delivery", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "account",
                    kaspi_delivery_django.models.fields.ExactCharField(
                        blank=True, default="", max_length=40, verbose_name="account"
                    ),
                ),
                (
                    "environment",
                    kaspi_delivery_django.models.fields.ExactCharField(
                        blank=True, default="", max_length=16, verbose_name="environment"
                    ),
                ),
                ("kind", kaspi_delivery_django.models.fields.ExactCharField(max_length=64, verbose_name="kind")),
                ("words", models.TextField(verbose_name="text")),
                ("began_at", models.DateTimeField(verbose_name="began at")),
                ("seen_at", models.DateTimeField(verbose_name="last seen at")),
                ("announced_at", models.DateTimeField(null=True, verbose_name="announced at")),
            ],
            options={
                "verbose_name": "alarm",
                "verbose_name_plural": "alarms",
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "account", "environment"), name="kaspi_delivery_one_alarm")
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("sent", "sent"),
                            ("failed", "failed"),
                            ("skipped", "skipped"),
                        ],
                        default="waiting",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("next_attempt_at", models.DateTimeField(db_index=True, null=True, verbose_name="next attempt at")),
                ("claim_token", models.CharField(blank=True, default="", max_length=32, verbose_name="claim token")),
                ("error", models.TextField(blank=True, default="", verbose_name="error")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_index=True, default=kaspi_delivery_django.services.clock.now, verbose_name="created at"
                    ),
                ),
                ("sent_at", models.DateTimeField(null=True, verbose_name="sent at")),
                ("channel", kaspi_delivery_django.models.fields.ExactCharField(max_length=32, verbose_name="channel")),
                ("recipient", models.CharField(blank=True, default="", max_length=254, verbose_name="recipient")),
                ("subject", models.TextField(blank=True, default="", verbose_name="subject")),
                ("text", models.TextField(blank=True, default="", verbose_name="text")),
                (
                    "change",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="kaspi_delivery.statuschange",
                        verbose_name="status change",
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="kaspi_delivery.delivery",
                        verbose_name="delivery",
                    ),
                ),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "constraints": [
                    models.UniqueConstraint(fields=("change", "channel"), name="kaspi_delivery_one_message")
                ],
            },
        ),
    ]
