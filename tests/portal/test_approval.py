"""Four eyes: another person reads what will leave and says yes or no."""

from typing import Any

import pytest
from django.utils import timezone

from messaging import deciding
from messaging.models import EventKind, Message
from messaging.states import Delivery
from registry.models import ApprovalRule, Role
from tests import factories
from tests.factories.messages import MARKDOWN
from tests.portal.composing import confirm, start, write
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


@pytest.fixture
def pending(cast: factories.Cast) -> Message:
    warnings = [{"code": "x", "pointer": "", "detail": "Da leggere con attenzione."}]
    return factories.message_in(
        Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.sender, content={"warnings": warnings}
    )


@pytest.fixture
def approver(cast: factories.Cast) -> Visitor:
    return Visitor(cast.approver)


def read_by(visitor: Visitor, message: Message) -> str:
    """Opens the page; returns what its buttons hand back of it, the same for yes and no."""
    visitor.get("approval", message.pk)
    (read,) = {one.attributes["value"] for one in visitor.main.all("input", name="letto")}
    return read


def approve(visitor: Visitor, message: Message) -> Any:
    """Reads the page and presses yes."""
    read = read_by(visitor, message)
    return visitor.post("approval", message.pk, data={"decisione": "si", "letto": read})


def refuse(visitor: Visitor, message: Message, reason: str) -> Any:
    """Reads the page and presses no."""
    read = read_by(visitor, message)
    return visitor.post("approval", message.pk, data={"decisione": "no", "motivo": reason, "letto": read})


def test_shows_all_that_will_leave(cast: factories.Cast, approver: Visitor, pending: Message) -> None:
    approver.get("approval", pending.pk)
    assert MARKDOWN in approver.main.one(class_="phone").text
    assert "Da leggere con attenzione." in approver.main.text
    assert cast.sender.full_name in approver.main.text
    assert pending.taxcode not in approver.main.text


def test_the_code_can_be_read_whole_and_the_look_is_on_record(
    cast: factories.Cast, approver: Visitor, pending: Message
) -> None:
    approver.get("approval", pending.pk)
    assert "Mostra per intero" in approver.actions
    approver.post("reveal", pending.pk, expect=200, HX_Request="true")
    assert pending.taxcode in approver.page.text
    event = pending.events.latest("pk")
    assert (event.kind, event.actor) == (EventKind.REVEALED, cast.approver)
    approve(approver, pending)
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.SCHEDULED


def test_yes_lets_it_leave(cast: factories.Cast, approver: Visitor, pending: Message) -> None:
    approve(approver, pending)
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.SCHEDULED
    event = pending.events.latest("pk")
    assert (event.kind, event.actor) == (EventKind.APPROVED, cast.approver)


def test_no_gives_it_back_as_a_draft_with_the_reason(cast: factories.Cast, approver: Visitor, pending: Message) -> None:
    refuse(approver, pending, "La data è sbagliata")
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.DRAFT
    sender = Visitor(cast.sender)
    sender.get("message", pending.pk)
    assert "La data è sbagliata" in sender.main.text


def test_no_needs_a_reason(approver: Visitor, pending: Message) -> None:
    approver.post("approval", pending.pk, data={"decisione": "no", "motivo": ""}, expect=422)
    assert approver.errors
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.PENDING_APPROVAL


def test_without_a_decision_nothing_happens(approver: Visitor, pending: Message) -> None:
    approver.post("approval", pending.pk, expect=200)
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.PENDING_APPROVAL


def test_nobody_approves_what_they_prepared(cast: factories.Cast) -> None:
    own = factories.message_in(Delivery.PENDING_APPROVAL, instance=cast.instance, sender=cast.approver)
    approver = Visitor(cast.approver)
    approver.get("approval", own.pk)
    assert "Approva 1 messaggio" not in approver.actions
    read = deciding.reading_of(own)
    approver.follow(approver.post("approval", own.pk, data={"decisione": "si", "letto": read}))
    assert "deve approvarlo un’altra persona" in approver.main.text
    own.refresh_from_db()
    assert own.delivery_state == Delivery.PENDING_APPROVAL


