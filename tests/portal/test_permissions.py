"""Nobody sees or does what is not theirs: every address, tried by those who may not."""

import pytest
from django.urls import URLPattern, get_resolver

from messaging.models import Message, ServiceInstance
from messaging.states import Delivery, WaitingReason
from tests import factories
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db

# "invitation" opens to whoever has the link: tests/api/test_invitation.py.
PUBLIC = {"login", "logout", "invitation", "set_language", "guide", "states", "accessibility", "privacy"}
# Route -> the state in which the question makes sense.
OF_ONE_MESSAGE = {
    "message": Delivery.SENT,
    "progress": Delivery.SENT,
    "reveal": Delivery.SENT,
    "cancel": Delivery.SCHEDULED,
    "arrived": Delivery.UNCERTAIN,
    "resend": Delivery.UNCERTAIN,
    "requeue": Delivery.SCHEDULED,
    "approval": Delivery.PENDING_APPROVAL,
    "compose_choose": Delivery.DRAFT,
    "compose_content": Delivery.DRAFT,
    "compose_preview": Delivery.DRAFT,
    "compose_confirm": Delivery.DRAFT,
}
# Route -> who among those who see the message may open it.
MAY = {
    "reveal": {"sender", "approver"},
    "cancel": {"sender"},
    "arrived": {"sender"},
    "resend": {"sender"},
    "requeue": {"sender"},
    "approval": {"approver"},
    "compose_choose": {"editor", "sender"},
    "compose_content": {"editor", "sender"},
    "compose_preview": {"editor", "sender"},
    "compose_confirm": {"editor", "sender"},
}
POSTED = {"reveal", "compose_preview"}
WATCHERS = ["viewer", "editor", "sender", "approver", "administrator"]


def subject(route: str, cast: factories.Cast) -> Message:
    more = {"waiting_reason": WaitingReason.SET_ASIDE} if route == "requeue" else {}
    return factories.message_in(OF_ONE_MESSAGE[route], instance=cast.instance, **more)


def status(visitor: Visitor, route: str, pk: int) -> int:
    send = visitor.client.post if route in POSTED else visitor.client.get
    return int(send(address(route, pk)).status_code)


def test_every_route_is_public_or_of_one_message_or_known_here() -> None:
    names = {pattern.name for pattern in get_resolver("portal.urls").url_patterns if isinstance(pattern, URLPattern)}
    assert names == PUBLIC | set(OF_ONE_MESSAGE) | {
        "home",
        "messages",
        "search_recipient",
        "uncertain",
        "many_arrived",
        "many_resend",
        "doubt_rule",
        "compose",
        # tests/portal/test_cancelling_many.py
        "cancel_many",
        "cancelled",
        # tests/portal/test_sending_hours.py
        "organizations",
        "sending_hours",
        "io_services",
        # Of one IO service: tests/portal/test_io_service_page.py.
        "io_service",
        "prove_key",
        "switch_key",
        "enter_key",
        "resume",
        # tests/portal/test_sending_state.py
        "sending",
    }


@pytest.mark.parametrize(
    "route",
    [
        "home",
        "messages",
        "search_recipient",
        "uncertain",
        "compose",
        "io_services",
        "cancel_many",
        "cancelled",
        "organizations",
        "sending",
    ],
)
def test_nobody_enters_without_signing_in(route: str) -> None:
    Visitor().get(route, expect=302)
    Visitor().post(route, expect=302)


@pytest.mark.parametrize("route", sorted(OF_ONE_MESSAGE))
def test_nobody_opens_a_message_without_signing_in(cast: factories.Cast, route: str) -> None:
    row = subject(route, cast)
    for response in (Visitor().get(route, row.pk, expect=302), Visitor().post(route, row.pk, expect=302)):
        assert response["Location"].startswith(address("login"))


@pytest.mark.parametrize("route", sorted(OF_ONE_MESSAGE))
def test_a_message_of_another_ente_does_not_exist(cast: factories.Cast, route: str) -> None:
    row = subject(route, cast)
    stranger = Visitor(cast.stranger)
    assert stranger.client.get(address(route, row.pk)).status_code in (404, 405)
    assert stranger.client.post(address(route, row.pk)).status_code in (404, 405)
    assert status(stranger, route, row.pk) == 404
    row.refresh_from_db()
    assert row.delivery_state == OF_ONE_MESSAGE[route]
    assert not row.events.exists()


@pytest.mark.parametrize("role", WATCHERS)
@pytest.mark.parametrize("route", sorted(MAY))
def test_each_role_does_only_what_it_may(cast: factories.Cast, route: str, role: str) -> None:
    row = subject(route, cast)
    expected = {200, 302} if role in MAY[route] else {403}
    assert status(Visitor(getattr(cast, role)), route, row.pk) in expected
    if expected == {403}:
        assert not row.events.exists()


@pytest.mark.parametrize("role", WATCHERS)
def test_all_who_see_messages_may_open_one(cast: factories.Cast, role: str) -> None:
    row = subject("message", cast)
    Visitor(getattr(cast, role)).get("message", row.pk)


def test_configuring_gives_no_right_to_read_messages(cast: factories.Cast) -> None:
    row = subject("message", cast)
    visitor = Visitor(cast.configurator)
    visitor.get("messages", expect=403)
    assert status(visitor, "message", row.pk) == 404


def test_being_platform_staff_gives_no_right_to_read_messages(cast: factories.Cast) -> None:
    row = subject("message", cast)
    visitor = Visitor(factories.user(is_staff=True, is_superuser=True))
    visitor.get("messages", expect=403)
    assert status(visitor, "message", row.pk) == 404


def test_a_right_on_the_ente_and_another_on_the_service_are_not_one_on_both(
    cast: factories.Cast, elsewhere: ServiceInstance
) -> None:
    from registry.models import Role

    person = factories.user()
    factories.grant(
        person,
        Role.SENDER,
        organizations=(cast.instance.organization,),
        services=(elsewhere.service,),
    )
    factories.grant(
        person,
        Role.SENDER,
        organizations=(elsewhere.organization,),
        services=(cast.instance.service,),
    )
    row = subject("message", cast)
    assert status(Visitor(person), "message", row.pk) == 404


def test_the_page_of_a_missing_role_names_it_and_who_gives_it(cast: factories.Cast) -> None:
    row = subject("resend", cast)
    visitor = Visitor(cast.viewer)
    visitor.get("resend", row.pk, expect=403)
    assert "serve il ruolo Invio" in visitor.main.text
    assert "personale della piattaforma" in visitor.main.text


def test_a_post_without_its_token_is_refused_and_explained(cast: factories.Cast) -> None:
    from django.test import Client

    row = subject("cancel", cast)
    visitor = Visitor(cast.sender, client=Client(enforce_csrf_checks=True))
    assert visitor.client.post(address("cancel", row.pk)).status_code == 403
    row.refresh_from_db()
    assert row.delivery_state == Delivery.SCHEDULED
