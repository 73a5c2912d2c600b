from collections import defaultdict
from typing import Any

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.core.management.base import CommandError
from django.db import migrations, models


def refuse_twins(apps: Any, schema_editor: Any) -> None:
    """The database would refuse them too, naming none. Nothing of this migration has been done when this stops it."""
    user_model = apps.get_model("registry", "User")
    alike: dict[str, list[str]] = defaultdict(list)
    people = user_model.objects.annotate(name=django.db.models.functions.text.Lower("principal")).order_by("pk")
    for pk, principal, name in people.values_list("pk", "principal", "name"):
        alike[name].append(f"“{principal}” (id {pk})")
    twins = [" / ".join(people) for people in alike.values() if len(people) > 1]
    if twins:
        raise CommandError(
            "User names that differ only by capitals: from this release on they would be one person. Nothing of this "
            "migration has been applied. With the release before, rename all but one of each group in the back office "
            "(/admin/, Utenti), then run migrate again:\n  " + "\n  ".join(twins)
        )


class Migration(migrations.Migration):
    """Who entered whom, and one person for each user name however it is written."""

    dependencies = [
        ("registry", "0004_lane_wanted"),
    ]

    operations = [
        migrations.RunPython(refuse_twins, migrations.RunPython.noop, elidable=True),
        migrations.AddField(
            model_name="user",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="creato da",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("principal"),
                name="user_principal_once_in_any_case",
                violation_error_message="C'è già un utente con questo nome utente.",
            ),
        ),
    ]
