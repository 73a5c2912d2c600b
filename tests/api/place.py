"""A small place where everything that a request can name exists, with known ids, and people with fixed rights on it.

What is in question belongs to ente 1 and service 1 and has the id 1, whatever it is: so a probe of a route, an example
of the OpenAPI document and a call in a page of the documentation can name it, and run as they are written.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client

from messaging.models import Message, ServiceInstance
from messaging.states import Delivery
from registry.models import AmountUnit, Consumer, ConsumerKey, Grant, Organization, Role, Scope, Service, User
from registry.models.consumer import KEY_START, digest_of
from sealed.boxes import Sealed
from templates_app.models import Placeholder, Template
from templates_app.publishing import Use, publish
from tests import factories
from tests.api.integrator import HEADER

ROOT = "/api/v1"
OURS = ("registry", "templates_app", "messaging")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ROLES: tuple[Role, ...] = (
    Role.VIEWER,
    Role.EDITOR,
    Role.SENDER,
    Role.APPROVER,
    Role.CONFIGURATOR,
    Role.ADMINISTRATOR,
)
PLAIN_BODY = "Gentile cittadino, lo sportello resta chiuso lunedì mattina per lavori; riapre martedì alle nove."
# Beside one person for each role on ente 1 and service 1:
STAFF = "staff"  # platform staff, without any grant
STRANGER = "stranger"  # every role on ente 3 and service 3
SPLIT = "split"  # every role on ente 1 with service 2, and every role on ente 2 with service 1
EXPIRED = "expired"  # every role on ente 1 and service 1, until some years ago
NOBODY = "nobody"  # shows no key
CAST = (*(role.value for role in ROLES), STAFF, STRANGER, SPLIT, EXPIRED, NOBODY)
# Has every role on ente 1 and service 1 and is platform staff: what they are refused, their key's scopes refuse.
EVERYTHING = "everything"
# The ids of these people begin here; user 1 is somebody in question.
FIRST_ID = 11


@dataclass(frozen=True, slots=True)
class Call:
    """A request, whoever makes it; `body` is JSON unless it is bytes."""

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"


@dataclass(slots=True)
class Place:
    """The place, made. Requests that it makes leave nothing behind."""

    instance: ServiceInstance
    people: dict[str, User]
    client: Client
    # At a browser, signed in.
    browsers: dict[str, Client]

    def message(self, state: Delivery = Delivery.SCHEDULED, **fields: Any) -> Message:
        """Message 1, in this state."""
        sender = User.objects.get(pk=1)
        made = factories.message_in(state, instance=self.instance, sender=sender, pk=1, **fields)
        _count_on(Message)
        return made

    def ask(self, who: str, call: Call, *, scopes: Sequence[Scope] = tuple(Scope)) -> Any:
        """The answer to this call by this person, with a key that has these scopes; then all is as it was."""
        headers = {} if who == NOBODY else {HEADER: self.key_of(who, scopes)}
        with transaction.atomic():
            answer = self.send(call, headers)
            transaction.set_rollback(True)
        return answer

    def send(self, call: Call, headers: dict[str, str]) -> Any:
        data = call.body if isinstance(call.body, bytes) else b"" if call.body is None else json.dumps(call.body)
        return self.client.generic(
            call.method,
            f"{ROOT}{call.path}",
            data,
            content_type=call.content_type,
            query_params=call.query,
            headers=headers,
        )

    def key_of(self, who: str, scopes: Sequence[Scope] = tuple(Scope)) -> str:
        """Theirs, with these scopes."""
        return f"{KEY_START}{who}-{'-'.join(scopes)}"

    def browse(self, who: str, method: str, address: str) -> Any:
        """The page that this person gets; then all is as it was."""
        with transaction.atomic():
            answer = self.browsers[who].generic(method, address)
            transaction.set_rollback(True)
        return answer


def make() -> Place:
    """The place, new. Whatever has an id that is named anywhere gets it here."""
    enti = [
        factories.organization(
            pk=number, tax_code=f"{number:011d}", legal_name=f"Comune {number}", io_account=factories.io_account()
        )
        for number in (1, 2, 3)
    ]
    services = [factories.service(pk=number, service_name=f"Servizio {number}") for number in (1, 2, 3)]
    instance = factories.service_instance(
        pk=1,
        organization=enti[0],
        service=services[0],
        template=_templates(enti[0]),
        io_service=factories.io_service(
            pk=1, of=enti[0], io_account=enti[0].io_account, secondary_key=Sealed.close("second-key-of-the-tests")
        ),
    )
    people = _people(enti, services)
    _person_in_question(enti[0], services[0])
    _count_on(*(model for app in OURS for model in apps.get_app_config(app).get_models()))
    browsers = {who: Client(raise_request_exception=False) for who in CAST}
    for who, browser in browsers.items():
        if who != NOBODY:
            browser.force_login(people[who])
    return Place(instance, people, Client(raise_request_exception=False), browsers)


def _templates(ente: Organization) -> Template:
    """Template 1, in use; 2, of the same ente, that nobody uses yet; 3, shared. Placeholders likewise: 1 is in the text
    of template 1, 2 is the ente's and free, 3 is shared."""
    cie = Placeholder.objects.create(pk=1, organization=ente, name="cie", type="string", example="CA000000AA")
    Placeholder.objects.create(pk=2, organization=ente, name="sportello", type="string", example="Piazza Grande 1")
    Placeholder.objects.create(pk=3, name="protocollo", type="string", example="2026/0001")
    for pk, owner in ((1, ente), (2, ente), (3, None)):
        publish(
            Template.objects.create(pk=pk, organization=owner, name=f"Modello {pk}"),
            subject=factories.setting.CIE_SUBJECT if pk == 1 else "Avviso del Comune",
            body=factories.setting.CIE_BODY if pk == 1 else PLAIN_BODY,
            has_payment=pk == 1,
            has_due_date=pk == 1,
            uses=[Use(cie)] if pk == 1 else [],
            by=None,
            at=LONG_AGO,
        )
    return Template.objects.get(pk=1)


