"""What every reader of a message's JSON says in the same words."""

from itertools import islice
from typing import Final

from django.utils.translation import gettext as _

from rest.errors import pointer as pointer_to
from templates_app.findings import Findings

# Told one by one up to here: warnings are stored, and whoever sends a million names makes no typo.
MAX_UNKNOWN: Final = 50


def missing(pointer: str, *, findings: Findings) -> None:
    findings.malformed("required", pointer, _("Il campo è obbligatorio."))


def warn_of_unknown(
    members: dict[str, object], *, known: frozenset[str], findings: Findings, steps: tuple[str | int, ...] = ()
) -> None:
    """GovIO ignores members it does not know; so do we, but a typo in an optional one must not pass unseen."""
    if known.issuperset(members):
        return
    detail = _("Il campo non esiste ed è ignorato: verifica come è scritto.")
    for name in islice((name for name in members if name not in known), MAX_UNKNOWN):
        findings.warn("unknown_field", pointer_to(*steps, name), detail)
