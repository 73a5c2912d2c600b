"""Authoring rules C: the buttons, written as YAML at the head of the body."""

import re
from collections.abc import Iterator
from typing import Final

from django.utils.translation import gettext as _

from templates_app import front_matter
from templates_app.findings import Finding, Severity
from templates_app.front_matter import LANGUAGES, InvalidYAML, Node, Scalar

_ACTION: Final = re.compile(
    r"iohandledlink://(?:https?://[^\s]+|(?:mailto|tel|sms|copy):[^\s].*)|ioit://[^\s]+|iosso://https?://[^\s]+",
    re.IGNORECASE,
)
_VERSION_BOUND: Final = re.compile(r"ioit://|iosso://", re.IGNORECASE)
_LOOKS_LIKE_BUTTONS: Final = re.compile(r"\s*---[ \t]*\n\s*(?:it|en|cta_1)\s*:")
_MEMBERS: Final = ("text", "action")
_COMFORTABLE: Final = 25


def button_findings(markdown: str) -> list[Finding]:
    """Warnings on the buttons of a finished body, if it has any. Line ends must be `\\n`."""
    block = front_matter.find(markdown)
    if block is None:
        if _LOOKS_LIKE_BUTTONS.match(markdown):
            return [
                _warning(
                    "C1", _("Il blocco dei pulsanti comincia alla prima riga con --- e si chiude con una riga ---.")
                )
            ]
        return []
    if block.start > 0:
        detail = _("Per via dei trattini nella prima riga, l'app toglierebbe il testo fra le due righe ---: toglili.")
        return [_warning("C1", detail)]
    try:
        node = front_matter.read(block.source)
    except InvalidYAML:
        detail = _(
            "Il blocco fra --- non è YAML valido: l'app nasconderebbe tutto il testo. Controlla rientri e virgolette."
        )
        return [_warning("C1", detail)]
    if not isinstance(node, dict):
        return [
            _warning("C1", _("Il blocco fra --- non contiene pulsanti, e l'app non lo mostra: togli le righe ---."))
        ]
    return [finding for language in LANGUAGES for finding in _language(node.get(language), language)]


def _language(ctas: Node | None, language: str) -> Iterator[Finding]:
    named = {"language": language}
    if ctas is None:
        yield _warning(
            "C4", _("Mancano i pulsanti in «%(language)s»: chi usa l'app in quella lingua non ne vede.") % named
        )
        return
    if not isinstance(ctas, dict) or "cta_1" not in ctas:
        yield _warning(
            "C2", _("In «%(language)s» manca il primo pulsante, cta_1: senza non se ne vede nessuno.") % named
        )
        return
    if not set(ctas) <= {"cta_1", "cta_2"}:
        yield _warning(
            "C2", _("In «%(language)s» ci sono altri pulsanti oltre a cta_1 e cta_2: l'app ne mostra due.") % named
        )
    for name in ("cta_1", "cta_2"):
        if name in ctas:
            yield from _button(ctas[name], f"{language}.{name}")


def _button(cta: Node, name: str) -> Iterator[Finding]:
    named = {"name": name}
    members = [cta.get(member) for member in _MEMBERS] if isinstance(cta, dict) else []
    scalars = [member for member in members if isinstance(member, Scalar) and member.is_text and member.value.strip()]
    if len(scalars) < len(_MEMBERS):
        yield _warning("C2", _("Il pulsante %(name)s vuole text e action, non vuoti e fra virgolette.") % named)
        return
    text, action = (scalar.value for scalar in scalars)
    if not _ACTION.fullmatch(action):
        detail = _("Il pulsante %(name)s non funzionerebbe: l'azione è iohandledlink:// seguito da https://...")
        yield _warning("C3", detail % named)
    elif _VERSION_BOUND.match(action):
        detail = _("Il pulsante %(name)s apre una parte dell'app che dipende dalla sua versione: provalo.")
        yield _warning("C5", detail % named)
    if len(text) > _COMFORTABLE:
        yield _warning("C6", _("L'etichetta del pulsante %(name)s supera 25 caratteri: accorciala.") % named)


def _warning(code: str, detail: str) -> Finding:
    return Finding(code=code, pointer="/body", detail=detail, severity=Severity.WARNING)
