"""What people do to templates and placeholders. Each verb is one turn, and leaves a line in the log of who did it.

The callers have asked for the right (`templates_app.rights`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from django.db import IntegrityError, transaction

from registry.models import User
from templates_app import auditing
from templates_app.models import Placeholder, Template, TemplateVersion
from templates_app.publishing import TemplateRefused, Text, Use, keep, publish, uses_of
from templates_app.turns import turn


class NameTaken(Exception):
    """The ente, or the shared placeholders, have one with this name already."""


class PlaceholderInUse(Exception):
    """The change would spoil texts that use the placeholder; `spoilt` says which, and what would be wrong with each."""

    def __init__(self, spoilt: Sequence[tuple[Template, TemplateRefused]]) -> None:
        super().__init__(f"{len(spoilt)} templates")
        self.spoilt = tuple(spoilt)


def create_template(
    *, organization_id: int | None, name: str, description: str, text: Text, by: User, at: datetime
) -> Template:
    """Published at once if the text needs no placeholder, else a draft. Raises TemplateRefused."""
    with turn():
        template = Template.objects.create(organization_id=organization_id, name=name, description=description)
        version = keep(template, text, uses=[], by=by, at=at)
        auditing.note_of(template, auditing.told(version), by=by, created=True)
    return template


def change_template(template: Template, *, name: str, description: str, text: Text, by: User, at: datetime) -> None:
    """A changed text makes a new version with the placeholders of the newest one. Raises TemplateRefused."""
    with turn():
        deeds = []
        if (template.name, template.description) != (name, description):
            template.name, template.description = name, description
            template.save(update_fields=["name", "description"])
            deeds.append(auditing.DESCRIBED)
        newest = template.newest_version
        if newest is None or Text.of(newest) != text:
            deeds.append(auditing.told(keep(template, text, uses=uses_of(newest), by=by, at=at)))
        if deeds:
            auditing.note_of(template, *deeds, by=by)


def set_uses(template: Template, uses: Sequence[Use], *, by: User, at: datetime) -> None:
    """The newest text with these placeholders instead, as a new version; the same ones make none. Raises TemplateRefused.

    The template must have a text.
    """
    with turn():
        newest = template.newest_version
        assert newest is not None
        if uses_of(newest) != list(uses):
            version = keep(template, Text.of(newest), uses=uses, by=by, at=at)
            auditing.note_of(template, auditing.told(version), by=by)


def create_placeholder(placeholder: Placeholder, *, by: User) -> None:
    """Store a new one, whose declaration is sound. Raises NameTaken."""
    with turn():
        _save(placeholder)
        auditing.note_of(placeholder, by=by, created=True)


def change_placeholder(placeholder: Placeholder, *, by: User | None, at: datetime) -> list[Template]:
    """Store what was set on it, and make a new version of every text that uses it; returns their templates.

    Raises NameTaken, and PlaceholderInUse when a text would become invalid: then nothing has changed.
    """
    with turn():
        before = Placeholder.objects.get(pk=placeholder.pk)
        if _said(before) == _said(placeholder):
            return []
        for version in TemplateVersion.objects.filter(placeholders__placeholder=placeholder, declarations__isnull=True):
            version.freeze()
        _save(placeholder)
        auditing.note_of(placeholder, auditing.DECLARED, by=by)
        return _rewrite_all(placeholder, by=by, at=at)


def _rewrite_all(placeholder: Placeholder, *, by: User | None, at: datetime) -> list[Template]:
    templates = list(Template.objects.using_placeholder(placeholder).with_text())
    spoilt = []
    for template in templates:
        try:
            _rewrite(template, placeholder, by=by, at=at)
        except TemplateRefused as refused:
            spoilt.append((template, refused))
        else:
            auditing.note_of(template, auditing.PLACEHOLDER_CHANGED, by=by)
    if spoilt:
        raise PlaceholderInUse(spoilt)
    return templates


def _rewrite(template: Template, placeholder: Placeholder, *, by: User | None, at: datetime) -> None:
    """The text in force stays in force, or the change is refused; a draft may come into force by it."""
    in_force, draft = template.current_version, template.draft
    if in_force is not None and _uses(in_force, placeholder):
        publish(template, **asdict(Text.of(in_force)), uses=uses_of(in_force), by=by, at=at)
    if draft is not None:
        keep(template, Text.of(draft), uses=uses_of(draft), by=by, at=at)


def _uses(version: TemplateVersion, placeholder: Placeholder) -> bool:
    return version.placeholders.filter(placeholder=placeholder).exists()


def _said(placeholder: Placeholder) -> object:
    return placeholder.as_declaration(mandatory=True)


def _save(placeholder: Placeholder) -> None:
    try:
        with transaction.atomic():
            placeholder.save()
    except IntegrityError:
        others = Placeholder.objects.filter(name=placeholder.name, organization=placeholder.organization_id)
        if others.exclude(pk=placeholder.pk).exists():
            raise NameTaken from None
        raise
