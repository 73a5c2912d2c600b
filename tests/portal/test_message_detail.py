"""One message's page: state, history, preview, data, and what may be done."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.marking import CONTENT_GONE
from messaging.models import EventKind
from messaging.moving import record
from messaging.states import CANCELLABLE, EXPLANATION, FINAL, Delivery, WaitingReason
from portal.views.message_detail import poll_seconds
from tests import factories
from tests.factories.messages import MARKDOWN, SUBJECT
from tests.portal.test_decisions import suspended
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def fact(visitor: Visitor, label: str) -> str:
    """The value beside this label in the list of data."""
    for row in visitor.main.one("dl", class_="facts").all("div"):
        if row.one("dt").text == label:
            return row.all("dd")[0].text
    raise AssertionError(label)


@pytest.mark.parametrize("state", list(Delivery))
def test_every_state_has_its_word_and_its_explanation(cast: factories.Cast, sender: Visitor, state: Delivery) -> None:
    row = factories.message_in(state, instance=cast.instance)
    sender.get("message", row.pk)
    assert str(state.label) in [tag.text for tag in sender.main.all(class_="tag")]
    explained = "Sta per partire. Puoi ancora annullarlo." if state is Delivery.SCHEDULED else str(EXPLANATION[state])
    assert explained in sender.main.text


def test_the_title_of_the_page_names_no_person_and_no_text(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(instance=cast.instance)
    sender.get("message", row.pk)
    assert sender.title == f"Messaggio {row.pk} · GovIO Portal"
    assert sender.page.one("h1").text == SUBJECT


def test_shows_the_frozen_text_as_the_citizen_sees_it(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(
        instance=cast.instance,
        due_date=timezone.now() + timedelta(days=3),
        content={"amount_cents": 14550, "notice_number": "300012548634478200"},
    )
    sender.get("message", row.pk)
    phone = sender.main.one(class_="phone")
    assert SUBJECT in phone.text
    assert MARKDOWN in phone.text
    assert "300012548634478200" in phone.text
    assert "145,50 €" in phone.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Scade il" in phone.text
    assert not phone.all("a") + phone.all("button"), "nothing in the phone can be reached with the keyboard"


def test_the_text_of_a_message_can_inject_nothing(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(
        instance=cast.instance,
        content={
            "subject": "<img src=x onerror=alert(1)>",
            "markdown": "<script>alert(1)</script> [x](javascript:alert(1))",
        },
    )
    sender.get("message", row.pk)
    assert not sender.main.all("img")
    assert not sender.main.all("script")
    assert not [link for link in sender.main.all("a") if "javascript" in link.attributes.get("href", "")]


def test_tells_the_history_latest_first_with_who_and_when(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.BAD_REQUEST, instance=cast.instance)
    at = timezone.now()
    record([row.pk], kind=EventKind.COMPOSED, at=at - timedelta(minutes=1), state=Delivery.SCHEDULED, by=cast.sender)
    facts = {"status": 400, "title": "Invalid", "detail": "The amount exceeds"}
    record([row.pk], kind=EventKind.REFUSED, at=at, state=Delivery.BAD_REQUEST, data=facts)

    sender.get("message", row.pk)

    latest, first = sender.main.one("ol", class_="timeline").all("li")
    assert "Rifiutato da IO" in latest.text
    assert "The amount exceeds" in latest.one("details").text
    assert cast.sender.full_name in first.text
    assert all("datetime" in moment.attributes for moment in sender.main.all("time"))


def test_a_reason_given_by_a_person_is_read_at_once_and_one_of_a_program_on_demand(
    cast: factories.Cast, sender: Visitor
) -> None:
    row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
    at = timezone.now()
    record([row.pk], kind=EventKind.OUTCOME_UNKNOWN, at=at, state=Delivery.UNCERTAIN, data={"reason": "timeout"})
    record([row.pk], kind=EventKind.CANCELLED, at=at, by=cast.sender, data={"reason": "Sbagliato"})
    sender.get("message", row.pk)
    assert [one.text for one in sender.main.all(class_="reason")] == ["“Sbagliato”"]
    assert "timeout" in sender.main.one("ol", class_="timeline").one("details").text


def test_what_was_sent_again_names_the_other_message(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.REJECTED, instance=cast.instance)
    record([row.pk], kind=EventKind.RESENT_AS, at=datetime(2026, 11, 21, 9, tzinfo=UTC), data={"resent_as": 4711})
    sender.get("message", row.pk)
    assert str(EventKind.RESENT_AS.label) in sender.main.text
    assert "Nuovo messaggio" in sender.main.text
    assert "4711" in sender.main.text


def test_a_word_of_io_that_we_do_not_know_is_shown_as_it_is(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.SENT, instance=cast.instance, io_status="SOMETHING_NEW")
    sender.get("message", row.pk)
    assert "SOMETHING_NEW" in sender.main.text


class TestReveal:
    def test_masks_the_code_until_it_is_asked_for(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        sender.get("message", row.pk)
        assert row.taxcode not in sender.main.text
        assert "RSSMRA••••••501U" in fact(sender, "Destinatario")

    def test_shows_it_once_and_writes_down_who_looked(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        sender.post("reveal", row.pk, expect=200)
        assert row.taxcode in fact(sender, "Destinatario")
        event = row.events.get()
        assert (event.kind, event.actor) == (EventKind.REVEALED, cast.sender)
        assert row.taxcode not in str(event.data)
        sender.get("message", row.pk)
        assert row.taxcode not in sender.main.text

    def test_with_scripts_only_the_field_changes(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        sender.post("reveal", row.pk, expect=200, HX_Request="true")
        assert row.taxcode in sender.page.text
        assert not sender.page.all("h1")

    def test_needs_a_post(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        assert sender.client.get(address("reveal", row.pk)).status_code == 405
        assert not row.events.exists()

    @pytest.mark.parametrize("role", ["viewer", "editor", "administrator"])
    def test_is_offered_and_granted_to_who_sends_or_approves_alone(self, cast: factories.Cast, role: str) -> None:
        row = factories.message(instance=cast.instance)
        visitor = Visitor(getattr(cast, role))
        visitor.get("message", row.pk)
        assert "Mostra per intero" not in visitor.actions
        visitor.post("reveal", row.pk, expect=403)
        assert not row.events.exists()


class TestDeparture:
    """What a waiting message waits for, told to whoever reads."""

    def explained(self, visitor: Visitor, row: Any) -> str:
        visitor.get("message", row.pk)
        return visitor.main.one(class_="state-explanation").text

    def test_one_that_is_due_is_about_to_leave(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        assert self.explained(sender, row) == "Sta per partire. Puoi ancora annullarlo."

    def test_only_who_may_cancel_is_told_so(self, cast: factories.Cast) -> None:
        row = factories.message(instance=cast.instance)
        assert self.explained(Visitor(cast.viewer), row) == "Sta per partire."

    def test_one_planned_tells_its_date(self, cast: factories.Cast) -> None:
        row = factories.message(instance=cast.instance, scheduled_at=datetime(2099, 7, 6, 7, 0, tzinfo=UTC))
        assert self.explained(Visitor(cast.viewer), row) == "Partirà lunedì 6 luglio 2099 alle 9:00."

    def test_a_suspension_holds_it_even_if_it_was_never_refused(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        suspended(cast.instance.io_service)
        assert self.explained(sender, row).startswith("Fermo perché il servizio IO è sospeso: parte dopo che chi ha")
        sender.get("messages")
        assert str(WaitingReason.SUSPENDED.label) in sender.main.text

    def test_a_disabled_connection_holds_it(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        cast.instance.enabled = False
        cast.instance.save(update_fields=["enabled"])
        assert self.explained(sender, row).startswith("Fermo perché il collegamento a IO è disabilitato")
        sender.get("messages")
        assert "Il collegamento a IO è disabilitato" in sender.main.text

    def test_what_resumes_by_itself_says_when(self, cast: factories.Cast) -> None:
        later = timezone.now() + timedelta(minutes=10)
        row = factories.message(instance=cast.instance, waiting_reason=WaitingReason.UNAVAILABLE, not_before=later)
        assert "riproviamo da soli. Riprende " in self.explained(Visitor(cast.viewer), row)

    @pytest.mark.parametrize("reason", [reason for reason in WaitingReason if reason])
    def test_every_reason_has_its_sentence(self, cast: factories.Cast, sender: Visitor, reason: WaitingReason) -> None:
        row = factories.message(instance=cast.instance, waiting_reason=reason)
        assert self.explained(sender, row).startswith("Fermo perché ")


class TestDoubt:
    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("HTTP 500", "IO ha risposto con un errore (500)"),
            ("HTTP 302", "IO ha risposto in modo inatteso (302)"),
            ("no answer: ServerTimeoutError", "la risposta di IO non è arrivata"),
        ],
    )
    def test_says_whether_io_answered(self, cast: factories.Cast, sender: Visitor, reason: str, words: str) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        data = {"reason": reason}
        record([row.pk], kind=EventKind.OUTCOME_UNKNOWN, at=timezone.now(), state=Delivery.UNCERTAIN, data=data)
        sender.get("message", row.pk)
        assert f"Esito incerto: {words}" in sender.main.one("ol", class_="timeline").text
        for route, arguments in (("uncertain", ()), ("arrived", (row.pk,)), ("resend", (row.pk,))):
            sender.get(route, *arguments)
            assert words.lower() in sender.main.text.lower()


def test_the_words_of_io_are_called_so(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.BAD_REQUEST, instance=cast.instance, status_detail="Invalid request")
    sender.get("message", row.pk)
    assert sender.main.one(class_="status-detail").text == "Parole di IO: Invalid request"


def test_our_own_words_are_not_called_those_of_io(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.BAD_REQUEST, instance=cast.instance, status_detail=CONTENT_GONE)
    sender.get("message", row.pk)
    assert sender.main.one(class_="status-detail").text == f"Dettaglio: {CONTENT_GONE}"


class TestOffers:
    def offered(self, visitor: Visitor, row: Any) -> list[str]:
        visitor.get("message", row.pk)
        return [link.text for link in visitor.main.one(id="avanzamento").all("a", class_="btn")]

    @pytest.mark.parametrize("state", list(Delivery))
    def test_cancelling_is_offered_exactly_where_it_is_possible(
        self, cast: factories.Cast, sender: Visitor, state: Delivery
    ) -> None:
        row = factories.message_in(state, instance=cast.instance)
        words = {"Elimina la bozza"} if state is Delivery.DRAFT else {"Annulla il messaggio"}
        assert bool(words & set(self.offered(sender, row))) == (state in CANCELLABLE)

    def test_a_doubt_offers_both_ways_out(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        assert self.offered(sender, row) == ["È arrivato", "Invia di nuovo"]
        assert self.offered(Visitor(cast.viewer), row) == []

    def test_one_set_aside_can_go_back_in_the_queue(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        assert self.offered(sender, row)[0] == "Rimetti in coda"

    def test_approving_is_offered_to_another_person_with_the_role(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.sender)
        assert self.offered(Visitor(cast.approver), row) == ["Leggi e decidi"]
        assert "Leggi e decidi" not in self.offered(sender, row)
        own = factories.message_in(Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.approver)
        assert self.offered(Visitor(cast.approver), own) == []


class TestProgress:
    def poll(self, visitor: Visitor, row: Any) -> dict[str, str]:
        return visitor.main.one(id="avanzamento").attributes

    def test_a_message_on_its_way_refreshes_itself_until_something_changed(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        row = factories.message_in(Delivery.SENT, instance=cast.instance)
        record([row.pk], kind=EventKind.SENT, at=timezone.now(), state=Delivery.SENT)
        sender.get("message", row.pk)
        asked = sender.main.one(id="avanzamento").attributes["hx-get"]
        assert sender.main.one("a", class_="refresh").attributes["href"] == address("message", row.pk)
        assert sender.client.get(asked, headers={"HX-Request": "true"}).status_code == 204

        row.delivery_state = Delivery.PROCESSED
        row.save(update_fields=["delivery_state"])
        record([row.pk], kind=EventKind.STATUS, at=timezone.now(), state=Delivery.PROCESSED)

        response = sender.client.get(asked, headers={"HX-Request": "true"})
        assert "Consegnato" in response.content.decode()
        assert 'hx-trigger="' not in response.content.decode(), "polling ends with the last change"
        assert 'hx-swap-oob="innerHTML:#annuncio"' in response.content.decode()

    @pytest.mark.parametrize("state", sorted(FINAL | {Delivery.DRAFT, Delivery.PENDING_APPROVAL, Delivery.UNCERTAIN}))
    def test_what_will_not_change_by_itself_is_not_asked_about(
        self, cast: factories.Cast, sender: Visitor, state: Delivery
    ) -> None:
        row = factories.message_in(state, instance=cast.instance)
        sender.get("message", row.pk)
        assert "hx-get" not in sender.main.one(id="avanzamento").attributes

    def test_asks_less_often_as_time_passes(self, cast: factories.Cast) -> None:
        row = factories.message_in(Delivery.SENT, instance=cast.instance)
        waits = [poll_seconds(row, at=row.updated_at + timedelta(minutes=minutes)) for minutes in (0, 5, 60)]
        assert waits == [3, 15, 60]

    def test_a_planned_message_is_watched_closely_around_its_hour(self, cast: factories.Cast) -> None:
        at = timezone.now()
        row = factories.message(instance=cast.instance, updated_at=at, scheduled_at=at + timedelta(hours=5))
        waits = [poll_seconds(row, at=at + wait) for wait in (timedelta(hours=2), timedelta(hours=5))]
        assert waits == [60, 3]
