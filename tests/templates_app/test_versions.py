"""A version of a template: what it keeps, when it is published, and what becomes of it when a placeholder changes."""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import transaction

from registry.models import User
from templates_app.models import Placeholder, Template, TemplateVersion
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.publishing import TemplateRefused, Text, Use, keep, publish, uses_of
from templates_app.writing import NameTaken, PlaceholderInUse, change_placeholder, create_placeholder, set_uses
from tests import factories

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BODY = "Salve, con la presente la informiamo che la sua Carta di Identità elettronica numero ${cie} sta per scadere."
TEXT = Text(subject="Scadenza CIE n. ${cie}", body=BODY, has_payment=False, has_due_date=False)
PLAIN = Text(subject="Chiusura degli uffici", body=BODY.replace("${cie}", "AA"), has_payment=False, has_due_date=False)

pytestmark = pytest.mark.django_db


@pytest.fixture
def cie() -> Placeholder:
    return factories.placeholder("cie")


@pytest.fixture
def editor() -> User:
    return factories.user()


def blank(**fields: Any) -> Template:
    return Template.objects.create(name="Modello", **fields)


def codes(refused: TemplateRefused) -> list[str]:
    return [finding.code for finding in refused.findings]


class TestDeclarations:
    def test_survive_the_way_through_json(self) -> None:
        whole = Declaration(
            name="colore",
            type=PlaceholderType.CHOICE,
            pattern="x",
            example="rosso",
            mandatory=False,
            is_markdown=True,
            choices=("rosso", "blu"),
            description="Il colore",
        )
        assert Declaration.from_json(whole.as_json()) == whole

    def test_are_frozen_in_the_version(self, cie: Placeholder) -> None:
        version, _warnings = publish(blank(), **vars_of(TEXT), uses=[Use(cie, mandatory=False)], by=None, at=AT)
        Placeholder.objects.update(example="altro", name="altro")
        stored = TemplateVersion.objects.get(pk=version.pk)
        assert stored.as_text().declarations == (
            Declaration("cie", PlaceholderType.STRING, example="CA000000AA", mandatory=False),
        )

    def test_cost_no_query(self, cie: Placeholder, django_assert_num_queries: Any) -> None:
        publish(blank(), **vars_of(TEXT), uses=[Use(cie)], by=None, at=AT)
        version = TemplateVersion.objects.get()
        with django_assert_num_queries(0):
            version.as_text()

    def test_come_in_the_order_of_the_positions_given(self, cie: Placeholder) -> None:
        first = factories.placeholder("primo")
        uses = [Use(cie, position=7), Use(first, position=0)]
        version, _warnings = publish(blank(), **vars_of(TEXT), uses=uses, by=None, at=AT)
        assert [declaration.name for declaration in version.as_text().declarations] == ["primo", "cie"]
        assert [(use.placeholder, use.position) for use in uses_of(version)] == [(first, 0), (cie, 7)]

    def test_are_what_the_placeholder_says_now_whatever_the_caller_read_before(self, cie: Placeholder) -> None:
        Placeholder.objects.update(example="CA111111BB")
        version, _warnings = publish(blank(), **vars_of(TEXT), uses=[Use(cie)], by=None, at=AT)
        assert version.as_text().declarations[0].example == "CA111111BB"

    def test_of_versions_that_were_there_before_are_filled_by_the_migration(self, cie: Placeholder) -> None:
        used, _warnings = publish(blank(), **vars_of(TEXT), uses=[Use(cie, mandatory=False)], by=None, at=AT)
        plain, _warnings = publish(blank(), **vars_of(PLAIN), uses=[], by=None, at=AT)
        TemplateVersion.objects.update(declarations=None)
        import_module("templates_app.migrations.0004_declarations_of_versions").fill(apps, None)
        filled = TemplateVersion.objects.in_bulk()
        assert filled[used.pk].declarations == used.declarations != []
        assert filled[plain.pk].declarations == []


def vars_of(text: Text) -> dict[str, Any]:
    return {name: getattr(text, name) for name in ("subject", "body", "has_payment", "has_due_date")}


