"""What is written down of those who write templates, as sentences of the back office's log."""

from django.utils.translation import gettext_noop

from registry.auditing import note
from registry.models import User
from templates_app.models import Placeholder, Template, TemplateVersion

PUBLISHED = gettext_noop("Pubblicata una nuova versione")
DRAFTED = gettext_noop("Salvata una bozza, in attesa dei suoi segnaposto")
DESCRIBED = gettext_noop("Nome o descrizione")
DECLARED = gettext_noop("Dichiarazione del segnaposto")
PLACEHOLDER_CHANGED = gettext_noop("Nuova versione: è cambiato un segnaposto")

__all__ = ["DECLARED", "DESCRIBED", "DRAFTED", "PLACEHOLDER_CHANGED", "PUBLISHED", "note_of", "told"]


def told(version: TemplateVersion) -> str:
    """What became of a text."""
    return DRAFTED if version.published_at is None else PUBLISHED


def note_of(target: Template | Placeholder, *deeds: str, by: User | None, created: bool = False) -> None:
    """Nothing is written where nobody did it: demonstration data, migrations."""
    if by is not None:
        note(target, *deeds, by=by, created=created)
