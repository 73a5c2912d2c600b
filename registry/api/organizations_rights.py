"""Who may change an ente or a service: what the views of both, and of their logos, ask and answer."""

from datetime import datetime
from typing import NoReturn

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from registry.models import Organization, Service, User
from registry.permissions import Action, can, can_on_whole
from registry.registering import Taken
from rest.errors import ErrorItem, pointer
from rest.problems import Problem, register

_TAKEN = {
    "tax_code": ("tax_code_taken", _("Un altro ente ha già questo codice fiscale.")),
    "legal_name": ("legal_name_taken", _("Un altro ente ha già questa denominazione.")),
    "service_name": ("service_name_taken", _("Un altro servizio ha già questo nome.")),
}


def require_staff(user: User, detail: str | Promise) -> None:
    """Raises Problem 403 with this detail."""
    if not can(user, Action.RUN_PLATFORM):
        deny(detail)


def require_editor(user: User, owner: Organization | Service, *, at: datetime) -> None:
    """Of what an ente says of itself, logos included; services are shared by the enti, so they are staff's alone.

    Raises Problem 403.
    """
    if can(user, Action.RUN_PLATFORM):
        return
    if isinstance(owner, Service):
        deny(_("Un servizio è di tutti gli enti che lo usano: lo cambia solo il personale della piattaforma."))
    if not can_on_whole(user, Action.EDIT_ORGANIZATION, owner, at=at):
        deny(
            _(
                "Recapiti e logo di un ente valgono per tutti i suoi servizi: serve il ruolo Configurazione o "
                "Amministrazione su ogni servizio per cui invia. Lo assegna chi amministra l'ente."
            )
        )


def deny(detail: str | Promise, *members: str) -> NoReturn:
    """Raises Problem 403; `members` of the body are those that this person may not change."""
    errors = [ErrorItem("permission_denied", pointer(name), detail) for name in members]
    raise Problem(403, code="permission_denied", detail=detail, errors=errors)


def _taken(error: Taken) -> Problem:
    items = [(_TAKEN[name], name) for name in error.fields]
    return Problem(409, code="taken", errors=[ErrorItem(code, pointer(name), detail) for (code, detail), name in items])


register(Taken, _taken)