class TestKeep:
    def test_publishes_a_text_that_needs_no_placeholder(self) -> None:
        template = blank()
        version = keep(template, PLAIN, uses=[], by=None, at=AT)
        template.refresh_from_db()
        assert (template.current_version, template.draft, version.published_at) == (version, None, AT)

    def test_keeps_as_a_draft_what_only_lacks_placeholders(self) -> None:
        template = blank()
        version = keep(template, TEXT, uses=[], by=None, at=AT)
        template.refresh_from_db()
        assert (template.current_version, template.draft, version.published_at) == (None, version, None)

    def test_publishes_the_draft_when_it_has_them(self, cie: Placeholder) -> None:
        template = blank()
        keep(template, TEXT, uses=[], by=None, at=AT)
        version = keep(template, TEXT, uses=[Use(cie)], by=None, at=AT)
        template.refresh_from_db()
        assert (template.current_version, template.draft, version.number) == (version, None, 2)

    def test_leaves_the_published_text_in_force_beside_a_draft(self, cie: Placeholder) -> None:
        template = blank()
        published = keep(template, TEXT, uses=[Use(cie)], by=None, at=AT)
        draft = keep(template, TEXT, uses=[], by=None, at=AT)
        template.refresh_from_db()
        assert (template.current_version, template.draft) == (published, draft)
        assert template.newest_version == draft

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"body": BODY + "${cie"}, "template_syntax"),
            ({"body": BODY + "<#if x>"}, "freemarker_directive"),
            ({"body": "x" * 20_001}, "too_long"),
        ],
    )
    def test_refuses_what_no_later_step_cures(self, changes: dict[str, str], code: str) -> None:
        text = Text(**{**vars_of(TEXT), **changes})
        with pytest.raises(TemplateRefused) as refused:
            keep(blank(), text, uses=[], by=None, at=AT)
        assert codes(refused.value) == [code]
        assert not TemplateVersion.objects.exists()

    @pytest.mark.parametrize("body", [BODY + "${due_date.date}", BODY + "${amount_currency}", "Breve."])
    def test_keeps_as_a_draft_what_a_later_step_makes_good(self, body: str, cie: Placeholder) -> None:
        template = blank()
        text = Text(**{**vars_of(TEXT), "body": body})
        version = keep(template, text, uses=[Use(cie)], by=None, at=AT)
        assert version.published_at is None
        template.refresh_from_db()
        assert (template.draft, template.current_version) == (version, None)

    def test_refuses_the_placeholder_of_another_ente(self) -> None:
        other = factories.placeholder("cie", organization=factories.organization())
        for template in (blank(), blank(organization=factories.organization())):
            with pytest.raises(TemplateRefused) as refused:
                keep(template, TEXT, uses=[Use(other)], by=None, at=AT)
            assert codes(refused.value) == ["placeholder_of_another"]
            with pytest.raises(TemplateRefused):
                publish(template, **vars_of(TEXT), uses=[Use(other)], by=None, at=AT)

    def test_takes_a_shared_placeholder_and_one_of_its_ente(self, cie: Placeholder) -> None:
        ente = factories.organization()
        own = factories.placeholder("sportello", organization=ente)
        version = keep(blank(organization=ente), TEXT, uses=[Use(cie), Use(own)], by=None, at=AT)
        assert version.published_at == AT

    def test_refuses_two_placeholders_of_one_name(self, cie: Placeholder) -> None:
        ente = factories.organization()
        own = factories.placeholder("cie", organization=ente)
        with pytest.raises(TemplateRefused) as refused:
            keep(blank(organization=ente), TEXT, uses=[Use(cie), Use(own)], by=None, at=AT)
        assert codes(refused.value) == ["name_repeated"]


class TestSetUses:
    def test_makes_no_version_of_what_is_there_already(self, cie: Placeholder, editor: User) -> None:
        template = blank()
        keep(template, TEXT, uses=[Use(cie, position=3)], by=None, at=AT)
        set_uses(template, [Use(cie, position=3)], by=editor, at=AT)
        assert template.versions.count() == 1
        assert not LogEntry.objects.exists()


