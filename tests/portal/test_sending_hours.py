"""The sending hours of an ente on screen: who may set them, what the form refuses, what it previews, who changed them;
and what messages say while it is closed."""

from datetime import UTC, date, datetime, time
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from messaging.models import Message, ServiceInstance
from messaging.states import Delivery, WaitingReason
from portal.views import sending_hours as sending_hours_view
from registry.models import ClosureDay, Organization, Role, SendingHoursChange
from registry.opening_hours import EVERY_DAY, Closure, OpeningHours
from tests import factories
from tests.portal.composing import confirm, start, write
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db

# A Saturday, 10:00 in Rome.
SATURDAY = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OFFICE = {"sends_from": time(8), "sends_until": time(18), "sending_days": 0b0011111}
MONDAY = "lunedì 23 novembre 2026 alle 8:00"


@pytest.fixture
def ente(instance: ServiceInstance) -> Organization:
    return instance.organization


@pytest.fixture
def administrator(cast: factories.Cast) -> Visitor:
    return Visitor(cast.administrator)


def close(ente: Organization, **fields: Any) -> None:
    Organization.objects.filter(pk=ente.pk).update(**{**OFFICE, **fields})


def typed(visitor: Visitor, ente: Organization, **fields: Any) -> dict[str, Any]:
    """The page's hidden fields, and an office from Monday to Friday unless told otherwise."""
    visitor.get("sending_hours", ente.pk)
    hidden = {name: visitor.main.one("input", name=name).attributes["value"] for name in ("visto", "righe")}
    return {
        **hidden,
        "orario": "orario",
        "dalle": "08:00",
        "alle": "18:00",
        "giorni": ["0", "1", "2", "3", "4"],
        "festivi": "on",
        "giorno_0": "2026-06-24",
        "ogni_anno_0": "on",
        "nome_0": "San Giovanni",
        "azione": "salva",
        **fields,
    }


class TestWhoMaySetThem:
    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver"])
    def test_other_roles_may_not_and_find_no_way_to(self, cast: factories.Cast, ente: Organization, role: str) -> None:
        visitor = Visitor(getattr(cast, role))
        visitor.get("sending_hours", ente.pk, expect=403)
        visitor.post("sending_hours", ente.pk, expect=403)
        visitor.get("organizations", expect=403)
        visitor.get("messages")
        assert not visitor.page.all("a", href=reverse("portal:organizations"))

    @pytest.mark.parametrize("role", ["configurator", "administrator"])
    def test_whoever_configures_or_administers_finds_them_in_the_menu(
        self, cast: factories.Cast, ente: Organization, role: str
    ) -> None:
        visitor = Visitor(getattr(cast, role))
        visitor.follow(visitor.get("home", expect=302))
        link = visitor.page.one("nav", class_="menu-wide").one("a", href=reverse("portal:organizations"))
        assert link.text == "Impostazioni ente"
        # One ente alone: there is nothing to choose.
        visitor.follow(visitor.get("organizations", expect=302))
        assert ente.legal_name in visitor.main.text

    def test_an_ente_of_others_does_not_exist(self, cast: factories.Cast, ente: Organization) -> None:
        Visitor(cast.stranger).get("sending_hours", ente.pk, expect=404)
        Visitor(cast.stranger).post("sending_hours", ente.pk, expect=404)

    def test_the_role_is_needed_on_every_service_of_the_ente(self, cast: factories.Cast, ente: Organization) -> None:
        factories.service_instance(organization=ente)
        Visitor(cast.administrator).get("sending_hours", ente.pk, expect=404)
        visitor = Visitor(cast.administrator)
        visitor.get("organizations")
        assert "Nessun ente da impostare" in visitor.main.text

    def test_with_several_enti_one_chooses(self, cast: factories.Cast, elsewhere: ServiceInstance) -> None:
        close(elsewhere.organization)
        person = factories.user()
        factories.grant(person, Role.ADMINISTRATOR, all_organizations=True, all_services=True)
        visitor = Visitor(person)
        visitor.get("organizations")
        assert "lunedì–venerdì, dalle 8:00 alle 18:00" in visitor.main.text
        assert "sempre, a qualsiasi ora" in visitor.main.text
        visitor.open(visitor.main.all("a", class_="btn")[0].attributes["href"])

    def test_nobody_enters_without_signing_in(self, ente: Organization) -> None:
        Visitor().get("sending_hours", ente.pk, expect=302)
        Visitor().get("organizations", expect=302)


