from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("kaspi_delivery", "0013_final_statuses"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='accountstate',
            options={'permissions': [('hold_sending', 'Can hold and release all requests to Kaspi')], 'verbose_name': 'account state', 'verbose_name_plural': 'account states'},
        ),
        migrations.AddField(
            model_name='accountstate',
            name='held_at',
            field=models.DateTimeField(null=True, verbose_name='sending held since'),
        ),
        migrations.AddField(
            model_name='accountstate',
            name='held_by',
            field=models.CharField(blank=True, db_default='', default='', max_length=150, verbose_name='held by'),
        ),
        migrations.AddField(
            model_name='accountstate',
            name='worker_trouble',
            field=models.CharField(blank=True, db_default='', default='', max_length=400, verbose_name='the worker fails at'),
        ),
    ]
