from django.db import migrations

BATCH = 1000


def fill(apps, schema_editor):
    """Let deliveries that were booked before be found by the end of their phone."""
    deliveries = apps.get_model("kaspi_delivery", "Delivery").objects.using(schema_editor.connection.alias)
    waiting = deliveries.filter(phone_tail="").exclude(dropoff_phone="").order_by("pk")
    last = 0
    while rows := list(waiting.filter(pk__gt=last).only("dropoff_phone")[:BATCH]):
        last = rows[-1].pk
        for row in rows:
            digits = [sign for sign in row.dropoff_phone if sign in "0123456789"]
            row.phone_tail = "".join(reversed(digits))[:10]
        deliveries.bulk_update(rows, ["phone_tail"])
    # a phone that was blanked between the read and the write stays blanked
    deliveries.filter(blanked_at__isnull=False).exclude(phone_tail="").update(phone_tail="")


class Migration(migrations.Migration):
    atomic = False  # batch by batch: a shop's table may be long

    dependencies = [
        ("kaspi_delivery", "0004_desk_indexes"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
