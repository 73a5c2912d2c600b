"""A small believable ente, for the first minutes with the product. Everything in it is invented."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from messaging.models import IOService, ServiceInstance
from registry.models import (
    AmountUnit,
    Consumer,
    ConsumerKey,
    Grant,
    IOAccount,
    Organization,
    Role,
    Scope,
    Service,
    User,
)
from registry.models.consumer import digest_of
from sealed.boxes import Sealed
from templates_app.models import Placeholder, Template
from templates_app.publishing import Use, publish

CIE_SERVICE_ID = "01J8ZKCIE0DEM0SERV1CE00001"
TARI_SERVICE_ID = "01J8ZKTAR1DEM0SERV1CE00002"
PAYMENT_CAP_CENTS = 500_000

ROLES = {
    "consultazione": (Role.VIEWER, "Carla Consolini"),
    "redazione": (Role.EDITOR, "Renato Redaelli"),
    "invio": (Role.SENDER, "Irene Invernizzi"),
    "approvazione": (Role.APPROVER, "Aldo Approvati"),
    "configurazione": (Role.CONFIGURATOR, "Corrado Confalonieri"),
    "amministrazione": (Role.ADMINISTRATOR, "Ada Amministrati"),
}
STAFF = "piattaforma"
EURO_CONSUMER = "Gestionale anagrafe (euro)"
CENTS_CONSUMER = "Gestionale tributi (centesimi)"
# What GovIO calls a sysadmin, with amounts as GovIO's schema has them.
EVERYTHING_CONSUMER = "Amministrazione via API (centesimi)"


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """Made once for each installation, shown at every start."""

    password: str
    euro_key: str
    cents_key: str
    everything_key: str
    # Primary and secondary key of the first IO service, then of the second.
    io_keys: tuple[str, str, str, str]


def is_empty() -> bool:
    """Nobody has put anything in this database yet: the only place where demo data may go."""
    return not (User.objects.exists() or Organization.objects.exists() or Template.objects.exists())


def is_present(secrets: DemoSecrets) -> bool:
    return ConsumerKey.objects.filter(digest=digest_of(secrets.euro_key)).exists()


@transaction.atomic
def seed(secrets: DemoSecrets, *, at: datetime) -> None:
    account = IOAccount.objects.create(name="Comune di Vallechiara", calls_per_second=10)
    comune = Organization.objects.create(
        tax_code="01234567890",
        legal_name="Comune di Vallechiara",
        office_address="Piazza del Municipio 1",
        office_zip="00000",
        office_municipality="Vallechiara",
        office_province="VC",
        office_email_address="protocollo@comune.vallechiara.example.it",
        office_pec_address="protocollo@pec.comune.vallechiara.example.it",
        io_account=account,
    )
    unione = Organization.objects.create(
        tax_code="09876543210",
        legal_name="Unione dei Comuni della Valle",
        office_address="Via dei Mulini 12",
        office_zip="00000",
        office_municipality="Pontelungo",
        office_province="VC",
        office_email_address="info@unione.valle.example.it",
        io_account=account,
    )
    cie = Service.objects.create(
        service_name="Carta d'identità elettronica",
        description="Scadenze e rinnovo della carta d'identità elettronica.",
    )
    tari = Service.objects.create(service_name="TARI", description="Tassa sui rifiuti: avvisi e scadenze.")
    cie_instance = ServiceInstance.objects.create(
        organization=comune,
        service=cie,
        template=_cie_template(comune, at=at),
        io_service=_io_service(account, comune, CIE_SERVICE_ID, keys=secrets.io_keys[:2]),
    )
    ServiceInstance.objects.create(
        organization=unione,
        service=tari,
        template=_tari_template(at=at),
        io_service=_io_service(account, unione, TARI_SERVICE_ID, keys=secrets.io_keys[2:]),
    )
    people = _people(secrets.password)
    for principal, (role, _name) in ROLES.items():
        _grant(people[principal], role, organizations=[comune, unione], services=[cie, tari])
    integration = User.objects.create_user(
        "gestionale.anagrafe", full_name="Gestionale anagrafe", email="gestionale@comune.vallechiara.example.it"
    )
    _grant(integration, Role.SENDER, organizations=[comune, unione], services=[cie, tari])
    for name, unit, key in (
        (EURO_CONSUMER, AmountUnit.EURO, secrets.euro_key),
        (CENTS_CONSUMER, AmountUnit.CENTS, secrets.cents_key),
    ):
        consumer = Consumer.objects.create(name=name, user=integration, amount_unit=unit)
        ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND.value, Scope.MESSAGES_READ.value], key=key)
    system = User.objects.create_user(
        "sistema.informativo", full_name="Sistema informativo", email="sistema@example.it", is_staff=True
    )
    for role in Role:
        Grant.objects.create(user=system, role=role, all_organizations=True, all_services=True)
    everything = Consumer.objects.create(name=EVERYTHING_CONSUMER, user=system, amount_unit=AmountUnit.CENTS)
    ConsumerKey.issue(everything, scopes=list(Scope.values), key=secrets.everything_key)
    assert cie_instance.pk  # the first row of an empty table: the documents call it 1


def _io_service(account: IOAccount, ente: Organization, io_service_id: str, *, keys: tuple[str, ...]) -> IOService:
    return IOService.objects.create(
        io_account=account,
        organization=ente,
        io_service_id=io_service_id,
        primary_key=Sealed.close(keys[0]),
        secondary_key=Sealed.close(keys[1]),
        payment_cap_cents=PAYMENT_CAP_CENTS,
    )


def _cie_template(ente: Organization, *, at: datetime) -> Template:
    number = Placeholder.objects.create(
        name="cie",
        type="string",
        description="Numero della carta d'identità elettronica",
        example="CA000000AA",
    )
    template = Template.objects.create(
        organization=ente,
        name="Spedizione Messaggio CIE",
        description="Avvisa il cittadino che la sua carta d'identità elettronica sta per scadere.",
    )
    publish(
        template,
        subject="Scadenza CIE n. ${cie.uppercase}",
        body=(
            "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
            "numero ${cie.uppercase}."
        ),
        has_payment=True,
        has_due_date=True,
        uses=[Use(number)],
        by=None,
        at=at,
    )
    return template


def _tari_template(*, at: datetime) -> Template:
    year = Placeholder.objects.create(name="anno", type="integer", description="Anno della tassa", example="2026")
    address = Placeholder.objects.create(
        name="immobile", type="string", description="Indirizzo dell'immobile", example="via dei Mulini 12"
    )
    template = Template.objects.create(
        name="Avviso TARI", description="Avviso di pagamento della tassa sui rifiuti; condiviso fra gli enti."
    )
    publish(
        template,
        subject="TARI ${anno}: il tuo avviso di pagamento",
        body=(
            "Ciao,\n\nè disponibile l'avviso **TARI ${anno}** per l'immobile in ${immobile}.\n\n"
            "L'importo è di ${amount.currency}. Puoi pagare fino al ${due_date.date}, anche qui su IO.\n\n"
            "Se hai già pagato, non serve fare altro."
        ),
        has_payment=True,
        has_due_date=True,
        uses=[Use(year), Use(address)],
        by=None,
        at=at,
    )
    return template


def _people(password: str) -> dict[str, User]:
    people = {
        principal: User.objects.create_user(
            principal, password, full_name=name, email=f"{principal}@comune.vallechiara.example.it"
        )
        for principal, (_role, name) in ROLES.items()
    }
    people[STAFF] = User.objects.create_superuser(
        STAFF, password, full_name="Pietro Piattelli", email="piattaforma@example.it"
    )
    return people


def _grant(user: User, role: Role, *, organizations: list[Organization], services: list[Service]) -> None:
    grant = Grant.objects.create(user=user, role=role)
    grant.organizations.set(organizations)
    grant.services.set(services)


def sandbox_services(secrets: DemoSecrets) -> list[dict[str, Any]]:
    """The same services as IO knows them, for the configuration of the sandbox."""
    return [
        _at_io(
            CIE_SERVICE_ID, "Carta d'identità elettronica", "Comune di Vallechiara", "01234567890", secrets.io_keys[:2]
        ),
        _at_io(TARI_SERVICE_ID, "TARI", "Unione dei Comuni della Valle", "09876543210", secrets.io_keys[2:]),
    ]


def _at_io(service_id: str, name: str, ente: str, tax_code: str, keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "service_id": service_id,
        "name": name,
        "organization_name": ente,
        "organization_fiscal_code": tax_code,
        "primary_key": keys[0],
        "secondary_key": keys[1],
        "max_allowed_payment_amount": PAYMENT_CAP_CENTS,
        "premium": False,
        "require_secure_channels": False,
        "authorized_recipients": None,
    }
