from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('kaspi_delivery', '0005_phone_tails'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['account', 'id'], name='kaspi_delivery_by_account'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('object_id', 'content_type', 'environment', 'generation'), name='kaspi_delivery_one_per_order'),
        ),
        # last, so that uniqueness and look-ups have an index at every moment
        migrations.RemoveConstraint(
            model_name='delivery',
            name='kaspi_delivery_one_per_generation',
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='kaspi_delivery_by_order',
        ),
    ]
