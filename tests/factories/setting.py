"""What must exist before a message can: ente, service, IO service, template, service instance, consumer."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from messaging.models import IOService, ServiceInstance
from registry.models import AmountUnit, Consumer, ConsumerKey, IOAccount, Organization, Scope, Service, User
from sealed.boxes import Sealed
from templates_app.models import Placeholder, Template
from templates_app.publishing import Use, publish

_number = itertools.count(1)

# The template of our user's own document.
CIE_SUBJECT = "Scadenza CIE n. ${cie.uppercase}"
CIE_BODY = (
    "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
    "numero ${cie.uppercase}."
)


def organization(**fields: Any) -> Organization:
    number = next(_number)
    return Organization.objects.create(
        **{"tax_code": f"{number:011d}", "legal_name": f"Comune di Esempio {number}", **fields}
    )


def service(**fields: Any) -> Service:
    return Service.objects.create(**{"service_name": f"Servizio {next(_number)}", **fields})


def io_account(**fields: Any) -> IOAccount:
    return IOAccount.objects.create(**{"name": f"Account {next(_number)}", "calls_per_second": 1000, **fields})


def io_service(*, of: Organization | None = None, key: str = "key-of-the-tests", **fields: Any) -> IOService:
    return IOService.objects.create(
        **{
            "io_account": fields.pop("io_account", None) or io_account(),
            "organization": of or organization(),
            "io_service_id": f"01TESTSERVICE{next(_number):013d}",
            "primary_key": Sealed.close(key),
            "payment_cap_cents": 1_000_000,
            **fields,
        }
    )


def placeholder(name: str = "cie", **fields: Any) -> Placeholder:
    """Shared, unless it is given an ente."""
    ente = fields.pop("organization", None)
    defaults = {"type": "string", "example": "CA000000AA", **fields}
    return Placeholder.objects.get_or_create(name=name, organization=ente, defaults=defaults)[0]


def template(
    *,
    subject: str = CIE_SUBJECT,
    body: str = CIE_BODY,
    has_payment: bool = True,
    has_due_date: bool = True,
    uses: Sequence[Use] | None = None,
    **fields: Any,
) -> Template:
    """Published, with the text of our user's document unless told otherwise."""
    made = Template.objects.create(**{"name": f"Modello {next(_number)}", **fields})
    publish(
        made,
        subject=subject,
        body=body,
        has_payment=has_payment,
        has_due_date=has_due_date,
        uses=[Use(placeholder())] if uses is None else uses,
        by=None,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return made


def service_instance(**fields: Any) -> ServiceInstance:
    """A way to send, whole: ente, service, template, IO service with a key, all new unless given."""
    ente = fields.pop("organization", None) or organization()
    return ServiceInstance.objects.create(
        **{
            "organization": ente,
            "service": fields.pop("service", None) or service(),
            "template": fields.pop("template", None) or template(),
            "io_service": fields.pop("io_service", None) or io_service(of=ente),
            **fields,
        }
    )


def consumer(*, user: User, amount_unit: str = AmountUnit.EURO, **fields: Any) -> Consumer:
    return Consumer.objects.create(
        **{"name": f"Integrazione {next(_number)}", "user": user, "amount_unit": amount_unit, **fields}
    )


def consumer_key(of: Consumer, *, scopes: Sequence[str] = tuple(Scope.values), **fields: Any) -> str:
    """The key itself, as the integrator holds it."""
    return ConsumerKey.issue(of, scopes=list(scopes), **fields)[1]
