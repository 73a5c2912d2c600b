"""A column of sealed text takes and gives sealed text alone."""

import io

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection

from messaging.models import IOService
from sealed.boxes import Sealed
from tests import factories

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdef0123456789abcdef"


def stored(row: IOService) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT primary_key FROM messaging_ioservice WHERE id = %s", [row.pk])
        return str(cursor.fetchone()[0])


def test_gives_back_what_was_sealed() -> None:
    made = factories.io_service(key=SECRET)
    assert IOService.objects.get(pk=made.pk).primary_key.open() == SECRET


def test_the_database_holds_no_clear_text() -> None:
    assert SECRET not in stored(factories.io_service(key=SECRET))


@pytest.mark.parametrize("wrong", [SECRET, SECRET.encode(), 1, ["x"]])
def test_refuses_anything_that_is_not_sealed(wrong: object) -> None:
    made = factories.io_service()
    made.primary_key = wrong  # type: ignore[assignment]  # that is the point
    with pytest.raises(TypeError, match=r"Sealed\.close") as refused:
        made.save()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("wrong", [SECRET, 1])
def test_an_update_refuses_it_too(wrong: object) -> None:
    made = factories.io_service()
    with pytest.raises(TypeError):
        IOService.objects.filter(pk=made.pk).update(primary_key=wrong)


def test_no_value_is_the_empty_seal_and_can_be_asked_for() -> None:
    made = factories.io_service()
    assert (
        stored(
            IOService.objects.create(
                io_account=made.io_account, organization=made.organization, io_service_id="01EMPTY"
            )
        )
        == ""
    )
    assert IOService.objects.get(primary_key="").io_service_id == "01EMPTY"
    assert not IOService.objects.get(primary_key=Sealed()).primary_key


def test_the_column_allows_null_nowhere() -> None:
    assert not IOService._meta.get_field("primary_key").null


def test_printing_a_row_shows_no_secret() -> None:
    made = factories.io_service(key=SECRET)
    assert SECRET not in f"{made!r} {made} {made.__dict__}"


def test_serialising_a_row_shows_no_secret() -> None:
    made = factories.io_service(key=SECRET)
    assert SECRET not in serializers.serialize("json", [made])
    out = io.StringIO()
    call_command("dumpdata", "messaging.IOService", stdout=out)
    assert SECRET not in out.getvalue()


def test_a_form_of_the_back_office_has_no_such_field() -> None:
    assert not IOService._meta.get_field("primary_key").editable
