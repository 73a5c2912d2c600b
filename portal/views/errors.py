"""Error pages that stand alone: no database, no context processors, no scripts; what happened and what to do."""

import math

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.models import Role
from registry.permissions import ROLES, Action


class RoleMissing(PermissionDenied):
    """Signed in, and not allowed: the page names the roles of which one is needed."""

    def __init__(self, action: Action) -> None:
        super().__init__(action.name)
        self.roles = tuple(role for role in Role if role in ROLES[action])


def _page(status: int, *, title: str, body: str, details: tuple[str, ...] = ()) -> HttpResponse:
    context = {"status": status, "title": title, "body": body, "details": details}
    return HttpResponse(render_to_string("portal/error.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(
        400,
        title=_("Richiesta non valida"),
        body=_(
            "Il browser ha mandato qualcosa che non possiamo leggere. Torna indietro, ricarica la pagina e riprova."
        ),
    )


def role_missing(missing: RoleMissing) -> HttpResponse:
    roles = _(" o ").join(str(role.label) for role in missing.roles)
    return _page(
        403,
        title=_("Ti manca un ruolo"),
        body=_("Per questa pagina serve il ruolo %(roles)s, su questo ente e su questo servizio.") % {"roles": roles},
        details=(_("Lo assegna il personale della piattaforma: chiedilo a chi amministra il portale."),),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(403, title=_("Accesso negato"), body=_("Non puoi aprire questa pagina."))


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: most often a page left open over a sign-out or for days."""
    return _page(
        403,
        title=_("Pagina scaduta"),
        body=_(
            "La pagina è rimasta aperta troppo a lungo, o hai cambiato utente in un’altra scheda. Non abbiamo inviato nulla."
        ),
        details=(_("Torna indietro, ricarica la pagina e riprova."), _("I cookie devono essere abilitati.")),
    )


def too_many_attempts(*, seconds: int) -> HttpResponse:
    """After wrong passwords. The same whether or not there is such a person."""
    minutes = math.ceil(seconds / 60)
    answer = _page(
        429,
        title=_("Troppi tentativi"),
        body=ngettext(
            "L’accesso è sospeso dopo troppi tentativi falliti. Riprova fra %(minutes)d minuto.",
            "L’accesso è sospeso dopo troppi tentativi falliti. Riprova fra %(minutes)d minuti.",
            minutes,
        )
        % {"minutes": minutes},
        details=(_("Hai perso la password? Chiedi a chi amministra il portale nel tuo ente."),),
    )
    answer["Retry-After"] = str(seconds)
    return answer


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(
        404,
        title=_("Pagina non trovata"),
        body=_("L’indirizzo è sbagliato, oppure la pagina riguarda un ente o un servizio che non ti è assegnato."),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(
        500,
        title=_("Qualcosa non ha funzionato"),
        body=_(
            "È un errore nostro. Se stavi confermando un invio, controlla nell’elenco dei messaggi prima di ripetere."
        ),
        details=(_("Ripetere la stessa conferma non crea un secondo messaggio."),),
    )
