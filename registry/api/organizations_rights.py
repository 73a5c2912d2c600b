"""Who may change an ente or a service: what the views of both, and of their logos, ask and answer."""

from datetime import datetime
from typing import Any, NoReturn, TypeVar

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound

from registry.models import Organization, Service, User
from registry.permissions import Action, can, can_on_whole
from registry.registering import Taken
from rest.errors import ErrorItem, pointer
from rest.problems import Problem, register

_Owner = TypeVar("_Owner", bound=Organization | Service)

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


def locked(owner: _Owner) -> _Owner:
    """The row as it is, held until the transaction ends; messages, which only refer to it, go on. Raises NotFound."""
    rows: Any = type(owner).objects
    row: _Owner | None = rows.select_for_update(of=("self",), no_key=True).filter(pk=owner.pk).first()
    if row is None:
        raise NotFound
    return row


def editor_of(owner: Organization | Service, user: User) -> User:
    """This person as they are now, who may still change what they waited for. Raises NotFound, Problem 403."""
    at = timezone.now()
    editor = User.objects.filter(pk=user.pk).first()
    rows: Any = type(owner).objects
    if editor is None or not rows.readable_by(editor, at=at).filter(pk=owner.pk).exists():
        raise NotFound
    require_editor(editor, owner, at=at)
    return editor


def deny(detail: str | Promise, *members: str) -> NoReturn:
    """Raises Problem 403; `members` of the body are those that this person may not change."""
    errors = [ErrorItem("permission_denied", pointer(name), detail) for name in members]
    raise Problem(403, code="permission_denied", detail=detail, errors=errors)


def _taken(error: Taken) -> Problem:
    items = [(_TAKEN[name], name) for name in error.fields]
    return Problem(409, code="taken", errors=[ErrorItem(code, pointer(name), detail) for (code, detail), name in items])


register(Taken, _taken)
