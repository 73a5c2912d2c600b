"""Stopping many messages from the list: the selection, the question, and the exact account of what was too late."""

import base64
import re
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from messaging.late_answers import ARRIVED_AT_FIRST
from messaging.models import EventKind, Message, ServiceInstance
from messaging.moving import record
from messaging.states import CANCELLABLE, Delivery
from portal import paging, selections
from portal.selections import packed, unpacked
from registry.models import Role
from tests import factories
from tests.portal.html_page import Element
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db

OTHER_CODE = factories.messages.CODES[1]


def boxes(visitor: Visitor) -> set[int]:
    return {int(box.attributes["value"]) for box in visitor.main.all("input", name="messaggio")}


def ask(visitor: Visitor, *rows: Message, expect: int = 200, **data: Any) -> Element:
    """From the list to the question."""
    visitor.post("cancel_many", data={"messaggio": [row.pk for row in rows], "azione": "scelti", **data}, expect=expect)
    return visitor.page


def ask_all(visitor: Visitor, query: str = "", *, expect: int = 200) -> Element:
    visitor.post("cancel_many", data={"azione": "tutti", "filtro": query}, expect=expect)
    return visitor.page


def answer_yes(visitor: Visitor, **data: str) -> Element:
    """Press the button of the question that is open, as a browser would."""
    form = visitor.main.one("form")
    typed = {field.attributes["name"]: field.attributes["value"] for field in form.all("input", type="hidden")}
    response = visitor.post("cancel_many", data={**typed, "motivo": "", **data})
    return visitor.follow(response)


def state(row: Message) -> str:
    return Message.objects.get(pk=row.pk).delivery_state


class TestSelection:
    def test_is_offered_for_what_can_be_stopped_alone(self, cast: factories.Cast, sender: Visitor) -> None:
        rows = {each: factories.message_in(each, instance=cast.instance) for each in Delivery}
        sender.get("messages")
        assert boxes(sender) == {rows[each].pk for each in CANCELLABLE}
        assert "Annulla i selezionati" in sender.actions

    @pytest.mark.parametrize(("role", "expected"), [("editor", 1), ("viewer", 0), ("approver", 0)])
    def test_follows_the_right_to_stop_each_singly(self, cast: factories.Cast, role: str, expected: int) -> None:
        for each in (Delivery.DRAFT, Delivery.SCHEDULED):
            factories.message_in(each, instance=cast.instance)
        visitor = Visitor(getattr(cast, role))
        visitor.get("messages")
        assert len(boxes(visitor)) == expected
        assert ("Annulla i selezionati" in visitor.actions) == bool(expected)

    def test_of_nothing_asks_for_something(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.SENT, instance=cast.instance)
        for rows in ((), (row,)):
            ask(sender, *rows, expect=302, filtro="titolo=cie")
            sender.open("/messaggi/?titolo=cie")
            assert "Scegli almeno un messaggio" in sender.page.text
        assert state(row) == Delivery.SENT

    def test_all_of_the_list_is_offered_when_it_has_more_pages(
        self, cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "PAGE_SIZE", 2)
        for _ in range(3):
            factories.message(instance=cast.instance)
        sender.get("messages")
        assert "Annulla tutti quelli non ancora partiti" in sender.actions
        sender.get("messages", query={"stato": "scheduled"})
        assert "Annulla tutti quelli che corrispondono ai filtri" in sender.actions
        assert sender.main.one("input", name="filtro").attributes["value"] == "stato=scheduled"