def test_what_changed_since_it_was_read_must_be_read_again(approver: Visitor, pending: Message) -> None:
    read = read_by(approver, pending)
    Message.objects.filter(pk=pending.pk).update(updated_at=timezone.now())
    response = approver.post("approval", pending.pk, data={"decisione": "si", "letto": read})
    assert response["Location"] == address("approval", pending.pk)
    approver.follow(response)
    assert "cambiato mentre lo leggevi" in approver.main.text
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.PENDING_APPROVAL


@pytest.mark.parametrize("decision", ["si", "no"])
def test_a_second_decision_changes_nothing(approver: Visitor, pending: Message, decision: str) -> None:
    approve(approver, pending)
    approver.follow(approver.post("approval", pending.pk, data={"decisione": decision, "motivo": "x"}))
    assert "non attende più un’approvazione" in approver.main.text
    pending.refresh_from_db()
    assert pending.delivery_state == Delivery.SCHEDULED


class TestGivenBack:
    """A message refused by its approver is written again, whoever made it."""

    def rewritten(self, cast: factories.Cast, message: Message) -> Message:
        """Refused, opened again, and confirmed with what the form then holds."""
        refuse(Visitor(cast.approver), message, "Rileggi")
        sender = Visitor(cast.sender)
        sender.get("compose_content", message.pk)
        form = sender.typed_in(sender.main.one("form", id="componi"))
        response = sender.post("compose_content", message.pk, data={**form, "azione": "continua"})
        assert response["Location"] == address("compose_confirm", message.pk)
        confirm(sender, message)
        message.refresh_from_db()
        return message

    @pytest.fixture(autouse=True)
    def _with_approval(self, cast: factories.Cast) -> None:
        ente = cast.instance.organization
        ente.approval = ApprovalRule.ALWAYS
        ente.save(update_fields=["approval"])

    def test_from_the_portal_it_opens_as_it_was_typed(self, cast: factories.Cast, sender: Visitor) -> None:
        draft = start(sender, cast.instance)
        write(sender, draft, non_valido_dopo="on", quando="data", quando_data="2099-07-06", quando_ora="09:00")
        confirm(sender, draft)
        before = Message.objects.select_related("content").get(pk=draft.pk)
        after = self.rewritten(cast, draft)
        assert after.delivery_state == Delivery.PENDING_APPROVAL
        self.assert_same(before, after)

    def test_from_the_api_it_opens_with_the_same_values(self, cast: factories.Cast) -> None:
        from datetime import UTC, datetime

        from messaging.composing import compose
        from registry.models import AmountUnit

        data = {
            "taxcode": "RSSMRA80A01H501U",
            "due_date": "2099-10-25T00:30:00Z",
            "scheduled_expedition_date": "2099-07-06T07:00:00Z",
            "payment": {
                "amount": 6212,
                "notice_number": "300012548634478200",
                "invalid_after_due_date": True,
                "payee_taxcode": "10000000001",
            },
            "placeholders": [{"name": "cie", "value": "CA000000AA"}],
        }
        at = datetime(2026, 1, 1, tzinfo=UTC)
        message = compose(data, instance=cast.instance, by=cast.sender, amount_unit=AmountUnit.CENTS, at=at).message
        before = Message.objects.select_related("content").get(pk=message.pk)
        self.assert_same(before, self.rewritten(cast, message))

    @staticmethod
    def assert_same(before: Message, after: Message) -> None:
        for name in ("taxcode", "due_date", "scheduled_at"):
            assert getattr(before, name) == getattr(after, name)
        for name in (
            "subject",
            "markdown",
            "amount_cents",
            "notice_number",
            "invalid_after_due_date",
            "payee_taxcode",
            "values",
        ):
            assert getattr(before.content, name) == getattr(after.content, name)


def test_the_role_is_needed_on_the_ente_and_the_service_of_the_message(cast: factories.Cast, pending: Message) -> None:
    elsewhere = factories.user()
    factories.grant(elsewhere, Role.APPROVER, organizations=(cast.instance.organization,))
    Visitor(elsewhere).get("approval", pending.pk, expect=404)
