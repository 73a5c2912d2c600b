"""Logos of enti and services; and, without touching a column, the bounds of an ente's texts that GovIO's clients rely on."""

import django.db.models.deletion
from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import migrations, models

ONE_LINE = RegexValidator(
    "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]+\\Z",
    "Il testo sta su una riga, senza caratteri di controllo.",
    code="control_character",
)
OFFICE_TEXTS = {
    "office_at": "presso",
    "office_address": "indirizzo",
    "office_address_details": "dettagli dell'indirizzo",
    "office_zip": "CAP",
    "office_municipality": "comune",
    "office_municipality_details": "località",
    "office_province": "provincia",
    "office_foreign_state": "stato estero",
}


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0005_people"),
    ]

    operations = [
        migrations.AlterField(
            model_name="organization",
            name="tax_code",
            field=models.CharField(
                max_length=11,
                unique=True,
                validators=[
                    RegexValidator(
                        "\\A[0-9]{11}\\Z", "Il codice fiscale di un ente ha 11 cifre.", code="tax_code_invalid"
                    )
                ],
                verbose_name="codice fiscale",
            ),
        ),
        migrations.AlterField(
            model_name="organization",
            name="legal_name",
            field=models.CharField(max_length=80, unique=True, validators=[ONE_LINE], verbose_name="denominazione"),
        ),
        *(
            migrations.AlterField(
                model_name="organization",
                name=name,
                field=models.CharField(
                    blank=True,
                    max_length=255,
                    validators=[MaxLengthValidator(120), ONE_LINE],
                    verbose_name=verbose_name,
                ),
            )
            for name, verbose_name in OFFICE_TEXTS.items()
        ),
        migrations.AlterField(
            model_name="organization",
            name="office_phone_number",
            field=models.CharField(
                blank=True,
                max_length=255,
                validators=[
                    RegexValidator(
                        "\\A(\\+|00)?[0-9 \\-().]{7,32}\\Z",
                        "Un numero di telefono ha da 7 a 32 cifre, spazi, punti, trattini e parentesi, "
                        "con + o 00 davanti se serve.",
                        code="phone_number_invalid",
                    )
                ],
                verbose_name="telefono",
            ),
        ),
        migrations.CreateModel(
            name="Logo",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("media_type", models.CharField(max_length=16, verbose_name="formato")),
                ("content", models.BinaryField(verbose_name="immagine")),
                ("digest", models.CharField(max_length=64)),
            ],
            options={
                "verbose_name": "logo",
                "verbose_name_plural": "loghi",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("media_type__in", ("image/png", "image/jpeg"))),
                        name="logo_is_a_picture_browsers_only_show",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="organization",
            name="logo",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="registry.logo",
                verbose_name="logo",
            ),
        ),
        migrations.AddField(
            model_name="organization",
            name="logo_miniature",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="registry.logo",
                verbose_name="miniatura del logo",
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="logo",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="registry.logo",
                verbose_name="logo",
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="logo_miniature",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="registry.logo",
                verbose_name="miniatura del logo",
            ),
        ),
    ]
