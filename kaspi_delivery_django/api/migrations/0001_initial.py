from django.db import migrations, models

import kaspi_delivery_django.models.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", kaspi_delivery_django.models.fields.ExactCharField(max_length=64)),
                ("key", kaspi_delivery_django.models.fields.ExactCharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("http_status", models.PositiveSmallIntegerField(default=0)),
                ("delivery_pk", models.BigIntegerField(null=True)),
                ("refusal", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("owner", "key"), name="kaspi_delivery_api_key")],
            },
        ),
    ]
