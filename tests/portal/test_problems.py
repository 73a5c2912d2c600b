"""The first lines of the list say in words what needs a person."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.models import ServiceInstance
from messaging.states import Delivery, WaitingReason
from tests import factories
from tests.portal.test_decisions import suspended
from tests.portal.test_message_list import chips, shown
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def problems(visitor: Visitor) -> list[str]:
    visitor.get("messages")
    return [alert.text for alert in visitor.main.all(class_="alert")]


def test_when_all_is_well_nothing_is_said(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance)
    assert problems(sender) == []


def test_a_suspended_service_says_why_how_many_wait_and_who_can_act(cast: factories.Cast, sender: Visitor) -> None:
    suspended(cast.instance.io_service)
    factories.message(instance=cast.instance)
    (said,) = problems(sender)
    assert f"L’invio di {cast.instance.service.service_name} è sospeso: 1 messaggio resta in coda." in said
    assert "IO rifiuta la chiave (401)" in said
    assert "il personale della piattaforma ne inserisce una valida" in said
    assert "chi ha il ruolo Configurazione riprende l'invio" in said


def test_whoever_can_resume_finds_the_way(cast: factories.Cast) -> None:
    from registry.models import Role

    suspended(cast.instance.io_service)
    factories.grant(
        cast.sender, Role.CONFIGURATOR, organizations=(cast.instance.organization,), services=(cast.instance.service,)
    )
    visitor = Visitor(cast.sender)
    visitor.get("messages")
    assert visitor.main.all("a", href=address("resume", cast.instance.io_service.pk))


def test_an_open_breaker_is_told_only_while_something_due_waits_for_it(cast: factories.Cast, sender: Visitor) -> None:
    lane = cast.instance.io_service.io_account.lane
    lane.opened_at = timezone.now() - timedelta(days=3)
    lane.save()
    factories.message(instance=cast.instance, scheduled_at=timezone.now() + timedelta(days=1))
    factories.message_in(Delivery.PROCESSED, instance=cast.instance)
    assert problems(sender) == []


def test_an_open_breaker_says_that_nothing_is_to_be_done(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance, waiting_reason=WaitingReason.UNAVAILABLE)
    lane = cast.instance.io_service.io_account.lane
    lane.opened_at = timezone.now()
    lane.save()
    (said,) = problems(sender)
    assert "IO ha smesso di rispondere oggi alle" in said
    assert "non devi fare nulla" in said


def test_doubts_lead_to_their_page(cast: factories.Cast, sender: Visitor) -> None:
    for _ in range(2):
        factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
    (said,) = problems(sender)
    assert "2 messaggi hanno un esito incerto" in said
    assert sender.main.one(class_="alert").one("a").attributes["href"] == address("uncertain")


def test_messages_set_aside_lead_to_their_list(cast: factories.Cast, sender: Visitor) -> None:
    aside = factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
    factories.message(instance=cast.instance)
    (said,) = problems(sender)
    assert "1 messaggio è da parte" in said
    sender.open(sender.main.one(class_="alert").one("a").attributes["href"])
    assert shown(sender) == [aside.pk]
    assert chips(sender)[0].startswith("In attesa:")


def test_what_waits_for_ones_own_yes_is_said_to_approvers_alone(cast: factories.Cast, sender: Visitor) -> None:
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
    suspended(elsewhere.io_service)
    lane = elsewhere.io_service.io_account.lane
    lane.opened_at = timezone.now()
    lane.save()
    factories.message_in(Delivery.UNCERTAIN, instance=elsewhere)
    factories.message(instance=elsewhere, waiting_reason=WaitingReason.SET_ASIDE)
    assert problems(sender) == []
