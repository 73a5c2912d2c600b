"""The first lines of the list say in words what needs a person, and what mends itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.models import IOService, ServiceInstance, SuspensionReason
from messaging.states import Delivery, WaitingReason
from portal import io_services
from portal.problems import problems_of
from registry.models import Lane, Role, User
from tests import factories
from tests.portal.test_decisions import suspended
from tests.portal.test_message_list import chips, shown
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def problems(visitor: Visitor) -> list[str]:
    visitor.get("messages")
    return [alert.text for alert in visitor.main.all(class_="alert")]


def links(visitor: Visitor) -> list[str]:
    return [link.attributes["href"] for alert in visitor.main.all(class_="alert") for link in alert.all("a")]


def lane(instance: ServiceInstance, **fields: Any) -> Lane:
    """The lane of its account, with these columns."""
    row = instance.io_service.io_account.lane
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    return row


def configuring(cast: factories.Cast) -> Visitor:
    """The sender, who may also configure."""
    factories.grant(
        cast.sender, Role.CONFIGURATOR, organizations=(cast.instance.organization,), services=(cast.instance.service,)
    )
    return Visitor(cast.sender)


def test_when_all_is_well_nothing_is_said(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance)
    assert problems(sender) == []


class TestSuspended:
    def test_says_since_when_why_how_many_wait_and_who_can_act(self, cast: factories.Cast, sender: Visitor) -> None:
        suspended(cast.instance.io_service)
        factories.message(instance=cast.instance)
        (said,) = problems(sender)
        assert f"L’invio di {cast.instance.service.service_name} è sospeso da oggi alle " in said
        assert ": 1 messaggio resta in coda." in said
        assert "IO rifiuta la chiave API (401)." in said
        assert "Chi ha il ruolo Configurazione inserisce una chiave valida e riprende l’invio" in said
        assert links(sender) == []

    def test_whoever_can_mend_it_is_told_how_and_finds_the_way(self, cast: factories.Cast) -> None:
        suspended(cast.instance.io_service)
        visitor = configuring(cast)
        (said,) = problems(visitor)
        assert "Inserisci una chiave valida o passa all’altra, provala, poi riprendi l’invio." in said
        assert links(visitor) == [address("io_service", cast.instance.io_service.pk)]

    def test_whoever_configures_only_some_of_its_uses_is_sent_to_nobody_s_button(self, cast: factories.Cast) -> None:
        suspended(cast.instance.io_service)
        factories.service_instance(organization=cast.instance.organization, io_service=cast.instance.io_service)
        visitor = configuring(cast)
        (said,) = problems(visitor)
        assert "Chi ha il ruolo Configurazione" in said
        assert links(visitor) == []

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            (SuspensionReason.PERMISSION_MISSING, "IO nega il permesso (403)"),
            (SuspensionReason.REFUSALS_IN_ROW, "più destinatari di fila senza un motivo chiaro"),
        ],
    )
    def test_every_reason_has_its_words(
        self, cast: factories.Cast, sender: Visitor, reason: SuspensionReason, words: str
    ) -> None:
        suspended(cast.instance.io_service)
        IOService.objects.filter(pk=cast.instance.io_service.pk).update(suspended_reason=reason)
        (said,) = problems(sender)
        assert words in said

    def test_a_missing_key_is_not_called_a_refusal_of_io(self, cast: factories.Cast, sender: Visitor) -> None:
        suspended(cast.instance.io_service)
        IOService.objects.filter(pk=cast.instance.io_service.pk).update(suspended_detail="Nessuna chiave inserita.")
        (said,) = problems(sender)
        assert "Nessuna chiave inserita." in said
        assert "401" not in said

    def test_only_what_the_reader_may_see_is_counted_and_what_is_set_aside_is_not(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        suspended(cast.instance.io_service)
        factories.message(instance=cast.instance)
        factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        unseen = factories.service_instance(io_service=cast.instance.io_service)
        factories.message(instance=unseen)
        assert "1 messaggio resta in coda" in problems(sender)[0]

    def test_counting_stops_at_a_thousand(
        self, cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(io_services, "COUNTED", 2)
        suspended(cast.instance.io_service)
        for _ in range(4):
            factories.message(instance=cast.instance)
        assert io_services.count_waiting(cast.instance.io_service, [cast.instance.pk]) == 3
        assert "oltre 2 messaggi restano in coda" in problems(sender)[0]

    def test_beyond_three_the_others_share_a_line(self, cast: factories.Cast, sender: Visitor) -> None:
        for _ in range(5):
            other = factories.service_instance(organization=cast.instance.organization, service=cast.instance.service)
            suspended(other.io_service)
        said = problems(sender)
        assert len(said) == 4
        assert "È sospeso anche l’invio di altri 2 servizi IO." in said[3]


class TestBreaker:
    def test_an_open_one_is_told_only_while_something_due_waits_for_it(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        lane(cast.instance, opened_at=timezone.now() - timedelta(days=3))
        tomorrow = timezone.now() + timedelta(days=1)
        factories.message(instance=cast.instance, scheduled_at=tomorrow, not_before=tomorrow)
        factories.message_in(Delivery.PROCESSED, instance=cast.instance)
        assert problems(sender) == []

    def test_an_open_one_says_since_when_and_that_nothing_is_to_be_done(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        factories.message(instance=cast.instance, waiting_reason=WaitingReason.UNAVAILABLE)
        lane(cast.instance, opened_at=timezone.now())
        (said,) = problems(sender)
        assert "IO non risponde, o risponde con errori, da oggi alle" in said
        assert "Lo richiamiamo da soli a intervalli" in said
        assert "Non devi fare nulla." in said
        assert links(sender) == []

    def test_an_open_one_says_when_io_is_called_next(self, cast: factories.Cast, sender: Visitor) -> None:
        now = timezone.now()
        factories.message(instance=cast.instance, not_before=now + timedelta(minutes=5))
        lane(cast.instance, opened_at=now - timedelta(hours=1), probe_at=now + timedelta(seconds=30))
        (said,) = problems(sender)
        assert "Lo richiamiamo da soli fra pochi secondi" in said

    def test_a_half_open_one_says_that_sending_starts_again(self, cast: factories.Cast, sender: Visitor) -> None:
        factories.message(instance=cast.instance)
        lane(cast.instance, is_half_open=True)
        (said,) = problems(sender)
        assert "IO ha ripreso a rispondere: ripartiamo un messaggio alla volta." in said

    def test_whose_messages_wait_for_a_suspended_service_hears_of_that_alone(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        suspended(cast.instance.io_service)
        factories.message(instance=cast.instance)
        lane(cast.instance, opened_at=timezone.now())
        (said,) = problems(sender)
        assert "è sospeso" in said


class TestPace:
    def test_a_pause_says_until_when(self, cast: factories.Cast, sender: Visitor) -> None:
        factories.message(instance=cast.instance)
        until = timezone.now() + timedelta(minutes=20)
        lane(cast.instance, paused_until=until, slowed_until=until + timedelta(minutes=1), rate_factor=0.5)
        (said,) = problems(sender)
        assert f"IO ha chiesto di rallentare fino alle {timezone.localtime(until):%-H:%M}." in said
        assert "ripartono da soli" in said

    def test_a_short_pause_is_a_matter_of_seconds(self, cast: factories.Cast, sender: Visitor) -> None:
        factories.message(instance=cast.instance)
        lane(cast.instance, paused_until=timezone.now() + timedelta(seconds=20))
        assert "IO ha chiesto di rallentare ancora per qualche secondo." in problems(sender)[0]

    def test_a_lower_pace_is_told_with_both_rates(self, cast: factories.Cast, sender: Visitor) -> None:
        factories.message(instance=cast.instance)
        lane(cast.instance, slowed_until=timezone.now() + timedelta(hours=1), rate_factor=0.25)
        (said,) = problems(sender)
        assert "Inviamo più piano, 250 chiamate al secondo invece di 1.000" in said

    def test_with_nothing_waiting_neither_is_told(self, cast: factories.Cast, sender: Visitor) -> None:
        later = timezone.now() + timedelta(hours=1)
        lane(cast.instance, paused_until=later, slowed_until=later, rate_factor=0.5)
        assert problems(sender) == []


class TestNews:
    def followed(self, instance: ServiceInstance, *, due: datetime) -> None:
        factories.message_in(Delivery.SENT, instance=instance, next_poll_at=due)

    def test_late_ones_are_told_with_how_late(self, cast: factories.Cast, sender: Visitor) -> None:
        self.followed(cast.instance, due=timezone.now() - timedelta(hours=2, minutes=10))
        (said,) = problems(sender)
        assert "Le notizie da IO sono in ritardo di 2 ore" in said
        assert "Le chiediamo da soli" in said

    @pytest.mark.parametrize("minutes", [-60, 5, 25])
    def test_those_not_due_or_due_a_moment_ago_are_not(
        self, cast: factories.Cast, sender: Visitor, minutes: int
    ) -> None:
        self.followed(cast.instance, due=timezone.now() - timedelta(minutes=minutes))
        assert problems(sender) == []

    def test_those_that_wait_for_a_refused_key_are_explained_by_it(self, cast: factories.Cast, sender: Visitor) -> None:
        suspended(cast.instance.io_service)
        self.followed(cast.instance, due=timezone.now() - timedelta(hours=2))
        (said,) = problems(sender)
        assert "è sospeso" in said


class TestSeveralAccounts:
    def seen_too(self, cast: factories.Cast) -> ServiceInstance:
        """A second service instance, of another account, that the cast sees as well."""
        return factories.service_instance(organization=cast.instance.organization, service=cast.instance.service)

    def test_the_one_in_trouble_is_named(self, cast: factories.Cast, sender: Visitor) -> None:
        self.seen_too(cast)
        factories.message(instance=cast.instance)
        lane(cast.instance, opened_at=timezone.now())
        (said,) = problems(sender)
        assert f"Account IO: {cast.instance.io_service.io_account.name}." in said

    def test_several_in_the_same_trouble_share_a_line_since_the_first(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        for days, instance in enumerate([cast.instance, self.seen_too(cast), self.seen_too(cast), self.seen_too(cast)]):
            factories.message(instance=instance)
            lane(instance, opened_at=timezone.now() - timedelta(days=days % 2))
        (said,) = problems(sender)
        assert "IO non risponde, o risponde con errori, da ieri alle" in said
        assert "Riguarda 4 account IO." in said


class TestForAPerson:
    def test_doubts_lead_to_their_page(self, cast: factories.Cast, sender: Visitor) -> None:
        for _ in range(2):
            factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        (said,) = problems(sender)
        assert "2 messaggi hanno un esito incerto" in said
        assert "decidi tu" in said
        assert links(sender) == [address("uncertain")]

    def test_whoever_may_not_decide_is_told_who_does(self, cast: factories.Cast) -> None:
        factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        aside, doubts = problems(Visitor(cast.viewer))
        assert "li rimette in coda chi ha il ruolo Invio" in aside
        assert "decide chi ha il ruolo Invio" in doubts

    def test_messages_set_aside_lead_to_their_list(self, cast: factories.Cast, sender: Visitor) -> None:
        aside = factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        factories.message(instance=cast.instance)
        (said,) = problems(sender)
        assert "1 messaggio è da parte" in said
        assert "poi rimettili in coda" in said
        sender.open(sender.main.one(class_="alert").one("a").attributes["href"])
        assert shown(sender) == [aside.pk]
        assert chips(sender)[0].startswith("In attesa:")

    def test_what_waits_for_ones_own_yes_is_said_to_approvers_alone(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        pending = factories.message_in(Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.sender)
        factories.message_in(Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.approver)
        assert problems(sender) == []
        approver = Visitor(cast.approver)
        (said,) = problems(approver)
        assert "1 messaggio attende la tua approvazione." in said
        approver.open(approver.main.one(class_="alert").one("a").attributes["href"])
        assert pending.pk in shown(approver)


def test_the_troubles_of_another_ente_are_not_told(
    cast: factories.Cast, sender: Visitor, elsewhere: ServiceInstance
) -> None:
    factories.message(instance=elsewhere)
    factories.message_in(Delivery.SENT, instance=elsewhere, next_poll_at=timezone.now() - timedelta(days=1))
    lane(elsewhere, opened_at=timezone.now())
    suspended(elsewhere.io_service)
    factories.message_in(Delivery.UNCERTAIN, instance=elsewhere)
    factories.message(instance=elsewhere, waiting_reason=WaitingReason.SET_ASIDE)
    assert problems(sender) == []


def test_the_account_s_trouble_is_not_told_to_whom_it_holds_up_nothing(
    cast: factories.Cast, sender: Visitor, elsewhere: ServiceInstance
) -> None:
    """The account is shared, and what waits for it is another ente's."""
    sharing = factories.service_instance(
        io_service=factories.io_service(io_account=cast.instance.io_service.io_account)
    )
    factories.message(instance=sharing)
    lane(cast.instance, opened_at=timezone.now())
    assert problems(sender) == []