class TestQuestion:
    def test_tells_how_many_of_which_service_and_changes_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        rows = [factories.message(instance=cast.instance) for _ in range(3)]
        draft = factories.message_in(Delivery.DRAFT, instance=cast.instance)
        late = factories.message_in(Delivery.SENT, instance=cast.instance)
        page = ask(sender, *rows, draft, late)
        assert "Annullare 4 messaggi?" in page.text
        assert f"{cast.instance.service.service_name} · {cast.instance.organization.legal_name}4 messaggi" in page.text
        assert "Di questi, bozze1" in page.text
        assert "1 di quelli scelti non si può annullare" in page.text
        assert "Annulla 4 messaggi" in sender.actions
        assert {state(row) for row in rows} == {Delivery.SCHEDULED}

    def test_of_all_takes_what_passes_the_filters_on_every_page(
        self, cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "PAGE_SIZE", 2)
        wanted = [factories.message(instance=cast.instance, content={"subject": "Bando mensa"}) for _ in range(5)]
        other = factories.message(instance=cast.instance)
        assert "Annullare 5 messaggi?" in ask_all(sender, "titolo=mensa&prima=3").text
        answer_yes(sender)
        assert {state(row) for row in wanted} == {Delivery.CANCELLED}
        assert state(other) == Delivery.SCHEDULED

    def test_of_all_leaves_drafts_alone_unless_drafts_are_asked_for(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        factories.message_in(Delivery.DRAFT, instance=cast.instance)
        factories.message(instance=cast.instance)
        assert "Annullare 1 messaggio?" in ask_all(sender).text
        assert "Di questi, bozze" in ask_all(sender, "stato=draft").text

    def test_of_a_search_by_fiscal_code_shows_the_code_in_no_address_and_on_no_page(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        factories.message(instance=cast.instance)
        wanted = factories.message(instance=cast.instance, taxcode=OTHER_CODE)
        found = sender.post("search_recipient", data={"codice_fiscale": OTHER_CODE})
        query = found["Location"].partition("?")[2]
        page = ask_all(sender, query)
        assert "Annullare 1 messaggio?" in page.text
        html = sender.post("cancel_many", data={"azione": "tutti", "filtro": query}, expect=200).content.decode()
        assert OTHER_CODE not in html
        answer_yes(sender)
        assert state(wanted) == Delivery.CANCELLED

    @pytest.mark.parametrize("query", ["stato=boh", "creato_dal=boh", "tardi=boh", "ricerca=boh"])
    def test_of_filters_that_mean_nothing_takes_nothing(
        self, cast: factories.Cast, sender: Visitor, query: str
    ) -> None:
        """What cannot be read must not become everything."""
        row = factories.message(instance=cast.instance)
        ask_all(sender, query, expect=302)
        assert state(row) == Delivery.SCHEDULED

    def test_of_too_many_takes_those_that_leave_first_and_says_so(
        self, cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("portal.views.cancel_many.MAX_CHOSEN", "portal.selections.MAX_CHOSEN"):
            monkeypatch.setattr(module, 2)
        now = timezone.now()
        late, soon, next_ = [
            factories.message(instance=cast.instance, not_before=now + timedelta(hours=hours)) for hours in (3, 1, 2)
        ]
        assert "se ne annullano 2 alla volta" in ask_all(sender).text
        answer_yes(sender)
        assert [state(row) for row in (late, soon, next_)] == [
            Delivery.SCHEDULED,
            Delivery.CANCELLED,
            Delivery.CANCELLED,
        ]

    def test_a_reason_that_is_too_long_is_asked_again(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        data = {"scelti": packed([row.pk]), "motivo": "x" * 501}
        sender.post("cancel_many", data=data, expect=422)
        assert sender.errors
        assert state(row) == Delivery.SCHEDULED

    def test_opened_by_its_address_leads_to_the_list(self, sender: Visitor) -> None:
        assert sender.get("cancel_many", expect=302)["Location"] == reverse("portal:messages")


class TestAccount:
    def test_tells_exactly_what_was_cancelled_and_what_was_too_late(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        rows = [factories.message(instance=cast.instance) for _ in range(6)]
        ask(sender, *rows)
        # Between the question and the yes.
        becomes(rows[0], Delivery.SENDING)
        for row in rows[1:3]:
            becomes(row, Delivery.SENT)
        becomes(rows[3], Delivery.PROFILE_NOT_EXISTS)
        page = answer_yes(sender, motivo="Importo sbagliato")
        assert "Annullati 2 messaggi." in page.text
        assert "Troppo tardi per 4: 1 in invio, 2 già presi in carico da IO, 1 non recapitabile." in page.text
        assert [state(row) for row in rows[4:]] == [Delivery.CANCELLED, Delivery.CANCELLED]
        event = rows[5].events.get()
        assert (event.kind, event.actor, event.data) == (
            EventKind.CANCELLED,
            cast.sender,
            {"reason": "Importo sbagliato"},
        )

    def test_leads_to_the_list_of_those_it_was_too_late_for(self, cast: factories.Cast, sender: Visitor) -> None:
        rows = [factories.message(instance=cast.instance) for _ in range(3)]
        ask(sender, *rows)
        becomes(rows[1], Delivery.SENT)
        page = answer_yes(sender)
        sender.open(page.one("main").one("a", class_="btn-primary").attributes["href"])
        assert "Troppo tardi per annullarli" in sender.main.text
        assert listed(sender) == {rows[1].pk}

    def test_with_nothing_too_late_says_that_too(self, cast: factories.Cast, sender: Visitor) -> None:
        ask(sender, factories.message(instance=cast.instance))
        page = answer_yes(sender)
        assert "Annullato 1 messaggio." in page.text
        assert "Nessuno era già partito" in page.text

    def test_pressed_twice_tells_the_second_time_that_they_were_cancelled_already(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        rows = [factories.message(instance=cast.instance) for _ in range(2)]
        data = {"scelti": packed(row.pk for row in rows), "motivo": ""}
        sender.post("cancel_many", data=data)
        page = sender.follow(sender.post("cancel_many", data=data))
        assert "Nessun messaggio annullato." in page.text
        assert "Troppo tardi per 2: 2 già annullati." in page.text
        assert rows[0].events.count() == 1

    def test_of_nothing_stopped_reassures_nobody(self, sender: Visitor) -> None:
        page = sender.follow(sender.post("cancel_many", data={"scelti": packed([10**9]), "motivo": ""}))
        assert "Nessun messaggio annullato." in page.text
        assert "Non abbiamo annullato nulla" in page.text
        assert "Nessuno era già partito" not in page.text

    def test_forged_ids_past_the_largest_stop_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        data = {"scelti": forged(row.pk, *[10**18 - 1] * 10), "motivo": ""}
        page = sender.follow(sender.post("cancel_many", data=data))
        assert "Non abbiamo annullato nulla" in page.text
        assert state(row) == Delivery.SCHEDULED

    @pytest.mark.parametrize("code", [OTHER_CODE, OTHER_CODE.lower(), "VRD LGU 75B02 F205A"])
    def test_a_reason_with_a_fiscal_code_is_refused(self, cast: factories.Cast, sender: Visitor, code: str) -> None:
        row = factories.message(instance=cast.instance)
        data = {"scelti": packed([row.pk]), "motivo": f"Lo chiede {code}, al telefono"}
        sender.post("cancel_many", data=data, expect=422)
        assert any("contiene un codice fiscale" in words for words in sender.errors)
        assert state(row) == Delivery.SCHEDULED
        assert not row.events.exists()

    def test_of_another_session_is_not_known(self, cast: factories.Cast, sender: Visitor) -> None:
        ask(sender, factories.message(instance=cast.instance))
        answer_yes(sender)
        word = next(iter(sender.client.session[selections.SESSION_KEY]))
        other = Visitor(cast.sender)
        assert other.client.get(reverse("portal:cancelled"), {"resoconto": word}).status_code == 302
        other.get("messages", query={"tardi": word})
        assert not listed(other)

    def test_keeps_the_last_few_only(self, cast: factories.Cast, sender: Visitor) -> None:
        for _ in range(selections.KEPT + 2):
            sender.post("cancel_many", data={"scelti": packed([1]), "motivo": ""})
        assert len(sender.client.session[selections.SESSION_KEY]) == selections.KEPT


class TestSentAgainAfterADoubt:
    """Stopping another sending does not take the first one back."""

    KINDS = (EventKind.OUTCOME_UNKNOWN, EventKind.SETTLED_RESEND, EventKind.RESENT_BY_RULE)

    def again(self, cast: factories.Cast, *kinds: EventKind, state: Delivery = Delivery.SCHEDULED) -> Message:
        row = factories.message_in(state, instance=cast.instance)
        for kind in kinds:
            record([row.pk], kind=kind, at=timezone.now())
        return row

    def test_the_question_and_the_account_say_how_many_may_have_arrived(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        rows = [self.again(cast, kind) for kind in self.KINDS]
        page = ask(sender, *rows, factories.message(instance=cast.instance))
        assert "3 erano già partiti senza esito certo: i cittadini potrebbero averli." in page.text
        assert "Di questi annulli solo il nuovo invio." in page.text
        assert "Gli altri non arriveranno ai cittadini." in page.text
        assert "I cittadini non li riceveranno" not in page.text
        page = answer_yes(sender)
        assert "Annullati 4 messaggi." in page.text
        assert "Di quelli annullati, 3 erano già partiti senza esito certo" in page.text
        assert "Nessuno era già partito" not in page.text

    def test_with_one_alone_no_others_are_spoken_of(self, cast: factories.Cast, sender: Visitor) -> None:
        page = ask(sender, self.again(cast, EventKind.SETTLED_RESEND))
        assert "1 era già partito senza esito certo: il cittadino potrebbe averlo." in page.text
        assert "Gli altri" not in page.text
        assert "non li riceveranno" not in page.text

    @pytest.mark.parametrize("kind", KINDS)
    def test_so_do_its_own_question_and_page(self, cast: factories.Cast, sender: Visitor, kind: EventKind) -> None:
        row = self.again(cast, kind)
        sender.get("message", row.pk)
        assert "il cittadino potrebbe averlo" in sender.main.one(class_="state-explanation").text
        sender.get("cancel", row.pk)
        assert "Annulli solo il nuovo invio." in sender.main.text
        assert "non lo riceverà" not in sender.main.text
        page = sender.follow(sender.post("cancel", row.pk, data={"motivo": ""}))
        assert "Nuovo invio annullato: quello già partito potrebbe essere arrivato." in page.text
        assert "Fermato prima del nuovo invio." in sender.main.one(class_="state-explanation").text

    @pytest.mark.parametrize("state", [Delivery.CANCELLED, Delivery.EXPIRED])
    def test_once_closed_nobody_says_that_it_was_not_sent(
        self, cast: factories.Cast, sender: Visitor, state: Delivery
    ) -> None:
        row = self.again(cast, EventKind.SETTLED_RESEND, state=state)
        sender.get("message", row.pk)
        assert "il cittadino potrebbe averlo" in sender.main.one(class_="state-explanation").text
        sender.get("messages")
        assert "esito del primo invio incerto" in sender.main.text
        assert "non inviato" not in sender.main.text
        factories.message_in(state, instance=cast.instance)
        sender.get("messages")
        assert "non inviato" in sender.main.text

    def test_what_we_say_of_an_arrival_is_not_called_words_of_io(self, cast: factories.Cast, sender: Visitor) -> None:
        row = self.again(cast, EventKind.SETTLED_RESEND, state=Delivery.CANCELLED)
        Message.objects.filter(pk=row.pk).update(status_detail=ARRIVED_AT_FIRST)
        sender.get("message", row.pk)
        assert sender.main.one(class_="status-detail").text == f"Dettaglio: {ARRIVED_AT_FIRST}"

    @pytest.mark.parametrize(
        "kinds",
        [
            (EventKind.OUTCOME_UNKNOWN, EventKind.LATE_ANSWER),
            (EventKind.OUTCOME_UNKNOWN, EventKind.SETTLED_ARRIVED, EventKind.LATE_ANSWER, EventKind.SETTLED_RESEND),
        ],
    )
    def test_what_io_proved_not_to_have_is_not_counted(
        self, cast: factories.Cast, sender: Visitor, kinds: tuple[EventKind, ...]
    ) -> None:
        page = ask(sender, self.again(cast, *kinds))
        assert "senza esito certo" not in page.text
        assert "I cittadini non li riceveranno." in page.text


class TestRights:
    def test_forged_ids_are_as_good_as_absent(
        self, cast: factories.Cast, sender: Visitor, elsewhere: ServiceInstance
    ) -> None:
        mine, others = factories.message(instance=cast.instance), factories.message(instance=elsewhere)
        ask(sender, mine, others)
        assert "Annullare 1 messaggio?" in sender.page.text
        assert "di quelli scelti" not in sender.page.text
        page = sender.follow(
            sender.post("cancel_many", data={"scelti": packed([mine.pk, others.pk, 10**17]), "motivo": ""})
        )
        assert "Annullato 1 messaggio." in page.text
        assert "Troppo tardi" not in page.text
        assert state(others) == Delivery.SCHEDULED

    @pytest.mark.parametrize("role", ["viewer", "approver", "administrator", "configurator"])
    def test_without_the_role_the_page_is_forbidden(self, cast: factories.Cast, role: str) -> None:
        row = factories.message(instance=cast.instance)
        visitor = Visitor(getattr(cast, role))
        visitor.post("cancel_many", data={"scelti": packed([row.pk]), "motivo": ""}, expect=403)
        visitor.get("cancelled", expect=403)
        assert state(row) == Delivery.SCHEDULED

    def test_an_editor_throws_drafts_away_and_stops_nothing_else(self, cast: factories.Cast) -> None:
        draft = factories.message_in(Delivery.DRAFT, instance=cast.instance)
        confirmed = factories.message(instance=cast.instance)
        editor = Visitor(cast.editor)
        assert "Annullare 1 messaggio?" in ask(editor, draft, confirmed).text
        answer_yes(editor)
        assert (state(draft), state(confirmed)) == (Delivery.CANCELLED, Delivery.SCHEDULED)

    def test_a_right_withdrawn_since_the_question_stops_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        from registry.models import Grant

        row = factories.message(instance=cast.instance)
        ask(sender, row)
        Grant.objects.filter(user=cast.sender).update(role=Role.EDITOR)
        page = answer_yes(sender)
        assert "Nessun messaggio annullato." in page.text
        assert state(row) == Delivery.SCHEDULED


class TestPacking:
    @pytest.mark.parametrize("ids", [[1], [7, 8, 9], list(range(1, 100_000, 37)), [10**17, 3]])
    def test_gives_back_what_was_put_in(self, ids: list[int]) -> None:
        assert unpacked(packed(ids)) == sorted(ids)

    def test_of_a_hundred_thousand_in_a_row_is_small(self) -> None:
        assert len(packed(range(5_000_000, 5_100_000))) < 1000

    @pytest.mark.parametrize("text", ["", "boh", "é", "eJwDAAAAAAE=", packed([1])[:-6], "A" * 10_000])
    def test_of_what_we_did_not_write_is_nothing(self, text: str) -> None:
        assert unpacked(text) == []

    def test_past_what_the_database_can_be_asked_about_is_nothing(self) -> None:
        assert unpacked(forged(*[10**18 - 1] * 10)) == []
        assert unpacked(packed([2**59])) == [2**59]

    def test_a_bomb_is_not_unpacked(self) -> None:
        bomb = base64.urlsafe_b64encode(zlib.compress(b"1," * 5_000_000)).decode()
        assert len(unpacked(bomb)) <= selections.MAX_CHOSEN


def forged(*steps: int) -> str:
    """A choice as nobody's page wrote it."""
    return base64.urlsafe_b64encode(zlib.compress(",".join(map(str, steps)).encode())).decode()


def becomes(row: Message, now: Delivery) -> None:
    """What the queue does meanwhile."""
    model = factories.message_in(now, instance=row.service_instance)
    columns = ("attempt_id", "marked_at", "lease_until", "io_service_id", "expedition_date", "appio_message_id")
    Message.objects.filter(pk=row.pk).update(
        delivery_state=now, updated_at=datetime.now(UTC), **{name: getattr(model, name) for name in columns}
    )
    model.content.delete()
    model.delete()


def listed(visitor: Visitor) -> set[int]:
    links = [link.attributes["href"] for link in visitor.main.all("a", class_="title")]
    return {int(found[1]) for link in links if (found := re.fullmatch(r"/messaggi/(\d+)/", link))}
