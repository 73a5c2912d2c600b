"""While a new release comes in, web processes of the one before still publish: their versions keep no declarations."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, models

from messaging.models import MessageContent, ServiceInstance
from registry.models import Role
from templates_app.models import Placeholder, Template, TemplatePlaceholder, TemplateVersion
from templates_app.publishing import Use
from templates_app.writing import change_placeholder
from tests import factories
from tests.api.integrator import program_of, valid_body
from tests.factories.setting import CIE_BODY, CIE_SUBJECT

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
# Before `declarations` came.
COLUMNS = ("template_id", "number", "subject", "body", "has_payment", "has_due_date", "published_at", "created_at")


def published_before(template: Template, *uses: Use) -> TemplateVersion:
    """As the release before does: it names the columns that it knows, and the database fills in the rest."""
    values = (template.pk, template.versions.count() + 1, CIE_SUBJECT, CIE_BODY, True, True, AT, AT)
    fields = [TemplateVersion._meta.get_field(column.removesuffix("_id")) for column in COLUMNS]
    row = [
        one.get_db_prep_save(value, connection)
        for one, value in zip(fields, values, strict=True)
        if isinstance(one, models.Field)
    ]
    places = ", ".join(["%s"] * len(row))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO templates_app_templateversion ({', '.join(COLUMNS)}) VALUES ({places})",  # noqa: S608  (no input)
            row,
        )
    version = template.versions.get(number=values[1])
    for position, use in enumerate(uses, start=1):
        TemplatePlaceholder.objects.create(
            version=version, placeholder=use.placeholder, position=position, mandatory=use.mandatory
        )
    Template.objects.filter(pk=template.pk).update(current_version=version)
    template.refresh_from_db()
    return version


@pytest.fixture
def cie() -> Placeholder:
    return factories.placeholder("cie")


@pytest.fixture
def instance() -> ServiceInstance:
    return factories.service_instance(template=Template.objects.create(name="CIE"))


def test_its_uses_say_what_it_declares(
    cie: Placeholder, instance: ServiceInstance, django_assert_num_queries: Any
) -> None:
    other = factories.placeholder("altro", example="x")
    version = published_before(instance.template, Use(cie), Use(other, mandatory=False))
    with django_assert_num_queries(1):
        text = version.as_text()
    assert text.declarations == (cie.as_declaration(mandatory=True), other.as_declaration(mandatory=False))


def test_messages_are_composed_with_it(cie: Placeholder, instance: ServiceInstance) -> None:
    published_before(instance.template, Use(cie))
    sender = factories.user()
    factories.grant(sender, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    answer = program_of(sender, instance).post(valid_body())
    assert answer.status_code == 201, answer.content
    assert MessageContent.objects.get().values == {"cie": "CA000000AA"}


def test_no_message_meets_what_it_said_before_in_this_process(cie: Placeholder, instance: ServiceInstance) -> None:
    first = published_before(instance.template).as_text()
    second = published_before(instance.template, Use(cie)).as_text()
    assert (first.declarations, second.declarations) == ((), (cie.as_declaration(mandatory=True),))


def test_a_placeholder_that_changes_leaves_what_it_said_then(cie: Placeholder, instance: ServiceInstance) -> None:
    before = published_before(instance.template, Use(cie))
    cie.example = "CA111111BB"
    assert change_placeholder(cie, by=None, at=AT) == [instance.template]
    before.refresh_from_db()
    instance.template.refresh_from_db()
    newest = instance.template.current_version
    assert newest is not None
    assert [version.as_text().declarations[0].example for version in (before, newest)] == ["CA000000AA", "CA111111BB"]