class TestCost:
    def all_wrong(self, cast: factories.Cast, *, services: int) -> User:
        """Everything that can be told, for somebody who has every role."""
        for role in Role:
            factories.grant(
                cast.viewer, role, organizations=(cast.instance.organization,), services=(cast.instance.service,)
            )
        now = timezone.now()
        for number in range(services):
            one = factories.service_instance(organization=cast.instance.organization, service=cast.instance.service)
            factories.message(instance=one)
            factories.message_in(Delivery.SENT, instance=one, next_poll_at=now - timedelta(hours=1))
            factories.message_in(Delivery.UNCERTAIN, instance=one)
            factories.message_in(Delivery.PENDING_APPROVAL, instance=one)
            factories.message(instance=one, waiting_reason=WaitingReason.SET_ASIDE)
            match number % 5:
                case 0:
                    suspended(one.io_service)
                case 1:
                    lane(one, opened_at=now)
                case 2:
                    lane(one, is_half_open=True)
                case 3:
                    lane(one, paused_until=now + timedelta(hours=1))
                case 4:
                    lane(one, slowed_until=now + timedelta(hours=1), rate_factor=0.5)
        return cast.viewer

    def test_thirteen_queries_at_most_however_much_is_wrong(
        self, cast: factories.Cast, django_assert_max_num_queries: Callable[..., Any]
    ) -> None:
        user = self.all_wrong(cast, services=25)
        with django_assert_max_num_queries(13):
            told = problems_of(user)
        assert len(told) == 3 + 1 + 5 + 3

    def test_the_heaviest_come_first(self, cast: factories.Cast) -> None:
        user = self.all_wrong(cast, services=5)
        kinds = [problem.kind for problem in problems_of(user)]
        assert kinds[0] == "danger"
        assert kinds[-1] == "info"

    @pytest.mark.postgresql
    def test_counting_what_waits_goes_by_the_queue_s_index(self, cast: factories.Cast) -> None:
        """Down to the service instance: what other services of the account have waiting is not walked."""
        from django.db import connection

        from messaging.models import Message

        # What has ended outnumbers what waits, as it does after the first day.
        ended = factories.message_in(Delivery.CANCELLED, instance=cast.instance)
        columns = {field.attname: getattr(ended, field.attname) for field in Message._meta.fields if field.name != "id"}
        Message.objects.bulk_create(Message(**columns) for _ in range(2000))
        factories.message(instance=cast.instance)
        waiting = Message.objects.waiting().filter(
            io_account=cast.instance.io_service.io_account_id, service_instance__in=[cast.instance.pk]
        )
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE messaging_message")
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        plan = waiting.order_by()[: io_services.COUNTED + 1].explain()
        assert "message_queue" in plan
        condition = next(line for line in plan.splitlines() if "Index Cond" in line)
        assert "io_account_id" in condition
        assert "service_instance_id" in condition
