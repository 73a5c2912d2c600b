"""The state of sending: whoever answers for it sees what they cover, in numbers, and nothing of any message."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import operating, tallies
from messaging.models import Heartbeat, IOService, MinuteTally, ServiceInstance, SuspensionReason
from messaging.states import Delivery, Priority, WaitingReason
from portal.sending_state import Speed, states_for
from registry.models import Lane, Organization, Role, User
from templates_app.rome_time import to_rome
from tests import factories
from tests.messaging.lifecycle import the_databases_present
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db


def look(visitor: Visitor) -> str:
    operating.forget()
    visitor.get("sending")
    return visitor.main.text


def ticked(seconds_ago: float, name: str = "dispatch") -> None:
    Heartbeat.objects.update_or_create(
        name=name, defaults={"at": the_databases_present() - timedelta(seconds=seconds_ago)}
    )


@pytest.fixture
def administrator(cast: factories.Cast) -> Visitor:
    for name in operating.TICKS:
        ticked(1, name)
    return Visitor(cast.administrator)


@pytest.fixture
def staff(cast: factories.Cast) -> User:
    return factories.user(is_staff=True)


def account_of(instance: ServiceInstance) -> str:
    return instance.io_service.io_account.name


class TestWhoSeesIt:
    @pytest.mark.parametrize(
        ("role", "may"), [(role.value, role in (Role.CONFIGURATOR, Role.ADMINISTRATOR)) for role in Role]
    )
    def test_whoever_answers_for_sending(self, cast: factories.Cast, role: str, may: bool) -> None:
        visitor = Visitor(getattr(cast, role))
        visitor.get("sending", expect=200 if may else 403)

    def test_nobody_without_signing_in(self, visit: Any) -> None:
        assert "/accesso/" in visit(None).get("sending", expect=302)["Location"]

    def test_only_the_accounts_they_cover(self, administrator: Visitor, instance: Any, elsewhere: Any) -> None:
        page = look(administrator)
        assert account_of(instance) in page
        assert account_of(elsewhere) not in page

    def test_platform_staff_every_account(self, staff: User, instance: Any, elsewhere: Any) -> None:
        page = look(Visitor(staff))
        assert account_of(instance) in page
        assert account_of(elsewhere) in page

    def test_the_menu_leads_there(self, administrator: Visitor, cast: factories.Cast) -> None:
        administrator.get("sending")
        assert "Stato dell’invio" in administrator.page.one("nav", class_="menu-wide").text
        viewer = Visitor(cast.viewer)
        viewer.get("messages")
        assert "Stato dell’invio" not in viewer.page.one("nav", class_="menu-wide").text

    def test_without_any_account_says_why(self, db: None) -> None:
        person = factories.user()
        factories.grant(person, Role.ADMINISTRATOR, all_organizations=True, all_services=True)
        assert "Nessun account IO" in look(Visitor(person))


class TestASharedAccount:
    @pytest.fixture
    def neighbour(self, instance: ServiceInstance) -> ServiceInstance:
        """Another ente that sends through the same account."""
        ente = factories.organization()
        io_service = factories.io_service(io_account=instance.io_service.io_account, of=ente)
        return factories.service_instance(organization=ente, io_service=io_service)

    def test_counts_only_ones_own(self, cast: factories.Cast, neighbour: ServiceInstance) -> None:
        factories.message(instance=cast.instance)
        for _ in range(3):
            factories.message(instance=neighbour)
            factories.message_in(Delivery.UNCERTAIN, instance=neighbour)
        IOService.objects.filter(pk=neighbour.io_service_id).update(
            suspended_at=the_databases_present(), suspended_reason=SuspensionReason.KEY_REFUSED
        )
        (state,) = states_for(cast.administrator)
        assert (state.waiting.total, state.uncertain, state.suspended, state.is_whole) == (1, 0, 0, False)

    def test_tells_not_how_much_the_others_send(self, administrator: Visitor, neighbour: ServiceInstance) -> None:
        minute = the_databases_present().replace(second=0, microsecond=0) - timedelta(minutes=2)
        MinuteTally.objects.create(io_account=neighbour.io_service.io_account, minute=minute, calls=9000, accepted=4321)
        page = look(administrator)
        assert "Lo usano anche enti o servizi che non ti sono assegnati" in page
        assert "al minuto" not in page

    def test_shows_what_stops_everybody(self, administrator: Visitor, neighbour: ServiceInstance) -> None:
        now = the_databases_present()
        Lane.objects.filter(pk=neighbour.io_service.io_account_id).update(paused_until=now + timedelta(minutes=10))
        assert "IO ha chiesto di aspettare" in look(administrator)


class TestWhatItSays:
    def test_how_many_wait_and_since_when(self, administrator: Visitor, instance: ServiceInstance) -> None:
        now = the_databases_present()
        factories.message(instance=instance, not_before=now - timedelta(minutes=7), priority=Priority.BULK)
        factories.message(instance=instance, not_before=now - timedelta(minutes=2))
        factories.message(instance=instance, not_before=now + timedelta(days=1))
        page = look(administrator)
        assert "2, il più vecchio attende da 7 minuti" in page
        assert "Pianificati per dopo1" in page
        assert "Pianificato: 1 · Massivo: 1" in page

    def test_what_is_held(self, administrator: Visitor, instance: ServiceInstance) -> None:
        factories.message(instance=instance)
        instance.enabled = False
        instance.save()
        page = look(administrator)
        assert "Trattenuti1: 1 con il collegamento disabilitato" in page
        assert "Pronti a partirenessuno" in page

    def test_what_is_held_is_told_apart_by_its_reason(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        """Of two reasons the one that a person ends: until then the other does not matter."""
        account = instance.io_service.io_account
        closed_today = factories.service_instance(
            organization=(ente := factories.organization()),
            io_service=factories.io_service(io_account=account, of=ente),
        )
        now = the_databases_present()
        days = 0b1111111 & ~(1 << to_rome(now).weekday())
        Organization.objects.filter(pk=ente.pk).update(sending_days=days)
        stopped = factories.service_instance(
            organization=ente, enabled=False, io_service=factories.io_service(io_account=account, of=ente)
        )
        IOService.objects.filter(pk=stopped.io_service_id).update(
            suspended_at=now, suspended_reason=SuspensionReason.KEY_REFUSED
        )
        for one, number in ((closed_today, 2), (stopped, 3), (instance, 1)):
            for _ in range(number):
                factories.message(instance=one)
        person = factories.user(is_staff=True)
        assert "Trattenuti5: 3 con il servizio IO sospeso, 2 fuori orario di invio" in look(Visitor(person))

    def test_whoever_sees_no_messages_is_told_who_decides(
        self, cast: factories.Cast, instance: ServiceInstance
    ) -> None:
        factories.message_in(Delivery.UNCERTAIN, instance=instance)
        factories.message(instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
        visitor = Visitor(cast.configurator)
        page = look(visitor)
        assert "1 messaggio con esito incerto; decide chi ha il ruolo Invio" in page
        assert "senza un motivo chiaro; decide chi ha il ruolo Invio" in page

    def test_how_fast_it_goes(self, administrator: Visitor, instance: ServiceInstance) -> None:
        present = the_databases_present().replace(second=0, microsecond=0)
        for back in range(1, 6):
            MinuteTally.objects.create(
                io_account=instance.io_service.io_account,
                minute=present - timedelta(minutes=back),
                calls=1200,
                accepted=600,
            )
        page = look(administrator)
        assert "600 messaggi al minuto" in page
        assert "20 chiamate al secondo" in page
        (chart,) = administrator.main.all("svg", class_="chart")
        assert "3.000, al massimo 600 in un minuto" in chart.attributes["aria-label"]
        assert len(chart.all("rect")) == 5

    def test_what_io_does_to_us(self, administrator: Visitor, instance: ServiceInstance) -> None:
        now = the_databases_present()
        lane = Lane.objects.filter(pk=instance.io_service.io_account_id)
        assert "regolari" in look(administrator)
        lane.update(opened_at=now, probe_at=now + timedelta(seconds=5))
        assert "IO non risponde, o risponde con errori, da" in look(administrator)
        lane.update(opened_at=None, is_half_open=True)
        assert "parte un messaggio alla volta" in look(administrator)
        lane.update(is_half_open=False, paused_until=now + timedelta(minutes=9))
        assert "IO ha chiesto di aspettare" in look(administrator)
        lane.update(paused_until=None, rate_factor=0.5, slowed_until=now + timedelta(minutes=9))
        assert "500 chiamate al secondo, invece di 1.000" in look(administrator)

    def test_what_a_person_must_look_at(self, administrator: Visitor, instance: ServiceInstance) -> None:
        now = the_databases_present()
        factories.message_in(Delivery.UNCERTAIN, instance=instance)
        factories.message(instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
        factories.message_in(Delivery.SENT, instance=instance)
        factories.message_in(Delivery.SENDING, instance=instance, lease_until=now - timedelta(minutes=9))
        factories.message_in(Delivery.ACCEPTED, instance=instance, next_poll_at=now - timedelta(minutes=40))
        IOService.objects.filter(pk=instance.io_service_id).update(
            suspended_at=now, suspended_reason=SuspensionReason.PERMISSION_MISSING
        )
        page = look(administrator)
        for words in (
            "1 messaggio con esito incerto",
            "1 messaggio da parte",
            "1 messaggio preso in carico da IO e senza più notizie",
            "1 richiesta senza risposta",
            "1 servizio IO sospeso",
            "in ritardo di 40 minuti",
        ):
            assert words in page
        for link in administrator.main.one(class_="to-look-at").all("a"):
            administrator.open(link.attributes["href"])

    def test_nothing_of_a_message(self, administrator: Visitor, instance: ServiceInstance) -> None:
        for state in Delivery:
            factories.message_in(state, instance=instance)
        page = look(administrator)
        for secret in (*factories.messages.CODES, factories.messages.SUBJECT, "key-of-the-tests"):
            assert secret not in page


class TestWhetherAnybodyIsAtWork:
    def test_how_old_the_last_round_is(self, administrator: Visitor) -> None:
        ticked(2)
        assert "Attivo L’ultimo giro di invio è di" in look(administrator)

    def test_nobody_sends(self, administrator: Visitor) -> None:
        ticked(240)
        page = look(administrator)
        assert "Nessun processo di invio è attivo da 4 minuti." in page
        assert "Avvisa chi gestisce la piattaforma." in page
        assert "make" not in page

    @pytest.mark.parametrize(("redis", "command"), [("redis://127.0.0.1:6379/0", "make worker"), ("", "make run")])
    def test_platform_staff_are_told_what_to_start(
        self, staff: User, administrator: Visitor, settings: Any, redis: str, command: str
    ) -> None:
        settings.REDIS_URL = redis
        ticked(240)
        assert command in look(Visitor(staff))

    def test_nobody_ever_sent(self, administrator: Visitor) -> None:
        Heartbeat.objects.all().delete()
        assert "Nessun processo di invio è mai partito." in look(administrator)

    @pytest.mark.parametrize(("name", "words"), [("poll", "chiede a IO notizie"), ("sweep", "senza risposta")])
    def test_nobody_does_the_rest(self, administrator: Visitor, name: str, words: str) -> None:
        ticked(240, name)
        assert words in look(administrator)


class TestRefreshing:
    def test_the_part_that_changes_asks_for_itself(self, administrator: Visitor) -> None:
        look(administrator)
        part = administrator.main.one(id_="andamento")
        assert part.attributes["hx-get"].startswith("/stato/?visto=ok")
        assert part.attributes["hx-trigger"] == "every 5s"

    def test_alone_it_is_the_same(self, administrator: Visitor, instance: ServiceInstance) -> None:
        administrator.get("sending", HX_Request="true")
        assert account_of(instance) in administrator.page.text
        assert not administrator.page.all("h1")

    def test_a_change_for_the_worse_is_read_out(self, administrator: Visitor) -> None:
        ticked(240)
        answer = administrator.client.get("/stato/?visto=ok", headers={"HX-Request": "true"}).content.decode()
        assert 'hx-swap-oob="innerHTML:#annuncio">' in answer
        again = administrator.client.get("/stato/?visto=dispatch", headers={"HX-Request": "true"}).content.decode()
        assert "hx-swap-oob" not in again

    def test_a_session_that_is_over_leads_to_the_sign_in(self, visit: Any) -> None:
        answer = visit(None).get("sending", expect=204, HX_Request="true")
        assert "/accesso/" in answer["HX-Redirect"]


def test_costs_the_same_for_many_accounts(administrator: Visitor, staff: User) -> None:
    visitor = Visitor(staff)
    with CaptureQueriesContext(connection) as for_few:
        look(visitor)
    for _ in range(5):
        factories.message()
        factories.message_in(Delivery.UNCERTAIN)
    with CaptureQueriesContext(connection) as for_many:
        look(visitor)
    assert len(for_many) == len(for_few)


def test_the_speed_leaves_out_the_minute_that_has_only_begun() -> None:
    now = the_databases_present()
    counts = [*[0] * 54, 60, 60, 60, 60, 60, 3]
    speed = Speed(tuple(operating.Minute(now, 2 * count, count) for count in counts))
    assert (speed.per_minute, speed.calls_per_second, speed.total) == (60, 2.0, 303)


def test_counts_reach_the_page_from_the_workers(administrator: Visitor, instance: ServiceInstance) -> None:
    tallies._forget()
    for _ in range(12):
        tallies.count_call(instance.io_service.io_account_id, "send", "accepted")
    tallies.flush()
    look(administrator)
    (chart,) = administrator.main.all("svg", class_="chart")
    assert "12, al massimo 12 in un minuto" in chart.attributes["aria-label"]
