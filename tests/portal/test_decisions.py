"""A person decides about one message: cancel it, settle a doubt, put it back in the queue, resume a service."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.models import EventKind, IOService, Message, ServiceInstance, SuspensionReason
from messaging.states import CANCELLABLE, Delivery, WaitingReason
from registry.models import Organization, Role
from tests import factories
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def last_event(row: Message) -> tuple[str, str, object]:
    event = row.events.latest("pk")
    return event.kind, event.data.get("reason", ""), event.actor


class TestCancel:
    @pytest.mark.parametrize("state", sorted(CANCELLABLE - {Delivery.DRAFT}))
    def test_stops_what_has_not_left_after_asking(self, cast: factories.Cast, sender: Visitor, state: Delivery) -> None:
        row = factories.message_in(state, instance=cast.instance)
        sender.get("cancel", row.pk)
        assert "Annulla 1 messaggio" in sender.actions
        row.refresh_from_db()
        assert row.delivery_state == state

        response = sender.post("cancel", row.pk, data={"motivo": "Numero sbagliato"})

        row.refresh_from_db()
        assert row.delivery_state == Delivery.CANCELLED
        assert last_event(row) == (EventKind.CANCELLED, "Numero sbagliato", cast.sender)
        sender.follow(response)
        assert "Messaggio annullato: non partirà." in sender.main.text

    @pytest.mark.parametrize("state", sorted(set(Delivery) - CANCELLABLE))
    def test_too_late_says_so_and_changes_nothing(self, cast: factories.Cast, sender: Visitor, state: Delivery) -> None:
        row = factories.message_in(state, instance=cast.instance)
        response = sender.post("cancel", row.pk)
        row.refresh_from_db()
        assert row.delivery_state == state
        sender.follow(response)
        assert "non abbiamo fatto nulla" in sender.main.text

    def test_who_only_writes_may_delete_a_draft_and_nothing_else(self, cast: factories.Cast) -> None:
        editor = Visitor(cast.editor)
        draft = factories.message_in(Delivery.DRAFT, instance=cast.instance)
        editor.post("cancel", draft.pk)
        draft.refresh_from_db()
        assert draft.delivery_state == Delivery.CANCELLED
        planned = factories.message(instance=cast.instance)
        editor.post("cancel", planned.pk, expect=403)
        planned.refresh_from_db()
        assert planned.delivery_state == Delivery.SCHEDULED


class TestSettle:
    def test_it_arrived(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        sender.get("arrived", row.pk)
        assert sender.main.all("time")
        sender.post("arrived", row.pk, data={"motivo": "Lo vedo nel back office di IO"})
        row.refresh_from_db()
        assert (row.delivery_state, row.is_taken_as_arrived) == (Delivery.SENT, True)
        assert last_event(row) == (EventKind.SETTLED_ARRIVED, "Lo vedo nel back office di IO", cast.sender)

    def test_send_it_again_knowing_that_it_may_double(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        sender.get("resend", row.pk)
        assert "Il cittadino potrebbe averlo già." in sender.main.text
        assert "La scadenza è già passata" not in sender.main.text
        sender.post("resend", row.pk, data={"motivo": "Non risulta su IO", "consapevole": "on"})
        row.refresh_from_db()
        assert row.delivery_state == Delivery.SCHEDULED
        assert last_event(row) == (EventKind.SETTLED_RESEND, "Non risulta su IO", cast.sender)

    def test_says_that_it_is_in_the_queue_and_not_that_it_leaves(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        sender.get("resend", row.pk)
        assert "sospeso" not in sender.main.text
        suspended(cast.instance.io_service).save()
        sender.get("resend", row.pk)
        assert "Il servizio IO è sospeso: partirà dopo che" in sender.main.text
        page = sender.follow(sender.post("resend", row.pk, data={"motivo": "Non risulta", "consapevole": "on"}))
        assert "Rimesso in coda." in page.text
        assert "inviando" not in page.text

    def test_outside_the_sending_hours_says_when_it_will_leave(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        close(cast.instance)
        sender.get("resend", row.pk)
        assert "Fuori dall’orario di invio dell’ente" in sender.main.text

    def test_with_its_connection_switched_off_says_so(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        ServiceInstance.objects.filter(pk=cast.instance.pk).update(enabled=False)
        sender.get("resend", row.pk)
        assert "Il collegamento a IO è disabilitato" in sender.main.text

    @pytest.mark.parametrize("route", ["arrived", "resend"])
    def test_a_reason_with_a_fiscal_code_is_refused(self, cast: factories.Cast, sender: Visitor, route: str) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        data = {"motivo": f"{row.taxcode} lo ha detto", "consapevole": "on"}
        sender.post(route, row.pk, data=data, expect=422)
        assert any("contiene un codice fiscale" in words for words in sender.errors)
        assert not row.events.exists()

    def test_the_number_of_a_message_on_io_is_no_fiscal_code(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        sender.post("arrived", row.pk, data={"motivo": f"Su IO è 01{row.taxcode}0WXYZ"})
        assert last_event(row)[0] == EventKind.SETTLED_ARRIVED

    def test_past_its_due_date_it_will_not_leave_and_the_page_says_so(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        past = timezone.now() - timedelta(minutes=1)
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance, expires_at=past)
        sender.get("resend", row.pk)
        assert "La scadenza è già passata: non partirà" in sender.main.text

    @pytest.mark.parametrize(
        ("route", "data"),
        [
            ("arrived", {}),
            ("arrived", {"motivo": "   "}),
            ("arrived", {"motivo": "x" * 501}),
            ("resend", {"motivo": "Non risulta"}),
            ("resend", {"consapevole": "on"}),
        ],
    )
    def test_without_a_reason_or_the_tick_nothing_happens(
        self, cast: factories.Cast, sender: Visitor, route: str, data: dict[str, str]
    ) -> None:
        row = factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
        sender.post(route, row.pk, data=data, expect=422)
        assert sender.errors
        assert sender.title.startswith("Errore:")
        row.refresh_from_db()
        assert row.delivery_state == Delivery.UNCERTAIN

    @pytest.mark.parametrize("route", ["arrived", "resend"])
    @pytest.mark.parametrize("state", sorted(set(Delivery) - {Delivery.UNCERTAIN}))
    def test_what_is_no_longer_in_doubt_is_left_alone(
        self, cast: factories.Cast, sender: Visitor, route: str, state: Delivery
    ) -> None:
        row = factories.message_in(state, instance=cast.instance)
        response = sender.post(route, row.pk, data={"motivo": "x", "consapevole": "on"})
        assert response["Location"] == address("message", row.pk)
        row.refresh_from_db()
        assert row.delivery_state == state
        assert not row.events.exists()


class TestRequeue:
    def test_one_set_aside_goes_back_after_the_others(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        other = factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        sender.get("requeue", row.pk)
        sender.post("requeue", row.pk)
        row.refresh_from_db()
        other.refresh_from_db()
        assert (row.waiting_reason, other.waiting_reason) == ("", WaitingReason.SET_ASIDE)
        assert last_event(row)[0] == EventKind.REQUEUED

    def test_one_that_is_not_set_aside_is_left_alone(self, cast: factories.Cast, sender: Visitor) -> None:
        row = factories.message(instance=cast.instance)
        sender.follow(sender.post("requeue", row.pk))
        assert "non abbiamo fatto nulla" in sender.main.text


def close(instance: ServiceInstance) -> None:
    """An ente that sends on one day of the week: another than today or tomorrow."""
    day = (timezone.localdate().weekday() + 3) % 7
    Organization.objects.filter(pk=instance.organization_id).update(sending_days=1 << day)


def suspended(io_service: IOService) -> IOService:
    io_service.suspended_at = timezone.now()
    io_service.suspended_reason = SuspensionReason.KEY_REFUSED
    io_service.suspended_detail = "Access denied due to invalid subscription key"
    io_service.save()
    return io_service


class TestIOServices:
    def test_tells_what_stopped_why_and_leads_to_resuming(self, cast: factories.Cast) -> None:
        io_service = suspended(cast.instance.io_service)
        factories.message(instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE)
        visitor = Visitor(cast.configurator)
        visitor.get("io_services")
        for words in (
            cast.instance.service.service_name,
            cast.instance.organization.legal_name,
            io_service.io_account.name,
            "Sospeso",
            "IO rifiuta la chiave API (401).",
            "Parole di IOAccess denied due to invalid subscription key",
            "Messaggi da parte1",
        ):
            assert words in visitor.main.text
        visitor.open(visitor.main.one("a", class_="btn").attributes["href"])
        visitor.follow(visitor.post("resume", io_service.pk))
        assert "In ripresa" in visitor.main.text

    def test_one_that_sends_is_called_active(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.configurator)
        visitor.get("io_services")
        assert [tag.text for tag in visitor.main.all(class_="tag")] == ["Attivo"]
        assert visitor.actions == []

    def test_one_used_by_others_too_is_told_and_cannot_be_resumed(self, cast: factories.Cast) -> None:
        io_service = suspended(cast.instance.io_service)
        factories.service_instance(organization=cast.instance.organization, io_service=io_service)
        visitor = Visitor(cast.configurator)
        visitor.get("io_services")
        assert visitor.actions == []
        assert "che non ti sono assegnati" in visitor.main.text

    def test_those_of_another_ente_are_not_told(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.stranger)
        visitor.get("io_services")
        assert cast.instance.service.service_name not in visitor.main.text

    def test_with_none_says_who_makes_one(self) -> None:
        person = factories.user()
        factories.grant(person, Role.CONFIGURATOR, all_organizations=True, all_services=True)
        visitor = Visitor(person)
        visitor.get("io_services")
        assert "Nessun servizio IO" in visitor.main.text

    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver", "administrator"])
    def test_needs_the_configuring_role(self, cast: factories.Cast, role: str) -> None:
        Visitor(getattr(cast, role)).get("io_services", expect=403)


class TestResume:
    def test_starts_again_and_says_how(self, cast: factories.Cast) -> None:
        io_service = suspended(cast.instance.io_service)
        visitor = Visitor(cast.configurator)
        visitor.get("resume", io_service.pk)
        assert "Access denied due to invalid subscription key" in visitor.main.text
        visitor.post("resume", io_service.pk)
        io_service.refresh_from_db()
        assert io_service.suspended_at is None
        assert io_service.is_probing

    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver", "administrator"])
    def test_needs_the_configuring_role(self, cast: factories.Cast, role: str) -> None:
        io_service = suspended(cast.instance.io_service)
        Visitor(getattr(cast, role)).post("resume", io_service.pk, expect=403)
        io_service.refresh_from_db()
        assert io_service.suspended_at is not None

    def test_needs_it_on_every_use_of_the_io_service(self, cast: factories.Cast) -> None:
        io_service = suspended(cast.instance.io_service)
        factories.service_instance(organization=cast.instance.organization, io_service=io_service)
        Visitor(cast.configurator).get("resume", io_service.pk, expect=404)

    def test_that_of_another_ente_does_not_exist(self, cast: factories.Cast) -> None:
        io_service = suspended(cast.instance.io_service)
        Visitor(cast.stranger).get("resume", io_service.pk, expect=404)

    def test_a_second_time_says_that_it_was_done(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.configurator)
        for _attempt in range(2):
            assert visitor.post("resume", cast.instance.io_service.pk)["Location"] == address("io_services")
