import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """A template may have a text that waits for placeholders, and a version keeps what its placeholders said."""

    dependencies = [("templates_app", "0002_placeholders_of_an_ente")]

    operations = [
        migrations.AddField(
            model_name="template",
            name="draft",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="templates_app.templateversion",
            ),
        ),
        migrations.AddField(
            model_name="templateversion",
            name="declarations",
            field=models.JSONField(
                blank=True,
                editable=False,
                null=True,
                verbose_name="dichiarazioni dei segnaposto",
            ),
        ),
    ]