def _person_in_question(ente: Organization, service: Service) -> None:
    """User 1, a viewer by grant 1, for whom consumer 1 acts with key 1."""
    person = User.objects.create(
        pk=1, principal="persona", full_name="Persona Uno", email="uno@example.it", password="!"
    )
    granted = Grant.objects.create(pk=1, user=person, role=Role.VIEWER)
    granted.organizations.set([ente])
    granted.services.set([service])
    consumer = Consumer.objects.create(pk=1, name="Programma 1", user=person, amount_unit=AmountUnit.EURO)
    key = KEY_START + "of-the-consumer-in-question"
    ConsumerKey.objects.create(
        pk=1, consumer=consumer, prefix=key[:12], digest=digest_of(key), scopes=[Scope.MESSAGES_READ.value]
    )


def _people(enti: Sequence[Organization], services: Sequence[Service]) -> dict[str, User]:
    names = [who for who in CAST if who != NOBODY] + [EVERYTHING]
    made = User.objects.bulk_create(
        User(
            pk=FIRST_ID + index,
            principal=who,
            full_name=who.title(),
            email=f"{who}@example.it",
            password="!",
            is_staff=who in {STAFF, EVERYTHING},
        )
        for index, who in enumerate(names)
    )
    Consumer.objects.bulk_create(
        Consumer(pk=user.pk, name=f"Programma di {user.principal}", user=user, amount_unit=AmountUnit.EURO)
        for user in made
    )
    ConsumerKey.objects.bulk_create(_keys(made))
    people = {user.principal: user for user in made}
    wanted: list[tuple[str, Role, int, int, datetime | None]] = [(role.value, role, 0, 0, None) for role in ROLES]
    for role in ROLES:
        wanted += [
            (STRANGER, role, 2, 2, None),
            (SPLIT, role, 0, 1, None),
            (SPLIT, role, 1, 0, None),
            (EXPIRED, role, 0, 0, LONG_AGO),
            (EVERYTHING, role, 0, 0, None),
        ]
    # Ids of their own as well: grant 1 is the one in question.
    grants = [
        Grant(pk=FIRST_ID + index, user=people[who], role=role, expires_at=until)
        for index, (who, role, _ente, _service, until) in enumerate(wanted)
    ]
    Grant.objects.bulk_create(grants)
    on_enti, on_services = Grant.organizations.through, Grant.services.through
    on_enti.objects.bulk_create(
        on_enti(grant_id=grant.pk, organization_id=enti[ente].pk)
        for grant, (_who, _role, ente, _service, _until) in zip(grants, wanted, strict=True)
    )
    on_services.objects.bulk_create(
        on_services(grant_id=grant.pk, service_id=services[service].pk)
        for grant, (_who, _role, _ente, service, _until) in zip(grants, wanted, strict=True)
    )
    return people


def _keys(people: Sequence[User]) -> Iterator[ConsumerKey]:
    """One with every scope for each, and one with each scope for the person who may do everything."""
    wanted = [(person, tuple(Scope)) for person in people]
    wanted += [(person, (scope,)) for person in people if person.principal == EVERYTHING for scope in Scope]
    for index, (person, scopes) in enumerate(wanted):
        key = f"{KEY_START}{person.principal}-{'-'.join(scopes)}"
        yield ConsumerKey(
            pk=FIRST_ID + index,
            consumer_id=person.pk,
            prefix=key[:12],
            digest=digest_of(key),
            scopes=[scope.value for scope in scopes],
            # So that no request has to note its use.
            last_used_at=datetime.now(UTC),
        )


def _count_on(*models: type[Model]) -> None:
    """Rows made from now on get ids beyond those chosen here."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
