"""The two nights of the year on which a clock on the wall is not an instant."""

from typing import Any

import pytest

from messaging.states import Delivery
from templates_app.publishing import Use
from tests import factories
from tests.portal.composing import confirm, start, write
from tests.portal.test_compose import instance_with, sender_on
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db

# Summer time begins on 28 March 2027 and ends on 31 October 2027.
SKIPPED: dict[str, Any] = {"quando": "data", "quando_data": "2027-03-28", "quando_ora": "02:30"}
REPEATED: dict[str, Any] = {"quando": "data", "quando_data": "2027-10-31", "quando_ora": "02:30"}


def test_an_hour_that_does_not_exist_is_refused(cast: factories.Cast, sender: Visitor) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, expect=422, **SKIPPED)
    assert "non esiste" in sender.errors[0]
    assert not sender.main.all("input", name="quando_volta")


def test_an_hour_that_comes_twice_is_asked_about(cast: factories.Cast, sender: Visitor) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, expect=422, **REPEATED)
    assert sender.errors == ["Quella notte quest’ora capita due volte: scegli quale delle due."]
    assert len(sender.main.all("input", name="quando_volta")) == 2


@pytest.mark.parametrize(("which", "instant"), [("0", "2027-10-31T00:30:00+00:00"), ("1", "2027-10-31T01:30:00+00:00")])
def test_the_answer_decides(cast: factories.Cast, sender: Visitor, which: str, instant: str) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, **REPEATED, quando_volta=which)
    confirm(sender, draft)
    draft.refresh_from_db()
    assert draft.delivery_state == Delivery.SCHEDULED
    assert draft.scheduled_at.isoformat() == instant


def test_the_question_is_remembered_with_the_draft(cast: factories.Cast, sender: Visitor) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, button="salva", **REPEATED, quando_volta="1")
    sender.get("compose_content", draft.pk)
    chosen = [one for one in sender.main.all("input", name="quando_volta") if "checked" in one.attributes]
    assert [one.attributes["value"] for one in chosen] == ["1"]


def test_the_due_date_asks_likewise(cast: factories.Cast, sender: Visitor) -> None:
    draft = start(sender, cast.instance)
    due: dict[str, Any] = {"scadenza_data": "2027-10-31", "scadenza_ora": "02:30"}
    write(sender, draft, expect=422, **due)
    assert len(sender.main.all("input", name="scadenza_volta")) == 2
    write(sender, draft, **due, scadenza_volta="0")
    confirm(sender, draft)
    draft.refresh_from_db()
    assert draft.due_date is not None
    assert draft.due_date.isoformat() == "2027-10-31T00:30:00+00:00"


def test_a_moment_in_the_text_asks_likewise() -> None:
    instance = instance_with(Use(factories.placeholder("quando", type="datetime", example="2027-01-12T09:00")))
    visitor = sender_on(instance)
    draft = start(visitor, instance)
    write(visitor, draft, expect=422, s_quando="2027-10-31T02:30")
    assert visitor.errors == ["Quella notte quest’ora capita due volte: scegli quale delle due."]
    write(visitor, draft, s_quando="2027-10-31T02:30", volta_s_quando="1")
    confirm(visitor, draft)
    draft.refresh_from_db()
    assert draft.content.values == {"quando": "2027-10-31T02:30+01:00"}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"quando": "data"}, ["Indica la data di spedizione.", "Indica l’ora di spedizione."]),
        ({"quando": "data", "quando_data": "2099-07-06"}, ["Indica l’ora di spedizione."]),
        ({"quando": "data", "quando_data": "boh", "quando_ora": "9:00"}, ["Scrivi la data con giorno, mese e anno"]),
        (
            {"quando": "data", "quando_data": "0001-01-01", "quando_ora": "9:00"},
            ["L’anno deve essere fra 1900 e 9998."],
        ),
        ({"quando": "data", "quando_data": "2099-07-06", "quando_ora": "25:00"}, ["Scrivi l’ora con ore e minuti"]),
        ({"quando": None}, ["Scegli quando inviarlo."]),
    ],
)
def test_a_date_half_written_is_told(
    cast: factories.Cast, sender: Visitor, typed: dict[str, Any], words: list[str]
) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, expect=422, **typed)
    assert len(sender.errors) == len(words)
    for said, expected in zip(sender.errors, words, strict=True):
        assert expected in said


def test_a_date_left_over_does_not_count_when_it_leaves_at_once(cast: factories.Cast, sender: Visitor) -> None:
    draft = start(sender, cast.instance)
    write(sender, draft, **{**REPEATED, "quando": "subito"}, scadenza_data="2099-12-31")
    confirm(sender, draft)
    draft.refresh_from_db()
    assert draft.delivery_state == Delivery.SCHEDULED
