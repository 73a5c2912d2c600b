import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """A placeholder may belong to an ente; those that exist are shared, as they have been."""

    dependencies = [("registry", "0001_initial"), ("templates_app", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="placeholder",
            name="organization",
            field=models.ForeignKey(
                blank=True,
                help_text="Vuoto: il segnaposto è condiviso fra tutti gli enti.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="placeholders",
                to="registry.organization",
                verbose_name="ente",
            ),
        ),
        migrations.AlterField(
            model_name="placeholder",
            name="name",
            field=models.CharField(
                max_length=255,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[A-Za-z_][A-Za-z0-9_]*\\Z",
                        "Usa lettere, cifre e _, senza spazi, a partire da una lettera.",
                    )
                ],
                verbose_name="nome",
            ),
        ),
        migrations.AddConstraint(
            model_name="placeholder",
            constraint=models.UniqueConstraint(
                condition=models.Q(("organization", None)),
                fields=("name",),
                name="placeholder_name_once_among_shared",
                violation_error_message="C'è già un segnaposto condiviso con questo nome.",
            ),
        ),
        migrations.AddConstraint(
            model_name="placeholder",
            constraint=models.UniqueConstraint(
                fields=("organization", "name"),
                name="placeholder_name_once_in_ente",
                violation_error_message="L'ente ha già un segnaposto con questo nome.",
            ),
        ),
    ]
