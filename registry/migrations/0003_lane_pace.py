import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0002_sending_hours"),
    ]

    operations = [
        migrations.AlterField(
            model_name="ioaccount",
            name="calls_per_second",
            field=models.PositiveSmallIntegerField(
                default=10,
                help_text="Quante chiamate al secondo fare a IO. IO ne concede circa 30 (50 con Premium veloce).",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(10000),
                ],
                verbose_name="chiamate al secondo",
            ),
        ),
        migrations.RemoveConstraint(model_name="ioaccount", name="io_account_rate_in_range"),
        migrations.AddConstraint(
            model_name="ioaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("calls_per_second__gte", 1), ("calls_per_second__lte", 10000)),
                name="io_account_rate_in_range",
            ),
        ),
        migrations.AddField(
            model_name="lane",
            name="grants",
            field=models.JSONField(default=list, editable=False),
        ),
    ]
