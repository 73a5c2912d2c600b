from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0003_lane_pace"),
    ]

    operations = [
        migrations.AddField(
            model_name="lane",
            name="wanted_by",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="lane",
            name="wanted_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
