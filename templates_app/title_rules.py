"""Authoring rules T: the title, which is also the push notification and the subject of the e-mail copy."""

import re
from collections.abc import Iterable
from typing import Final

from django.utils.translation import gettext as _

from io_client.payloads import SUBJECT_LENGTH, utf16_length
from templates_app.findings import Finding, Severity
from templates_app.private_data import codes_in

# Title and service name share two lines of the list; beyond this the end is cut on most phones.
_COMFORTABLE: Final = 70
_MARKDOWN: Final = re.compile(
    r"\*\*|__|`|~~|\]\(|(?<!\w)[*_](?=\S)[^*_\n]*(?<=\S)[*_](?!\w)|<br|\A\s*(?:\#{1,6}|[-*+>])\s|[\r\n]"
)
_PUSH_WORD: Final = re.compile(r"\bnotific(?:a|he)\b", re.IGNORECASE)
_MIN_NAME: Final = 4


def title_findings(subject: str, *, names: Iterable[str] = ()) -> list[Finding]:
    """Warnings on a finished title; `names` are those already shown beside it (ente, service)."""
    findings = []
    length = utf16_length(subject)
    if not SUBJECT_LENGTH[0] <= length <= SUBJECT_LENGTH[1]:
        findings.append(
            _warning("T1", _("Il titolo ha %(length)s caratteri: devono essere da 10 a 120.") % {"length": length})
        )
    elif length > _COMFORTABLE:
        findings.append(_warning("T4", _("Oltre i 70 caratteri il titolo viene tagliato nell'elenco: accorcialo.")))
    codes = codes_in(subject)
    if codes:
        detail = _("Il titolo mostra %(codes)s, ma si legge anche sullo schermo bloccato e nell'e-mail: toglilo.")
        findings.append(_warning("T2", detail % {"codes": ", ".join(codes)}))
    lowered = subject.casefold()
    if any(len(name) >= _MIN_NAME and name.casefold() in lowered for name in names):
        detail = _("Il titolo ripete il nome dell'ente o del servizio, che l'app mostra già accanto.")
        findings.append(_warning("T5", detail))
    if subject.isupper() and sum(character.isalpha() for character in subject) >= SUBJECT_LENGTH[0]:
        findings.append(_warning("T6", _("Il titolo è tutto in maiuscolo: scrivilo come una frase.")))
    if _PUSH_WORD.search(subject):
        findings.append(_warning("T6", _("IO manda messaggi, non notifiche: usa un'altra parola.")))
    if _MARKDOWN.search(subject):
        detail = _("Nel titolo la formattazione e gli a capo non valgono: si leggerebbero i segni.")
        findings.append(_warning("T7", detail))
    return findings


def _warning(code: str, detail: str) -> Finding:
    return Finding(code=code, pointer="/subject", detail=detail, severity=Severity.WARNING)
