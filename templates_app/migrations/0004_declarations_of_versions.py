from typing import Any

from django.db import migrations


def fill(apps: Any, schema_editor: Any) -> None:
    """What the placeholders say now is the nearest there is to what they said then. The shape is `Declaration.as_json`."""
    version_model = apps.get_model("templates_app", "TemplateVersion")
    use_model = apps.get_model("templates_app", "TemplatePlaceholder")
    for pk in list(version_model.objects.filter(declarations__isnull=True).values_list("pk", flat=True)):
        uses = use_model.objects.filter(version_id=pk).select_related("placeholder").order_by("position")
        declarations = [
            {
                "name": use.placeholder.name,
                "type": use.placeholder.type,
                "pattern": use.placeholder.pattern,
                "example": use.placeholder.example,
                "mandatory": use.mandatory,
                "is_markdown": use.placeholder.is_markdown,
                "choices": list(use.placeholder.choices),
                "description": use.placeholder.description,
            }
            for use in uses
        ]
        version_model.objects.filter(pk=pk).update(declarations=declarations)


class Migration(migrations.Migration):
    """What the versions that exist declare; those that the release before publishes after this stay null, and are read
    from their uses. Nothing to undo: the column goes with the migration before."""

    dependencies = [("templates_app", "0003_drafts_and_declarations")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
