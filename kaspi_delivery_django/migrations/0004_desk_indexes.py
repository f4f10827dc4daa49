from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('kaspi_delivery', '0003_operators_desk'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='apicall',
            index=models.Index(fields=['state', 'updated_at'], name='kaspi_delivery_call_by_state'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['object_id', 'content_type'], name='kaspi_delivery_by_order'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['status', 'status_at'], name='kaspi_delivery_by_status'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['phone_tail'], name='kaspi_delivery_by_phone'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['created_at'], name='kaspi_delivery_by_age'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['cancel_requested_at'], name='kaspi_delivery_by_cancel'),
        ),
        migrations.AddIndex(
            model_name='statuschange',
            index=models.Index(fields=['created_at', 'to_status', 'applied'], name='kaspi_delivery_change_day'),
        ),
        migrations.AddConstraint(
            model_name='apicall',
            constraint=models.UniqueConstraint(fields=('idempotency_key', 'delivery'), name='kaspi_delivery_call_by_key'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('external_order_id', 'account', 'environment'), name='kaspi_delivery_by_external_id'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('delivery_id', 'account', 'environment'), name='kaspi_delivery_by_delivery_id'),
        ),
        # last, so that uniqueness and foreign keys have an index at every moment
        migrations.RemoveConstraint(
            model_name='apicall',
            name='kaspi_delivery_call_key',
        ),
        migrations.RemoveConstraint(
            model_name='delivery',
            name='kaspi_delivery_external_id',
        ),
        migrations.RemoveConstraint(
            model_name='delivery',
            name='kaspi_delivery_delivery_id',
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='kaspi_delivery_order',
        ),
    ]
