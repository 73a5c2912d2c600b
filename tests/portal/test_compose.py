"""Writing one message: three pages over a draft, a true preview, one confirmation."""

from typing import Any

import pytest
from django.utils import timezone

from messaging.models import EventKind, Message, ServiceInstance
from messaging.states import Delivery
from registry.models import ApprovalRule, Role
from templates_app.models import Placeholder
from templates_app.publishing import Use, publish
from tests import factories
from tests.portal.composing import TYPED, confirm, start, write
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db

INVITATION = "Ti aspettiamo per il tuo appuntamento, che dura circa venti minuti e non si può rimandare: ${quando}."


def instance_with(*uses: Use, body: str = INVITATION, **flags: Any) -> ServiceInstance:
    """A service instance whose template has these placeholders, by default without payment and due date."""
    template = factories.template(
        subject="Il tuo appuntamento in Comune",
        body=body,
        uses=list(uses),
        **{"has_payment": False, "has_due_date": False, **flags},
    )
    return factories.service_instance(template=template)


def sender_on(instance: ServiceInstance) -> Visitor:
    person = factories.user()
    factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    return Visitor(person)


class TestChoosing:
    def test_offers_the_instances_one_may_write_through_and_no_other(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        factories.service_instance(
            organization=cast.instance.organization, service=cast.instance.service, enabled=False
        )
        sender.get("compose")
        choices = sender.main.all("input", type="radio")
        assert [choice.attributes["value"] for choice in choices] == [str(cast.instance.pk)]
        assert "checked" in choices[0].attributes, "the only one is chosen already"
        assert cast.instance.template.name in sender.main.text

    def test_makes_a_draft_that_nobody_has_received(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        assert draft.delivery_state == Delivery.DRAFT
        assert draft.sender == cast.sender
        assert [event.kind for event in draft.events.all()] == [EventKind.DRAFTED]

    @pytest.mark.parametrize("chosen", ["", "abc", "0"])
    def test_without_a_choice_says_so_and_makes_nothing(self, sender: Visitor, chosen: str) -> None:
        sender.post("compose", data={"collegamento": chosen}, expect=422)
        assert sender.errors
        assert sender.title.startswith("Errore:")
        assert not Message.objects.exists()

    def test_the_instance_of_another_ente_cannot_be_chosen(self, sender: Visitor, elsewhere: ServiceInstance) -> None:
        sender.post("compose", data={"collegamento": elsewhere.pk}, expect=422)
        assert not Message.objects.exists()

    def test_changing_the_template_keeps_what_was_typed(self, cast: factories.Cast, sender: Visitor) -> None:
        other = factories.service_instance(organization=cast.instance.organization, service=cast.instance.service)
        draft = start(sender, cast.instance)
        write(sender, draft, button="salva")
        sender.post("compose_choose", draft.pk, data={"collegamento": other.pk})
        draft.refresh_from_db()
        assert draft.service_instance == other
        sender.get("compose_content", draft.pk)
        assert sender.main.one("input", name="s_cie").attributes["value"] == "ca000000aa"

    def test_with_nothing_to_choose_says_whom_to_ask(self) -> None:
        person = factories.user()
        factories.grant(person, Role.SENDER, all_organizations=True, all_services=True)
        visitor = Visitor(person)
        visitor.get("compose")
        assert "Configurazione" in visitor.main.text


class TestWriting:
    def test_shows_a_field_for_all_that_the_template_asks(self, cast: factories.Cast, sender: Visitor) -> None:
        sender.get("compose_content", start(sender, cast.instance).pk)
        legends = [legend.text for legend in sender.main.all("legend")]
        assert legends[:4] == ["Destinatario", "Contenuto", "Scadenza", "Avviso di pagamento"]
        for name in ("codice_fiscale", "s_cie", "scadenza_data", "scadenza_ora", "codice_avviso", "importo"):
            assert sender.main.all("input", name=name)

    def test_asks_for_nothing_that_the_template_does_not_have(self) -> None:
        instance = instance_with(Use(factories.placeholder("quando", type="datetime", example="2027-01-12T09:00")))
        visitor = sender_on(instance)
        visitor.get("compose_content", start(visitor, instance).pk)
        for name in ("scadenza_data", "codice_avviso", "importo"):
            assert not visitor.main.all("input", name=name)

    def test_saving_keeps_everything_as_typed_even_wrong(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, button="salva", codice_fiscale="boh", importo="tanto", scadenza_data=None)
        sender.get("compose_content", draft.pk)
        assert sender.main.one("input", name="codice_fiscale").attributes["value"] == "boh"
        assert sender.main.one("input", name="importo").attributes["value"] == "tanto"
        assert not sender.errors

    def test_hostile_characters_break_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, s_cie="a\0b", codice_fiscale="\0", importo="١٢٣")
        sender.get("compose_content", draft.pk)
        assert sender.main.one("input", name="s_cie").attributes["value"] == "ab"

    def test_going_on_with_mistakes_names_them_all_beside_their_fields(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        draft = start(sender, cast.instance)
        write(
            sender,
            draft,
            expect=422,
            codice_fiscale="",
            s_cie="",
            importo="1.234",
            codice_avviso="12",
            scadenza_data="",
        )
        assert sender.title.startswith("Errore:")
        assert [error.split(":")[0] for error in sender.errors] == [
            "Codice fiscale del destinatario",
            "Cie",
            "Data di scadenza",
            "Codice avviso",
            "Importo in euro",
        ]
        for name in ("codice_fiscale", "s_cie", "scadenza_data", "codice_avviso", "importo"):
            field = sender.main.one("input", name=name)
            assert field.attributes["aria-invalid"] == "true"
            assert f"id_{name}_error" in field.attributes["aria-describedby"]

    def test_an_amount_that_cannot_be_read_makes_no_other_field_look_wrong(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, importo="1.062,12")
        assert [error.split(":")[0] for error in sender.errors] == ["Importo in euro"]

    def test_mistakes_are_shown_by_an_address_that_can_be_gone_back_to(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, importo="tanto")
        assert sender.main.one("input", name="importo").attributes["value"] == "tanto"
        form = sender.typed_in(sender.main.one("form", id="componi"))
        response = sender.post("compose_content", draft.pk, data={**form, "importo": "€ 62,12", "azione": "continua"})
        assert response["Location"] == address("compose_confirm", draft.pk)

    def test_refreshing_the_preview_calls_nothing_missing(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, button="anteprima", expect=200, codice_fiscale=None, importo="boh")
        assert not sender.title.startswith("Errore:")
        assert "aria-invalid" not in sender.main.one("input", name="codice_fiscale").attributes
        assert "aria-invalid" in sender.main.one("input", name="importo").attributes

    def test_enter_in_a_field_only_refreshes_the_preview(self, cast: factories.Cast, sender: Visitor) -> None:
        sender.get("compose_content", start(sender, cast.instance).pk)
        first = sender.main.one("form", id="componi").all("button")[0]
        assert first.attributes["value"] == "anteprima"

    def test_a_wrong_check_character_does_not_stop(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, codice_fiscale="rss mra 80a01 h501a")
        sender.get("compose_confirm", draft.pk)
        assert "Il carattere di controllo del codice fiscale non torna" in sender.main.text

    def test_an_amount_above_the_cap_names_both_readings(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, importo="145000,00")
        assert "in centesimi" in sender.errors[0]

    def test_a_title_too_long_once_filled_is_refused(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, s_cie="X" * 120)
        assert "10 a 120" in sender.errors[0]

    def test_what_cannot_stand_in_a_title_stops(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, expect=422, s_cie="RSSMRA80A01H501U")
        assert sender.errors

    def test_a_due_date_before_the_expedition_stops(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        late = {"quando": "data", "quando_data": "2099-12-31", "quando_ora": "09:00", "scadenza_data": "2099-12-30"}
        write(sender, draft, expect=422, **late)
        assert "il messaggio scadrà senza partire" in sender.errors[0]

    def test_a_disabled_instance_sends_back_to_the_choice(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        cast.instance.enabled = False
        cast.instance.save(update_fields=["enabled"])
        response = write(sender, draft)
        assert response["Location"] == address("compose_choose", draft.pk)


class TestPreview:
    def preview(self, visitor: Visitor, draft: Message, **typed: Any) -> None:
        visitor.post("compose_preview", draft.pk, data={**TYPED, **typed}, expect=200, HX_Request="true")

    def test_is_the_rendered_message_and_stores_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        self.preview(sender, draft)
        phone = sender.page.one(class_="phone")
        assert "Scadenza CIE n. CA000000AA" in phone.text
        assert "31/12/2099" in phone.text
        assert "62,12" in phone.text
        draft.refresh_from_db()
        assert draft.content.draft_form == {}

    def test_counts_what_the_citizen_gets_not_what_was_typed(self, cast: factories.Cast, sender: Visitor) -> None:
        self.preview(sender, start(sender, cast.instance))
        assert "Titolo: 26 caratteri su 120" in sender.page.text

    def test_says_which_values_are_only_examples(self, cast: factories.Cast, sender: Visitor) -> None:
        self.preview(sender, start(sender, cast.instance), s_cie="", importo="")
        assert "Con valori d’esempio per: Cie, Importo in euro." in sender.page.text
        assert "CA000000AA" in sender.page.one(class_="phone").text

    def test_says_what_of_the_typed_cannot_be_read_and_what_is_odd(self, cast: factories.Cast, sender: Visitor) -> None:
        self.preview(sender, start(sender, cast.instance), importo="1.062,12", codice_fiscale="RSSMRA80A01H501A")
        findings = [item.text for item in sender.page.one("ul", class_="findings").all("li")]
        assert findings[0].startswith(
            "Da correggere: Importo in euro: Scrivi l'importo senza separatore delle migliaia"
        )
        assert findings[1].startswith("Il carattere di controllo del codice fiscale non torna")

    def test_a_value_cannot_become_markdown(self, cast: factories.Cast, sender: Visitor) -> None:
        self.preview(sender, start(sender, cast.instance), s_cie="**A** [x](https://x.example)")
        body = sender.page.one(class_="phone-body")
        assert not body.all("strong") + body.all("a")

    def test_without_a_possible_text_says_why_and_draws_nothing(self, cast: factories.Cast, sender: Visitor) -> None:
        self.preview(sender, start(sender, cast.instance), s_cie="X" * 120)
        assert "Da correggere:" in sender.page.text
        assert not sender.page.all(class_="phone")

    @pytest.mark.parametrize(
        ("when", "sentence"),
        [
            ({"quando": "subito"}, "Parte appena confermi."),
            (
                {"quando": "data", "quando_data": "2020-01-01", "quando_ora": "9:00"},
                "è già passata: parte appena confermi.",
            ),
            (
                {"quando": "data", "quando_data": "2099-07-06", "quando_ora": "9:00"},
                "Parte lunedì 6 luglio 2099 alle 9:00.",
            ),
            ({"quando": "data"}, "Indica data e ora di spedizione."),
            (
                {"quando": "data", "quando_data": "2099-10-25", "quando_ora": "2:30"},
                "Quell’ora c’è due volte: indica quale delle due.",
            ),
        ],
    )
    def test_says_when_it_would_leave(
        self, cast: factories.Cast, sender: Visitor, when: dict[str, str], sentence: str
    ) -> None:
        self.preview(sender, start(sender, cast.instance), scadenza_data="2100-01-01", **when)
        assert sentence in sender.page.text

    def test_is_in_the_page_too_for_those_without_scripts(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, button="anteprima", expect=200)
        assert "Scadenza CIE n. CA000000AA" in sender.main.one(id="anteprima").text

    def test_of_a_draft_that_is_gone_sends_to_its_page(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        response = sender.post("compose_preview", row.pk, data=TYPED, expect=204, HX_Request="true")
        assert response["HX-Redirect"] == address("message", row.pk)


class TestConfirming:
    def test_repeats_everything_with_a_way_back_to_each(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        assert write(sender, draft)["Location"] == address("compose_confirm", draft.pk)
        sender.get("compose_confirm", draft.pk)
        for value in (
            "RSSMRA80A01H501U",
            "ca000000aa",
            "300012548634478200",
            "giovedì 31 dicembre 2099 alle 23:59",
            "Appena possibile",
        ):
            assert value in sender.main.text
        ways_back = [link for link in sender.main.all("a") if link.text.startswith("Modifica")]
        assert len({link.text for link in ways_back}) == len(ways_back) >= 5
        assert "Invia 1 messaggio" in sender.actions

    def test_makes_exactly_the_message_that_was_shown(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft)
        response = confirm(sender, draft)
        assert response["Location"] == address("message", draft.pk)
        draft.refresh_from_db()
        content = draft.content
        assert draft.delivery_state == Delivery.SCHEDULED
        assert (draft.taxcode, content.subject) == ("RSSMRA80A01H501U", "Scadenza CIE n. CA000000AA")
        assert (content.amount_cents, content.notice_number) == (6212, "300012548634478200")
        assert draft.due_date is not None
        assert draft.due_date.isoformat() == "2099-12-31T22:59:59+00:00"
        assert "31/12/2099 23:59" in content.markdown
        sender.follow(response)
        assert "Messaggio confermato: parte adesso." in sender.main.text

    def test_planned_for_later_says_so(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, quando="data", quando_data="2099-07-06", quando_ora="09:00")
        sender.get("compose_confirm", draft.pk)
        assert "Pianifica 1 messaggio" in sender.actions
        confirm(sender, draft)
        draft.refresh_from_db()
        assert draft.scheduled_at.isoformat() == "2099-07-06T07:00:00+00:00"

    def test_a_past_expedition_means_now_and_says_so(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, quando="data", quando_data="2020-07-06", quando_ora="09:00")
        sender.get("compose_confirm", draft.pk)
        assert "La data indicata è già passata: parte subito" in sender.main.text
        assert "Invia 1 messaggio" in sender.actions
        confirm(sender, draft)
        draft.refresh_from_db()
        assert draft.scheduled_at <= timezone.now()

    def test_a_past_due_date_must_be_confirmed(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, scadenza_data="2020-01-01")
        confirm(sender, draft, expect=422)
        assert sender.title.startswith("Errore:")
        assert sender.errors == ["Conferma di volerlo inviare con una scadenza già passata, o correggi la data."]
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.DRAFT
        confirm(sender, draft, scaduto="on")
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.SCHEDULED
        assert draft.expires_at is None

    def test_twice_makes_one_message(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft)
        sender.get("compose_confirm", draft.pk)
        seen = sender.main.one("input", name="visto").attributes["value"]
        for _press in range(2):
            response = sender.post("compose_confirm", draft.pk, data={"visto": seen})
            assert response["Location"] == address("message", draft.pk)
        assert Message.objects.count() == 1
        assert draft.events.filter(state=Delivery.SCHEDULED).count() == 1
        sender.follow(response)
        assert "già stata confermata" in sender.main.text

    def test_what_changed_since_it_was_read_must_be_read_again(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft)
        sender.get("compose_confirm", draft.pk)
        seen = sender.main.one("input", name="visto").attributes["value"]
        publish(
            cast.instance.template,
            subject="Un altro titolo per ${cie}",
            body=cast.instance.template.versions.get().body,
            has_payment=True,
            has_due_date=True,
            uses=[Use(Placeholder.objects.get(name="cie"))],
            by=None,
            at=timezone.now(),
        )
        sender.post("compose_confirm", draft.pk, data={"visto": seen}, expect=200)
        assert "rileggilo e conferma di nuovo" in sender.main.text
        assert "Un altro titolo" in sender.main.text
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.DRAFT

    def test_an_incomplete_draft_goes_back_to_its_errors(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        response = sender.get("compose_confirm", draft.pk, expect=302)
        sender._checked(sender.client.get(response["Location"]), expect=422)
        assert sender.errors

    def test_who_only_writes_cannot_send(self, cast: factories.Cast) -> None:
        editor = Visitor(cast.editor)
        draft = start(editor, cast.instance)
        write(editor, draft)
        editor.get("compose_confirm", draft.pk)
        assert "Invia 1 messaggio" not in editor.actions
        assert "serve il ruolo Invio" in editor.main.text
        editor.post("compose_confirm", draft.pk, data={"visto": "x"}, expect=403)
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.DRAFT

    def test_the_draft_of_a_colleague_can_be_sent_and_bears_the_name_of_who_sent_it(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        editor = Visitor(cast.editor)
        draft = start(editor, cast.instance)
        write(editor, draft)
        confirm(sender, draft)
        draft.refresh_from_db()
        assert draft.sender == cast.sender

    def test_where_a_rule_asks_it_waits_for_another_person(self, cast: factories.Cast, sender: Visitor) -> None:
        ente = cast.instance.organization
        ente.approval = ApprovalRule.ALWAYS
        ente.save(update_fields=["approval"])
        draft = start(sender, cast.instance)
        write(sender, draft)
        sender.get("compose_confirm", draft.pk)
        assert "Chiedi l’approvazione di 1 messaggio" in sender.actions
        confirm(sender, draft)
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.PENDING_APPROVAL


class TestPlaceholderFields:
    @pytest.mark.parametrize(
        ("kind", "typed", "stored"),
        [
            ("string", " via dei Mulini 12 ", " via dei Mulini 12 "),
            ("date", "31/12/2027", "2027-12-31"),
            ("date", "2027-12-31", "2027-12-31"),
            ("datetime", "2027-12-31T09:30", "2027-12-31T09:30"),
            ("integer", "00 123", "00123"),
            ("amount", "145,5", "145,50"),
            ("amount", "145", "145,00"),
            ("boolean", "true", "true"),
            ("choice", "mattina", "mattina"),
        ],
    )
    def test_people_write_as_they_do_and_the_renderer_gets_its_one_form(
        self, kind: str, typed: str, stored: str
    ) -> None:
        field = factories.placeholder("quando", type=kind, choices=["mattina", "sera"], example="")
        instance = instance_with(Use(field))
        visitor = sender_on(instance)
        draft = start(visitor, instance)
        write(visitor, draft, s_quando=typed)
        confirm(visitor, draft)
        draft.refresh_from_db()
        assert draft.content.values == {"quando": stored}

    @pytest.mark.parametrize(
        ("kind", "typed"),
        [
            ("date", "31/02/2027"),
            ("datetime", "domani"),
            ("datetime", "2027-03-28T02:30"),
            ("integer", "1,5"),
            ("amount", "1.234"),
            ("boolean", "forse"),
            ("choice", "notte"),
        ],
    )
    def test_what_the_renderer_would_refuse_is_refused_beside_the_field(self, kind: str, typed: str) -> None:
        field = factories.placeholder("quando", type=kind, choices=["mattina", "sera"], example="")
        instance = instance_with(Use(field))
        visitor = sender_on(instance)
        draft = start(visitor, instance)
        write(visitor, draft, expect=422, s_quando=typed)
        assert [error.split(":")[0] for error in visitor.errors] == ["Quando"]

    def test_an_optional_one_may_stay_empty(self) -> None:
        field = factories.placeholder("quando", type="string", example="domani")
        instance = instance_with(Use(field, mandatory=False), body=INVITATION + " " + INVITATION)
        visitor = sender_on(instance)
        draft = start(visitor, instance)
        write(visitor, draft)
        visitor.get("compose_content", draft.pk)
        assert "(facoltativo)" in visitor.main.one("label", for_="id_s_quando").text
        confirm(visitor, draft)
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.SCHEDULED

    def test_is_called_by_its_description_with_its_name_and_an_example_beside(self) -> None:
        field = factories.placeholder("quando", type="date", description="Giorno della visita", example="2027-01-12")
        instance = instance_with(Use(field))
        visitor = sender_on(instance)
        visitor.get("compose_content", start(visitor, instance).pk)
        assert visitor.main.one(id="id_s_quando_helptext").text == "Nel modello: quando. Esempio: 12/01/2027"
        assert visitor.main.one("label", for_="id_s_quando").text == "Giorno della visita"
