import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('kaspi_delivery', '0002_people_and_pruning'),
    ]

    operations = [
        migrations.CreateModel(
            name='FailedAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('create', 'create'), ('cancel', 'cancel'), ('refresh', 'refresh'), ('link', 'link')], max_length=16, verbose_name='kind')),
                ('at', models.DateTimeField(verbose_name='at')),
                ('http_status', models.PositiveSmallIntegerField(null=True, verbose_name='HTTP status')),
                ('error', models.CharField(blank=True, default='', max_length=200, verbose_name='error')),
                ('error_message', models.TextField(blank=True, default='', verbose_name='error message')),
            ],
            options={
                'verbose_name': 'failed attempt',
                'verbose_name_plural': 'failed attempts',
            },
        ),
        migrations.CreateModel(
            name='PendingAction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(choices=[('cancel', 'cancel'), ('retry', 'retry'), ('refresh', 'ask Kaspi'), ('replay', 'replay'), ('acknowledge', 'acknowledge')], max_length=16, verbose_name='action')),
                ('reason', models.TextField(blank=True, default='', verbose_name='reason given')),
                ('asked_by', models.CharField(blank=True, default='', max_length=254, verbose_name='asked by')),
                ('created_at', models.DateTimeField(verbose_name='asked at')),
                ('deferred_at', models.DateTimeField(null=True, verbose_name='deferred at')),
                ('failed_at', models.DateTimeField(null=True, verbose_name='refused at')),
                ('failure', models.TextField(blank=True, default='', verbose_name='refused because')),
            ],
            options={
                'verbose_name': 'action handed to the worker',
                'verbose_name_plural': 'actions handed to the worker',
            },
        ),
        migrations.AddField(
            model_name='delivery',
            name='phone_tail',
            field=models.CharField(blank=True, db_default='', default='', max_length=10, verbose_name="phone's last digits, backwards"),
        ),
        migrations.AlterField(
            model_name='webhookevent',
            name='state',
            field=models.CharField(choices=[('applied', 'applied'), ('noted', 'noted: nothing to change'), ('parked', 'parked: no delivery yet'), ('ignored', 'ignored: not about a delivery of ours'), ('conflict', 'conflict'), ('failed', 'failed'), ('acknowledged', 'acknowledged by staff')], max_length=16, verbose_name='state'),
        ),
        migrations.AddField(
            model_name='failedattempt',
            name='call',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='failed_attempts', to='kaspi_delivery.apicall', verbose_name='call'),
        ),
        migrations.AddField(
            model_name='pendingaction',
            name='delivery',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='kaspi_delivery.delivery', verbose_name='delivery'),
        ),
        migrations.AddField(
            model_name='pendingaction',
            name='event',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='kaspi_delivery.webhookevent', verbose_name='event'),
        ),
        migrations.AddIndex(
            model_name='failedattempt',
            index=models.Index(fields=['at'], name='kaspi_delivery_attempt_age'),
        ),
        migrations.AddIndex(
            model_name='pendingaction',
            index=models.Index(fields=['failed_at'], name='kaspi_delivery_action_waiting'),
        ),
    ]
