"""Whose a new template or placeholder is, and the refusals of those who may not write one: they say what is missing, and who gives it."""

from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import Organization, User
from registry.permissions import Action, can
from rest.errors import Text
from rest.problems import Problem
from rest.writing import Faults
from templates_app.models import Placeholder, Template
from templates_app.rights import Lack, lack_for, lack_for_placeholder, lack_for_template, writable_enti

# What a person may do by themselves; the rest is in their grants.
_RIGHTS = ("is_active", "is_staff")

_DETAILS: dict[Lack, Text] = {
    Lack.STAFF: _("I modelli e i segnaposto condivisi fra gli enti li scrive solo il personale della piattaforma."),
    Lack.ROLE: _(
        "Per scrivere modelli e segnaposto di un ente serve il ruolo Redazione, Invio o Configurazione: lo assegna chi "
        "amministra l'ente."
    ),
    Lack.SERVICES: _(
        "La modifica tocca modelli in uso per altri servizi: serve il ruolo Redazione, Invio o Configurazione su ognuno "
        "di essi. Lo assegna chi amministra l'ente."
    ),
}


def owner_of_new(asked: int | None, *, user: User, at: datetime, faults: Faults) -> int | None:
    """The id of the ente, or None for what is shared; also None when `faults` say why there is no answer.

    Where the request names no ente: shared, of platform staff; else the only ente for which they may write. Raises Problem 403.
    """
    if asked is not None:
        if not Organization.objects.readable_by(user, at=at).filter(pk=asked).exists():
            detail = _("L'ente non esiste, o non è visibile a chi lo chiede.")
            faults.impossible_at("organization_unknown", detail, "organization_id")
            return None
        _require_no(lack_for(user, organization_id=asked, at=at))
        return asked
    if can(user, Action.RUN_PLATFORM):
        return None
    enti = list(writable_enti(user, at=at).values_list("pk", flat=True)[:2])
    if not enti:
        _require_no(Lack.ROLE)
    if len(enti) > 1:
        detail = _("Puoi scrivere modelli per più di un ente: indica quale.")
        faults.impossible_at("organization_required", detail, "organization_id")
    return enti[0]


def require_writable(target: Template | Placeholder, *, user: User, at: datetime) -> None:
    """Raises Problem 403."""
    if isinstance(target, Template):
        _require_no(lack_for_template(user, target, at=at))
    else:
        _require_no(lack_for_placeholder(user, target, at=at))


def require_still_writable(target: Template | Placeholder, *, user: User) -> None:
    """The same, asked again by whoever has waited for a turn: what was withdrawn meanwhile is a right no more. Raises Problem 403."""
    user.refresh_from_db(fields=_RIGHTS)
    require_writable(target, user=user, at=timezone.now())


def require_still_owner(organization_id: int | None, *, user: User) -> None:
    """Likewise of what is new, and what `owner_of_new` answered. Raises Problem 403."""
    user.refresh_from_db(fields=_RIGHTS)
    _require_no(lack_for(user, organization_id=organization_id, at=timezone.now()))


def _require_no(lack: Lack | None) -> None:
    if lack is not None:
        raise Problem(403, code="permission_denied", detail=_DETAILS[lack])
