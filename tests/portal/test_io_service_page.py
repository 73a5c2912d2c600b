"""The page of one IO service: how it is, its keys (never shown), proving, switching, entering and resuming."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from messaging import auditing, proving
from messaging.models import ActiveKey, IOService, ServiceInstance
from messaging.states import WaitingReason
from portal.problems import problems_of
from registry.models import Role
from sealed.boxes import Sealed
from tests import factories
from tests.portal.test_decisions import suspended
from tests.portal.visitor import Visitor, address
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db

KEY_HEADER = "ocp-apim-subscription-key"
NEW = "0123456789abcdef0123456789abcdef"
# Route -> the rest of its address, and what a form of its page would send.
CHANGING: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "prove_key": ((), {"chiave": "primaria"}),
    "switch_key": ((), {"visto": "primary", "comunque": "on"}),
    "enter_key": (("secondaria",), {"visto": "primary", "chiave": NEW, "comunque": "on"}),
    "resume": ((), {}),
}


@pytest.fixture
def io(settings: Any) -> Iterator[StandIn]:
    from messaging.engine import close_engines

    with StandIn() as stand_in:
        settings.IO_API_BASE_URL = stand_in.base_url
        settings.IO_READ_TIMEOUT = 5.0
        yield stand_in
        close_engines()


@pytest.fixture
def service(cast: factories.Cast) -> IOService:
    """Both slots filled, the primary in use."""
    io_service = cast.instance.io_service
    io_service.primary_key = Sealed.close("the-primary")
    io_service.secondary_key = Sealed.close("the-secondary")
    io_service.save()
    return io_service


@pytest.fixture
def visitor(cast: factories.Cast) -> Visitor:
    return Visitor(cast.configurator)


def fresh(service: IOService) -> IOService:
    return IOService.objects.get(pk=service.pk)


def keys(service: IOService) -> tuple[str, str, str]:
    found = fresh(service)
    return found.active_key, found.primary_key.open(), found.secondary_key.open()


def notice(visitor: Visitor, response: Any) -> str:
    """What the page that follows says first."""
    visitor.follow(response)
    return visitor.main.all(class_="alert")[0].text


def used_keys(io: StandIn) -> list[str]:
    return [request.headers[KEY_HEADER] for request in io.requests]


class TestPage:
    def test_says_how_it_is_and_which_keys_there_are_and_never_a_key(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        response = visitor.get("io_service", service.pk)
        for words in (
            cast.instance.service.service_name,
            cast.instance.organization.legal_name,
            cast.instance.template.name,
            service.io_service_id,
            service.io_account.name,
            "1.000 chiamate al secondo",
            "Nessun messaggio in coda",
            "Attivo",
            "Primaria In uso",
            "Inserita.",
        ):
            assert words in visitor.main.text, words
        for secret in ("the-primary", "the-secondary", service.primary_key.token, service.secondary_key.token):
            assert secret not in response.content.decode()

    def test_offers_what_can_be_done_with_each_key(self, service: IOService, visitor: Visitor) -> None:
        visitor.get("io_service", service.pk)
        assert visitor.actions == [
            "Prova la chiave primaria",
            "Sostituisci la chiave primaria",
            "Prova la chiave secondaria",
            "Sostituisci la chiave secondaria",
            "Passa alla secondaria",
        ]

    def test_an_empty_slot_can_only_be_filled(self, service: IOService, visitor: Visitor) -> None:
        IOService.objects.filter(pk=service.pk).update(secondary_key=Sealed())
        visitor.get("io_service", service.pk)
        assert visitor.actions[2:] == ["Inserisci la chiave secondaria"]
        assert "Non ancora inserita." in visitor.main.text

    def test_a_suspended_one_says_why_how_many_wait_and_leads_to_resuming(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        suspended(service)
        for _ in range(2):
            factories.message(instance=cast.instance)
        visitor.get("io_service", service.pk)
        said = visitor.main.all(class_="alert")[0].text
        assert "L’invio è sospeso da oggi alle" in said
        assert "2 messaggi restano in coda" in said
        assert "Access denied due to invalid subscription key" in said
        assert address("resume", service.pk) in [
            link.attributes["href"] for link in visitor.main.all("a", class_="btn-primary")
        ]

    def test_while_it_is_suspended_nothing_is_said_of_its_account(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        """«Non devi fare nulla» beside a box that asks for a key would be its contrary."""
        lane = service.io_account.lane
        lane.opened_at = timezone.now()
        lane.save()
        visitor.get("io_service", service.pk)
        assert "Non devi fare nulla" in visitor.main.text
        suspended(service)
        visitor.get("io_service", service.pk)
        assert "Non devi fare nulla" not in visitor.main.text
        assert len(visitor.main.all(class_="alert")) == 1

    def test_a_suspended_one_whose_key_was_changed_since_is_to_be_resumed(
        self, service: IOService, visitor: Visitor, io: StandIn, cast: factories.Cast
    ) -> None:
        suspended(service)
        visitor.get("io_service", service.pk)
        assert "Inserisci una chiave valida o passa all’altra" in visitor.main.text
        visitor.post("switch_key", service.pk, data={"visto": "primary"})
        visitor.get("io_service", service.pk)
        assert "Inserisci una chiave valida" not in visitor.main.text
        cure = "Da allora la chiave in uso è cambiata: se la prova è buona, riprendi l’invio."
        assert cure in visitor.main.text
        factories.grant(
            cast.configurator, Role.VIEWER, organizations=(cast.instance.organization,),
            services=(cast.instance.service,),
        )  # fmt: skip
        assert cure in problems_of(cast.configurator)[0].cure

    def test_forms_that_ask_io_are_sent_once(self, service: IOService, visitor: Visitor) -> None:
        """The script rests their buttons; the server refuses a second proof anyway."""
        for route, rest, number in (("io_service", (), 2), ("switch_key", (), 1), ("enter_key", ("primaria",), 1)):
            visitor.get(route, service.pk, *rest)
            assert len([form for form in visitor.main.all("form") if "data-once" in form.attributes]) == number
        suspended(service)
        visitor.get("resume", service.pk)
        assert "data-once" in visitor.main.all("form")[0].attributes

    def test_one_on_trial_after_a_resume_says_so(self, service: IOService, visitor: Visitor) -> None:
        IOService.objects.filter(pk=service.pk).update(is_probing=True)
        visitor.get("io_service", service.pk)
        assert "parte un messaggio alla volta" in visitor.main.all(class_="alert")[0].text

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"opened_at": timedelta(hours=-1)}, "IO non risponde, o risponde con errori, da"),
            ({"is_half_open": True}, "ha ripreso a rispondere"),
            ({"paused_until": timedelta(minutes=20)}, "nessuna chiamata fino alle"),
            ({"slowed_until": timedelta(minutes=20), "rate_factor": 0.5}, "500 al secondo, perché IO"),
            ({}, "Regolari"),
        ],
    )
    def test_tells_of_the_account_s_breaker_pause_and_pace(
        self, service: IOService, visitor: Visitor, columns: dict[str, Any], words: str
    ) -> None:
        lane = service.io_account.lane
        for name, value in columns.items():
            setattr(lane, name, timezone.now() + value if isinstance(value, timedelta) else value)
        lane.save()
        visitor.get("io_service", service.pk)
        assert words in visitor.main.text

    def test_tells_how_late_news_are(self, service: IOService, visitor: Visitor, cast: factories.Cast) -> None:
        from messaging.states import Delivery

        late = timezone.now() - timedelta(hours=3, minutes=1)
        factories.message_in(Delivery.SENT, instance=cast.instance, next_poll_at=late)
        visitor.get("io_service", service.pk)
        assert "in ritardo di 3 ore" in visitor.main.text

    def test_tells_what_was_done_to_it_by_whom_in_the_reader_s_words(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        auditing.note(service, auditing.SWITCHED[ActiveKey.SECONDARY], by=cast.configurator)
        visitor.get("io_service", service.pk)
        history = visitor.main.one(id="modifiche").text, visitor.main.text
        assert "Chiave in uso: dalla primaria alla secondaria" in history[1]
        assert cast.configurator.full_name in history[1]

    def test_what_was_changed_in_the_back_office_is_there_too(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        from django.contrib.admin.models import CHANGE, LogEntry

        message = [{"changed": {"fields": ["Chiave API primaria"]}}]
        LogEntry.objects.log_actions(cast.viewer.pk, [service], CHANGE, message, single_object=True)
        visitor.get("io_service", service.pk)
        assert "Chiave API primaria" in visitor.main.text

    def test_the_list_leads_to_it(self, service: IOService, visitor: Visitor) -> None:
        visitor.get("io_services")
        assert visitor.main.all("a", href=address("io_service", service.pk))

    def test_the_list_tells_of_a_silent_io(self, service: IOService, visitor: Visitor, cast: factories.Cast) -> None:
        factories.message(instance=cast.instance)
        lane = service.io_account.lane
        lane.opened_at = timezone.now()
        lane.save()
        visitor.get("io_services")
        assert "IO non risponde, o risponde con errori, da oggi alle" in visitor.main.all(class_="alert")[0].text


class TestWhoMay:
    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver", "administrator"])
    def test_the_page_needs_the_configuring_role(self, cast: factories.Cast, service: IOService, role: str) -> None:
        Visitor(getattr(cast, role)).get("io_service", service.pk, expect=403)

    def test_for_a_stranger_it_does_not_exist(self, cast: factories.Cast, service: IOService) -> None:
        Visitor(cast.stranger).get("io_service", service.pk, expect=404)

    def test_nobody_opens_it_without_signing_in(self, service: IOService) -> None:
        assert Visitor().get("io_service", service.pk, expect=302)["Location"].startswith(address("login"))

    def test_whoever_configures_only_some_uses_looks_and_changes_nothing(
        self, cast: factories.Cast, service: IOService, visitor: Visitor
    ) -> None:
        other = factories.service_instance(organization=cast.instance.organization, io_service=service)
        suspended(service)
        factories.message(instance=other)
        visitor.get("io_service", service.pk)
        assert visitor.actions == []
        assert "può cambiarlo chi ha il ruolo Configurazione su tutti" in visitor.main.text
        assert other.service.service_name not in visitor.main.text
        # What waits for the uses of others is theirs to know.
        assert "nessun messaggio in coda" in visitor.main.text

    @pytest.mark.parametrize("route", sorted(CHANGING))
    @pytest.mark.parametrize(
        ("who", "status"),
        [("viewer", 403), ("sender", 403), ("administrator", 403), ("stranger", 404), ("partial", 404), (None, 302)],
    )
    def test_every_action_needs_the_role_on_every_use(
        self, cast: factories.Cast, service: IOService, io: StandIn, route: str, who: str | None, status: int
    ) -> None:
        suspended(service)
        person = getattr(cast, "configurator" if who == "partial" else who) if who else None
        if who == "partial":
            factories.service_instance(organization=cast.instance.organization, io_service=service)
        before = list(IOService.objects.filter(pk=service.pk).values())
        rest, data = CHANGING[route]
        Visitor(person).post(route, service.pk, *rest, data=data, expect=status)
        assert list(IOService.objects.filter(pk=service.pk).values()) == before
        assert io.requests == []
        assert auditing.history_of(service, limit=5) == []

    @pytest.mark.parametrize("route", sorted(CHANGING))
    def test_a_post_without_its_token_is_refused(
        self, cast: factories.Cast, service: IOService, io: StandIn, route: str
    ) -> None:
        suspended(service)
        before = list(IOService.objects.filter(pk=service.pk).values())
        rest, data = CHANGING[route]
        visitor = Visitor(cast.configurator, client=Client(enforce_csrf_checks=True))
        assert visitor.client.post(address(route, service.pk, *rest), data).status_code == 403
        assert list(IOService.objects.filter(pk=service.pk).values()) == before
        assert io.requests == []

    @pytest.mark.parametrize("route", sorted(CHANGING))
    def test_looking_changes_nothing(self, service: IOService, visitor: Visitor, io: StandIn, route: str) -> None:
        suspended(service)
        before = list(IOService.objects.filter(pk=service.pk).values())
        rest, _data = CHANGING[route]
        visitor.get(route, service.pk, *rest, expect=405 if route == "prove_key" else 200)
        assert list(IOService.objects.filter(pk=service.pk).values()) == before
        assert io.requests == []


class TestProve:
    def test_says_that_the_key_is_valid(self, service: IOService, visitor: Visitor, io: StandIn) -> None:
        response = visitor.post("prove_key", service.pk, data={"chiave": "secondaria"})
        assert response["Location"] == address("io_service", service.pk)
        assert "Chiave secondaria: Valida: IO la accetta." in notice(visitor, response)
        assert used_keys(io) == ["the-secondary"]

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (Canned(401), "Rifiutata: IO non la riconosce (401)."),
            (Canned(403, body={"title": "You are not allowed here"}), "Parole di IO: “You are not allowed here”."),
            (Canned(500), "IO non risponde, o risponde con errori: della chiave non sappiamo nulla."),
            (Canned(429, headers={"Retry-After": "600"}), "Non possiamo chiamarlo fino alle"),
        ],
    )
    def test_says_what_is_wrong_and_what_to_do(
        self, service: IOService, visitor: Visitor, io: StandIn, answer: Canned, words: str
    ) -> None:
        io.answer("profile", answer)
        assert words in notice(visitor, visitor.post("prove_key", service.pk, data={"chiave": "primaria"}))

    def test_a_valid_key_on_a_suspended_service_resumes_nothing_and_says_so(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        suspended(service)
        response = visitor.post("prove_key", service.pk, data={"chiave": "primaria", "da": "riprendi"})
        assert response["Location"] == address("resume", service.pk)
        assert "L’invio resta sospeso finché non lo riprendi." in notice(visitor, response)
        assert fresh(service).suspended_at is not None

    def test_a_slot_that_does_not_exist_means_the_one_in_use(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        visitor.post("prove_key", service.pk, data={"chiave": "boh", "da": "//altrove.example"})
        assert used_keys(io) == ["the-primary"]

    def test_a_refused_key_in_use_has_another_to_pass_to_where_there_is_one(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        io.answer("profile", Canned(401))

        def said(slot: str) -> str:
            return notice(visitor, visitor.post("prove_key", service.pk, data={"chiave": slot}))

        assert "Oppure passa all’altra." in said("primaria")
        assert "all’altra" not in said("secondaria")
        IOService.objects.filter(pk=service.pk).update(secondary_key=Sealed())
        assert "all’altra" not in said("primaria")

    def test_one_under_way_on_the_account_is_said_to_be(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        with proving._turn(service.io_account_id):
            said = notice(visitor, visitor.post("prove_key", service.pk, data={"chiave": "primaria"}))
        assert "Una prova è già in corso: questa non l’abbiamo fatta. Riprova fra qualche secondo." in said
        assert io.requests == []


class TestSwitch:
    def test_on_a_suspended_service_it_says_that_it_stays_suspended(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        suspended(service)
        visitor.get("switch_key", service.pk)
        assert "L’invio resta sospeso finché non lo riprendi." in visitor.main.text
        assert "L’invio non si ferma" not in visitor.main.text

    def test_proves_the_other_key_then_passes_to_it(
        self, service: IOService, visitor: Visitor, io: StandIn, cast: factories.Cast
    ) -> None:
        visitor.get("switch_key", service.pk)
        form = visitor.typed_in(visitor.main.one("form"))
        response = visitor.post("switch_key", service.pk, data=form)
        assert "In uso la chiave secondaria: vale dal prossimo messaggio. Valida" in notice(visitor, response)
        assert keys(service)[0] == ActiveKey.SECONDARY
        assert used_keys(io) == ["the-secondary"]
        assert [line.user for line in auditing.history_of(service, limit=5)] == [cast.configurator] * 2
        visitor.get("io_service", service.pk)
        assert "Provata la chiave secondaria; IO la accetta" in visitor.main.text

    @pytest.mark.parametrize("status", [401, 403, 429, 500])
    def test_a_key_that_io_does_not_take_asks_for_a_second_yes(
        self, service: IOService, visitor: Visitor, io: StandIn, status: int
    ) -> None:
        io.answer("profile", Canned(status))
        visitor.post("switch_key", service.pk, data={"visto": "primary"}, expect=200)
        assert "Non abbiamo cambiato nulla: è ancora in uso la chiave primaria." in visitor.main.text
        assert "Con una chiave che IO non accetta, dal prossimo messaggio l’invio si sospende." in visitor.main.text
        assert "L’invio non si ferma" not in visitor.main.text
        # The tick was never shown before: a question, not a mistake.
        assert visitor.errors == []
        assert not visitor.title.startswith("Errore:")
        assert visitor.main.all("input", name="comunque")
        assert keys(service)[0] == ActiveKey.PRIMARY
        form = {**visitor.typed_in(visitor.main.one("form")), "comunque": "on"}
        visitor.post("switch_key", service.pk, data=form)
        assert keys(service)[0] == ActiveKey.SECONDARY

    def test_to_an_empty_slot_is_impossible(self, service: IOService, visitor: Visitor, io: StandIn) -> None:
        IOService.objects.filter(pk=service.pk).update(secondary_key=Sealed())
        response = visitor.post("switch_key", service.pk, data={"visto": "primary", "comunque": "on"})
        assert "La chiave secondaria non c’è: prima inseriscila." in notice(visitor, response)
        assert keys(service)[0] == ActiveKey.PRIMARY

    def test_to_a_key_that_cannot_be_opened_is_impossible_even_insisting(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        IOService.objects.filter(pk=service.pk).update(secondary_key=Sealed("deadbeef:nothing"))
        visitor.post("switch_key", service.pk, data={"visto": "primary", "comunque": "on"}, expect=422)
        assert "non si può più aprire" in visitor.main.text
        assert "L’invio non si ferma" not in visitor.main.text
        assert not visitor.main.all("input", name="comunque")
        assert fresh(service).active_key == ActiveKey.PRIMARY

    @pytest.mark.parametrize("seen", ["secondary", "boh", ""])
    def test_switched_by_somebody_else_meanwhile_it_does_nothing(
        self, service: IOService, visitor: Visitor, io: StandIn, seen: str
    ) -> None:
        """Two persons with the same page would otherwise switch there and back."""
        response = visitor.post("switch_key", service.pk, data={"visto": seen})
        assert "Nel frattempo la chiave in uso è cambiata" in notice(visitor, response)
        assert keys(service)[0] == ActiveKey.PRIMARY
        assert io.requests == []


class TestEnter:
    def posted(
        self, visitor: Visitor, service: IOService, slot: str, key: str, *, expect: int = 302, **more: str
    ) -> Any:
        data = {"visto": fresh(service).active_key, "chiave": key, **more}
        return visitor.post("enter_key", service.pk, slot, data=data, expect=expect)

    def test_into_the_slot_not_in_use_it_is_proved_and_saved(
        self, service: IOService, visitor: Visitor, io: StandIn, cast: factories.Cast
    ) -> None:
        visitor.get("enter_key", service.pk, "secondaria")
        assert "Non è la chiave in uso" in visitor.main.text
        response = self.posted(visitor, service, "secondaria", f"  {NEW}\t")
        assert "Chiave secondaria salvata. Valida: IO la accetta." in notice(visitor, response)
        assert keys(service) == (ActiveKey.PRIMARY, "the-primary", NEW)
        assert used_keys(io) == [NEW]
        assert [line.user for line in auditing.history_of(service, limit=5)] == [cast.configurator] * 2

    def test_into_the_slot_not_in_use_a_refused_one_is_saved_and_said_to_be(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        io.answer("profile", Canned(401))
        said = notice(visitor, self.posted(visitor, service, "secondaria", NEW))
        assert "Chiave secondaria salvata. Rifiutata: IO non la riconosce (401)." in said
        assert "altra" not in said, "the other is in use already"
        assert keys(service)[2] == NEW

    def test_in_place_of_the_key_in_use_a_valid_one_is_saved(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        visitor.get("enter_key", service.pk, "primaria")
        assert "È la chiave in uso" in visitor.main.text
        self.posted(visitor, service, "primaria", NEW)
        assert keys(service) == (ActiveKey.PRIMARY, NEW, "the-secondary")

    @pytest.mark.parametrize("status", [401, 403, 429, 500])
    def test_in_place_of_the_key_in_use_one_not_taken_asks_for_a_second_yes(
        self, service: IOService, visitor: Visitor, io: StandIn, status: int
    ) -> None:
        io.answer("profile", Canned(status))
        response = self.posted(visitor, service, "primaria", NEW, expect=200)
        assert "Non l’abbiamo salvata: resta quella di prima." in visitor.main.text
        # The tick was never shown before: a question, not a mistake.
        assert visitor.errors == []
        assert visitor.main.all("input", name="comunque")
        assert NEW not in response.content.decode()
        assert keys(service)[1] == "the-primary"
        self.posted(visitor, service, "primaria", NEW, comunque="on")
        assert keys(service)[1] == NEW

    def test_the_second_yes_alone_is_not_enough_the_key_is_typed_again(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        self.posted(visitor, service, "primaria", "", comunque="on", expect=422)
        assert any("Scrivi o incolla la chiave." in error for error in visitor.errors)
        assert keys(service)[1] == "the-primary"

    def test_the_first_key_of_all_is_saved_whatever_io_says(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        IOService.objects.filter(pk=service.pk).update(primary_key=Sealed(), secondary_key=Sealed())
        io.answer("profile", Canned(500))
        said = notice(visitor, self.posted(visitor, service, "primaria", NEW))
        assert "Chiave primaria salvata. IO non risponde, o risponde con errori" in said
        assert keys(service)[1] == NEW

    @pytest.mark.parametrize("typed", ["", "   ", "due parole", "perché", "x" * 300, "the-secondary"])
    def test_what_cannot_be_a_key_is_refused_before_io_is_asked(
        self, service: IOService, visitor: Visitor, io: StandIn, typed: str
    ) -> None:
        response = self.posted(visitor, service, "primaria", typed, expect=422)
        assert len(visitor.errors) == 1
        if typed.strip():
            assert typed not in response.content.decode()
        assert keys(service)[1] == "the-primary"
        assert io.requests == []

    def test_a_key_in_use_changed_meanwhile_does_nothing(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        data = {"visto": "secondary", "chiave": NEW}
        said = notice(visitor, visitor.post("enter_key", service.pk, "secondaria", data=data))
        assert "Nel frattempo la chiave in uso è cambiata" in said
        assert keys(service)[2] == "the-secondary"

    def test_there_is_no_third_slot(self, service: IOService, visitor: Visitor) -> None:
        there = address("enter_key", service.pk, "primaria")
        assert visitor.client.get(there.replace("primaria", "terziaria")).status_code == 404

    def test_the_field_hides_what_is_typed_and_comes_empty(self, service: IOService, visitor: Visitor) -> None:
        visitor.get("enter_key", service.pk, "primaria")
        (field,) = [one for one in visitor.main.all("input") if one.attributes.get("name") == "chiave"]
        assert field.attributes["type"] == "password"
        assert "value" not in field.attributes

    def test_a_good_key_on_a_suspended_service_says_that_it_still_waits(
        self, service: IOService, visitor: Visitor, io: StandIn
    ) -> None:
        suspended(service)
        said = notice(visitor, self.posted(visitor, service, "primaria", NEW))
        assert "L’invio resta sospeso finché non lo riprendi." in said
        assert fresh(service).suspended_at is not None


class TestResume:
    def test_says_how_many_wait_and_that_one_goes_first_and_offers_the_proof(
        self, service: IOService, visitor: Visitor, cast: factories.Cast
    ) -> None:
        suspended(service)
        for _ in range(3):
            factories.message(instance=cast.instance)
        factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        visitor.get("resume", service.pk)
        assert "3 messaggi restano in coda" in visitor.main.text
        assert "Parte un messaggio solo" in visitor.main.text
        assert visitor.actions == ["Prova la chiave", "Cambia la chiave", "Riprendi l’invio", "Torna ai servizi IO"]

    def test_with_an_empty_queue_says_what_that_means(self, service: IOService, visitor: Visitor) -> None:
        suspended(service)
        visitor.get("resume", service.pk)
        assert "Nessun messaggio aspetta" in visitor.main.text

    def test_without_a_key_there_is_one_to_enter(self, service: IOService, visitor: Visitor) -> None:
        suspended(service)
        IOService.objects.filter(pk=service.pk).update(primary_key=Sealed())
        visitor.get("resume", service.pk)
        assert visitor.actions[0] == "Inserisci la chiave"

    def test_the_history_says_who_resumed(self, service: IOService, visitor: Visitor, cast: factories.Cast) -> None:
        suspended(service)
        visitor.post("resume", service.pk)
        (line,) = auditing.history_of(service, limit=5)
        assert line.user == cast.configurator
        visitor.get("io_service", service.pk)
        assert "Invio ripreso" in visitor.main.text


def test_in_english_it_is_english(service: IOService, cast: factories.Cast) -> None:
    factories.grant(
        cast.configurator, Role.VIEWER, organizations=(cast.instance.organization,), services=(cast.instance.service,)
    )
    visitor = Visitor(cast.configurator)
    auditing.note(service, auditing.RESUMED, by=cast.configurator)
    visitor.get("io_service", service.pk, Accept_Language="en")
    assert "API keys" in visitor.main.text
    assert "Sending resumed" in visitor.main.text


def test_one_service_instance_of_the_page_is_named_with_its_template(
    service: IOService, visitor: Visitor, cast: factories.Cast
) -> None:
    second = factories.service_instance(
        organization=cast.instance.organization,
        service=cast.instance.service,
        io_service=service,
        enabled=False,
    )
    visitor.get("io_service", service.pk)
    assert second.template.name in visitor.main.text
    assert "Disabilitato" in visitor.main.text
    assert ServiceInstance.objects.filter(io_service=service).count() == 2
