from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="RequestCount",
            fields=[
                ("name", models.CharField(max_length=96, primary_key=True, serialize=False)),
                ("ends_at", models.BigIntegerField()),
                ("count", models.BigIntegerField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