class TestForm:
    def test_saves_what_it_says_and_tells_who_changed_what(self, administrator: Visitor, ente: Organization) -> None:
        page = administrator.follow(administrator.post("sending_hours", ente.pk, data=typed(administrator, ente)))
        ente.refresh_from_db()
        assert ente.opening_hours() == OpeningHours(
            opens=time(8),
            closes=time(18),
            days=0b0011111,
            observes_holidays=True,
            closures=(Closure(date(2026, 6, 24), is_yearly=True, name="San Giovanni"),),
        )
        history = page.one(class_="history").text
        assert administrator.user is not None
        assert administrator.user.full_name in history
        assert "Orario: da “a qualsiasi ora” a “dalle 8:00 alle 18:00”" in history
        assert "Giorni: da “tutti i giorni” a “lunedì–venerdì”" in history
        assert "Giorni festivi: da “invia” a “non invia”" in history
        assert "Chiusura aggiunta: 24 giugno, ogni anno (San Giovanni)" in history
        assert "Orari salvati" in page.text

    def test_hours_that_close_now_say_how_many_messages_wait_and_until_when(
        self, administrator: Visitor, ente: Organization, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        with time_machine.travel(SATURDAY, tick=False):
            for _ in range(2):
                factories.message(instance=instance, not_before=SATURDAY, scheduled_at=SATURDAY)
            tuesday = datetime(2026, 11, 24, 9, tzinfo=UTC)
            factories.message(instance=instance, not_before=tuesday, scheduled_at=tuesday)
            factories.message(instance=elsewhere, not_before=SATURDAY, scheduled_at=SATURDAY)
            data = typed(administrator, ente)
            page = administrator.follow(administrator.post("sending_hours", ente.pk, data=data))
        assert f"Orari salvati. Adesso è fuori orario: 2 messaggi aspettano fino a {MONDAY}." in page.text

    def test_beyond_a_thousand_it_stops_counting(
        self, administrator: Visitor, ente: Organization, instance: ServiceInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sending_hours_view, "COUNTED", 1)
        with time_machine.travel(SATURDAY, tick=False):
            for _ in range(2):
                factories.message(instance=instance, not_before=SATURDAY, scheduled_at=SATURDAY)
            data = typed(administrator, ente)
            page = administrator.follow(administrator.post("sending_hours", ente.pk, data=data))
        assert f"oltre 1 messaggi aspettano fino a {MONDAY}." in page.text

    @pytest.mark.parametrize("giorni", [["0", "1", "2", "3", "4"], ["5"]])
    def test_hours_that_hold_nothing_say_only_that_they_are_saved(
        self, administrator: Visitor, ente: Organization, instance: ServiceInstance, giorni: list[str]
    ) -> None:
        """Nothing waits, or the ente is open now."""
        with time_machine.travel(SATURDAY, tick=False):
            if giorni == ["5"]:
                factories.message(instance=instance, not_before=SATURDAY, scheduled_at=SATURDAY)
            data = typed(administrator, ente, giorni=giorni)
            page = administrator.follow(administrator.post("sending_hours", ente.pk, data=data))
        assert "Orari salvati." in page.text
        assert "aspetta" not in page.one("main").all(class_="alert")[0].text

    def test_shows_what_is_stored(self, administrator: Visitor, ente: Organization) -> None:
        administrator.post("sending_hours", ente.pk, data=typed(administrator, ente))
        administrator.get("sending_hours", ente.pk)
        form = administrator.main.one("form", class_="sheet")
        values = administrator.typed_in(form)
        assert (values["orario"], values["dalle"], values["giorno_0"]) == ("orario", "08:00", "2026-06-24")
        ticked = [box.attributes["value"] for box in form.all("input", name="giorni") if "checked" in box.attributes]
        assert ticked == ["0", "1", "2", "3", "4"]

    def test_a_day_of_closure_is_taken_away_by_ticking_or_by_emptying_it(
        self, administrator: Visitor, ente: Organization
    ) -> None:
        for change in ({"togli_0": "on"}, {"giorno_0": "", "nome_0": ""}):
            administrator.post("sending_hours", ente.pk, data=typed(administrator, ente))
            assert ClosureDay.objects.count() == 1
            administrator.post("sending_hours", ente.pk, data=typed(administrator, ente, **change))
            assert not ClosureDay.objects.exists()

    def test_rows_are_added_without_scripts_and_keep_what_was_typed(
        self, administrator: Visitor, ente: Organization
    ) -> None:
        data = typed(administrator, ente, azione="aggiungi")
        administrator.post("sending_hours", ente.pk, data=data, expect=200)
        assert not administrator.errors
        form = administrator.main.one("form", class_="sheet")
        values = administrator.typed_in(form)
        assert (values["righe"], values["nome_0"], values["nome_1"]) == ("2", "San Giovanni", "")
        assert not SendingHoursChange.objects.exists()
        more = {"righe": "2", "giorno_1": "2026-12-07", "nome_1": "Sant’Ambrogio", "ogni_anno_1": "on"}
        administrator.post("sending_hours", ente.pk, data={**data, **more, "azione": "salva"})
        assert ClosureDay.objects.count() == 2

    @pytest.mark.parametrize(
        ("fields", "cure"),
        [
            ({"dalle": ""}, "Indica da che ora."),
            ({"alle": ""}, "Indica fino a che ora."),
            ({"alle": "08:00"}, "L’ora di fine viene dopo quella di inizio, nello stesso giorno."),
            ({"dalle": "boh"}, "Scrivi l’ora con ore e minuti, per esempio 9:30."),
            ({"giorni": []}, "Scegli almeno un giorno: altrimenti non partirebbe mai nulla."),
            ({"giorno_0": ""}, "Indica il giorno."),
            ({"nome_0": " "}, "Scrivi come si chiama."),
            ({"righe": "2", "giorno_1": "2026-06-24", "nome_1": "Fiera"}, "Questo giorno c’è già."),
            ({"festivi": ""}, "valgono solo se spunti questa casella"),
            ({"orario": ""}, "Scegli a che ora partono i messaggi."),
        ],
    )
    def test_refuses_what_means_nothing_beside_its_field(
        self, administrator: Visitor, ente: Organization, fields: dict[str, Any], cure: str
    ) -> None:
        data = typed(administrator, ente, **fields)
        administrator.post("sending_hours", ente.pk, data=data, expect=422)
        assert any(cure in error for error in administrator.errors), administrator.errors
        ente.refresh_from_db()
        assert not ente.has_sending_hours

    @pytest.mark.parametrize("righe", ["", "boh", "-1", "99999", "61"])
    def test_a_number_of_rows_that_nobody_wrote_does_no_harm(
        self, administrator: Visitor, ente: Organization, righe: str
    ) -> None:
        data = typed(administrator, ente, righe=righe, azione="anteprima")
        administrator.post("sending_hours", ente.pk, data=data, expect=200)

    def test_two_people_do_not_undo_each_other_unseen(
        self, administrator: Visitor, cast: factories.Cast, ente: Organization
    ) -> None:
        data = typed(administrator, ente)
        other = Visitor(cast.configurator)
        other.post("sending_hours", ente.pk, data=typed(other, ente, alle="13:00"))
        page = administrator.follow(administrator.post("sending_hours", ente.pk, data=data))
        assert "Nel frattempo qualcuno ha cambiato gli orari" in page.text
        ente.refresh_from_db()
        assert ente.sends_until == time(13)

    def test_saving_the_same_says_that_nothing_changed(self, administrator: Visitor, ente: Organization) -> None:
        administrator.post("sending_hours", ente.pk, data=typed(administrator, ente))
        page = administrator.follow(administrator.post("sending_hours", ente.pk, data=typed(administrator, ente)))
        assert "non è cambiato nulla" in page.text
        assert SendingHoursChange.objects.count() == 1


class TestPreview:
    def test_tells_the_next_opening_and_the_next_days_of_closure(
        self, administrator: Visitor, ente: Organization
    ) -> None:
        with time_machine.travel(SATURDAY, tick=False):
            data = typed(administrator, ente, azione="anteprima")
            administrator.post("sending_hours", ente.pk, data=data, expect=200)
            preview = administrator.main.one(id="anteprima-orario").text
        assert "chiuso: i messaggi aspettano" in preview
        assert MONDAY in preview
        assert "martedì 8 dicembre 2026" in preview
        assert "Immacolata Concezione" in preview
        assert len(administrator.main.one(class_="closures").all("li")) == 5
        assert not SendingHoursChange.objects.exists()

    def test_follows_the_form_as_a_fragment(self, administrator: Visitor, ente: Organization) -> None:
        data = typed(administrator, ente, azione="anteprima")
        administrator.post("sending_hours", ente.pk, data=data, expect=200, HX_Request="true")
        assert "lunedì–venerdì" in administrator.page.text
        data["alle"] = "boh"
        administrator.post("sending_hours", ente.pk, data=data, expect=200, HX_Request="true")
        assert "appena i campi lo permettono" in administrator.page.text


class TestOnMessages:
    @pytest.fixture(autouse=True)
    def _a_closed_saturday(self, ente: Organization) -> Any:
        close(ente)
        with time_machine.travel(SATURDAY, tick=False):
            yield

    def test_confirming_says_when_it_will_really_leave(self, sender: Visitor, instance: ServiceInstance) -> None:
        draft = start(sender, instance)
        write(sender, draft)
        assert f"partirà {MONDAY}" in sender.get("compose_content", draft.pk).content.decode()
        sender.get("compose_confirm", draft.pk)
        assert f"Fuori dall’orario di invio dell’ente: partirà {MONDAY}." in sender.main.text
        assert "Pianifica 1 messaggio" in sender.actions
        page = sender.follow(confirm(sender, draft))
        assert f"partirà {MONDAY}" in page.text
        row = Message.objects.get(pk=draft.pk)
        assert row.delivery_state == Delivery.SCHEDULED
        assert row.scheduled_at == SATURDAY

    def test_while_it_is_open_nothing_is_said(self, sender: Visitor, instance: ServiceInstance) -> None:
        close(instance.organization, sending_days=EVERY_DAY)
        draft = start(sender, instance)
        write(sender, draft)
        sender.get("compose_confirm", draft.pk)
        assert "Fuori dall’orario" not in sender.main.text
        assert "Invia 1 messaggio" in sender.actions

    def test_a_due_date_that_passes_before_the_opening_is_to_be_confirmed(
        self, sender: Visitor, instance: ServiceInstance
    ) -> None:
        draft = start(sender, instance)
        write(sender, draft, scadenza_data="2026-11-22")
        confirm(sender, draft, expect=422)
        assert any("scadrà prima di partire" in error for error in sender.errors)
        assert "il messaggio scadrà senza partire" in sender.main.text
        confirm(sender, draft, chiuso="on")
        assert Message.objects.get(pk=draft.pk).delivery_state == Delivery.SCHEDULED

    def test_a_waiting_message_says_why_and_when_it_goes_on(self, sender: Visitor, instance: ServiceInstance) -> None:
        row = factories.message(instance=instance)
        sender.get("message", row.pk)
        assert f"Fuori dall’orario di invio dell’ente: partirà {MONDAY}." in sender.main.text
        assert "Puoi ancora annullarlo." in sender.main.text
        sender.get("messages")
        assert f"In attesa: fuori orario di invio, riparte {MONDAY}" in sender.main.text
        close(instance.organization, sends_from=time(12), sending_days=EVERY_DAY)
        sender.get("messages")
        assert "In attesa: fuori orario di invio, riparte oggi alle 12:00" in sender.main.text

    def test_one_planned_for_an_hour_at_which_it_is_closed_says_so_too(
        self, sender: Visitor, instance: ServiceInstance
    ) -> None:
        sunday = datetime(2026, 11, 22, 9, tzinfo=UTC)
        row = factories.message(instance=instance, scheduled_at=sunday, not_before=sunday)
        sender.get("message", row.pk)
        assert f"partirà {MONDAY}" in sender.main.text
        tuesday = datetime(2026, 11, 24, 9, tzinfo=UTC)
        row = factories.message(instance=instance, scheduled_at=tuesday, not_before=tuesday)
        sender.get("message", row.pk)
        assert "Partirà martedì 24 novembre 2026 alle 10:00." in sender.main.text
        assert "Fuori dall’orario" not in sender.main.text

    def test_what_a_person_must_mend_is_told_before_the_hours(self, sender: Visitor, instance: ServiceInstance) -> None:
        row = factories.message(instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
        sender.get("message", row.pk)
        assert "rimettilo in coda" in sender.main.text
        assert "Fuori dall’orario" not in sender.main.text

    def test_an_approver_reads_when_it_will_leave(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        row = factories.message_in(Delivery.PENDING_APPROVAL, instance=instance)
        visitor = Visitor(cast.approver)
        visitor.get("approval", row.pk)
        assert f"partirà {MONDAY}" in visitor.main.text

    def test_an_ente_that_opens_no_more_says_so(
        self, sender: Visitor, instance: ServiceInstance, ente: Organization
    ) -> None:
        close(ente, observes_holidays=True, sending_days=0b0000001)
        for number in range(366):
            day = date.fromordinal(date(2028, 1, 1).toordinal() + number)
            ClosureDay.objects.create(organization=ente, day=day, is_yearly=True, name="Chiuso")
        row = factories.message(instance=instance)
        sender.get("message", row.pk)
        assert "non riapre nei prossimi due anni: non partirà" in sender.main.text
        sender.get("messages")
        assert "In attesa: fuori orario di invio" in sender.main.text