class TestChangePlaceholder:
    def test_makes_a_new_version_of_every_text_that_uses_it(self, cie: Placeholder, editor: User) -> None:
        using, other = blank(), blank()
        before = keep(using, TEXT, uses=[Use(cie)], by=None, at=AT)
        keep(other, PLAIN, uses=[], by=None, at=AT)
        cie.example = "CA111111BB"
        assert change_placeholder(cie, by=editor, at=AT) == [using]
        using.refresh_from_db()
        assert using.current_version is not None
        assert (using.current_version.number, using.current_version.created_by) == (2, editor)
        assert using.current_version.as_text().declarations[0].example == "CA111111BB"
        before.refresh_from_db()
        assert before.as_text().declarations[0].example == "CA000000AA"
        assert other.versions.count() == 1
        assert LogEntry.objects.filter(user=editor).count() == 2

    def test_makes_none_when_nothing_changed(self, cie: Placeholder) -> None:
        keep(blank(), TEXT, uses=[Use(cie)], by=None, at=AT)
        assert change_placeholder(cie, by=None, at=AT) == []
        assert TemplateVersion.objects.count() == 1

    @pytest.mark.parametrize("changes", [{"name": "carta"}, {"type": "date", "example": "2026-12-31"}])
    def test_changes_nothing_when_a_text_in_force_would_be_spoilt(
        self, cie: Placeholder, changes: dict[str, str]
    ) -> None:
        fine, spoilt = blank(), blank()
        keep(fine, PLAIN, uses=[Use(cie)], by=None, at=AT)
        upper = Text(**{**vars_of(TEXT), "subject": "Scadenza CIE n. ${cie.uppercase}"})
        keep(spoilt, upper, uses=[Use(cie)], by=None, at=AT)
        for name, value in changes.items():
            setattr(cie, name, value)
        with pytest.raises(PlaceholderInUse) as in_use, transaction.atomic():
            change_placeholder(cie, by=None, at=AT)
        assert [template for template, _refused in in_use.value.spoilt] == [spoilt]
        cie.refresh_from_db()
        assert (cie.name, cie.type, TemplateVersion.objects.count()) == ("cie", "string", 2)

    def test_publishes_a_draft_that_waited_for_the_new_name(self, cie: Placeholder) -> None:
        template = blank()
        waiting = factories.placeholder("carta")
        keep(template, TEXT, uses=[Use(waiting)], by=None, at=AT)
        cie.delete()
        waiting.name = "cie"
        change_placeholder(waiting, by=None, at=AT)
        assert list(Template.objects.filter(draft=None, current_version__number=2)) == [template]

    def test_keeps_a_draft_newer_than_the_text_in_force(self, cie: Placeholder) -> None:
        template = blank()
        keep(template, TEXT, uses=[Use(cie)], by=None, at=AT)
        more = Text(**{**vars_of(TEXT), "body": BODY + " ${altro}"})
        keep(template, more, uses=[Use(cie)], by=None, at=AT)
        cie.example = "CA111111BB"
        change_placeholder(cie, by=None, at=AT)
        template.refresh_from_db()
        assert template.current_version is not None
        assert template.draft is not None
        assert (template.current_version.number, template.draft.number) == (3, 4)
        assert template.draft.body == more.body
        assert template.draft.as_text().declarations[0].example == "CA111111BB"

    def test_refuses_a_name_that_is_taken(self, cie: Placeholder, editor: User) -> None:
        other = factories.placeholder("altro")
        other.name = "cie"
        with pytest.raises(NameTaken):
            change_placeholder(other, by=editor, at=AT)
        with pytest.raises(NameTaken):
            create_placeholder(Placeholder(name="cie", type="string", example="x"), by=editor)

    def test_each_ente_has_its_own_names(self, cie: Placeholder, editor: User) -> None:
        for ente in (factories.organization(), factories.organization()):
            create_placeholder(Placeholder(organization=ente, name="cie", type="string", example="x"), by=editor)
        assert Placeholder.objects.filter(name="cie").count() == 3
