"""Fiscal codes of people who do not exist, each with a story: what IO does with whatever is sent to them.

Every other valid fiscal code is a person who is on IO and accepts. The birthplace Z999 belongs to no country.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Plot(Enum):
    NOT_ON_IO = "not on IO"
    DISABLED = "service disabled"
    REJECTED = "rejected later"
    FAILED = "failed later"
    THROTTLED = "throttled"
    SLOW = "slow"
    SILENT = "accepts, never answers"
    CUT = "accepts, cuts the connection"
    ERROR = "error, not accepted"
    ERROR_AFTER = "accepts, answers with an error"
    FORBIDDEN = "recipient forbidden"


@dataclass(frozen=True, slots=True)
class Story:
    """`happens` is shown on the home page and in README.md, in Italian as the pages are."""

    fiscal_code: str
    plot: Plot
    name: str
    happens: str


STORIES: Final = (
    Story("NONISC00A01Z999Y", Plot.NOT_ON_IO, "Non iscritta", "Non è su IO: il profilo non esiste (404)."),
    Story(
        "DISATT00A01Z999I", Plot.DISABLED, "Servizio disattivato", "Ha disattivato il servizio (sender_allowed false)."
    ),
    Story(
        "RIFIUT00A01Z999U",
        Plot.REJECTED,
        "Rifiutato dopo",
        "IO accetta il messaggio, poi lo rifiuta (REJECTED): nel frattempo il servizio è stato disattivato.",
    ),
    Story(
        "FALLIT00A01Z999O",
        Plot.FAILED,
        "Fallito dopo",
        "IO accetta il messaggio, poi non riesce a elaborarlo (FAILED).",
    ),
    Story(
        "TROPPE00A01Z999M",
        Plot.THROTTLED,
        "Troppe richieste",
        "Le prime 3 chiamate ricevono 429 con una pausa; le successive vanno bene. Dopo 30 secondi si ricomincia.",
    ),
    Story("LENTEZ00A01Z999D", Plot.SLOW, "Lento", "L’invio riesce, ma la risposta arriva dopo circa 10 secondi."),
    Story(
        "SILENZ00A01Z999V",
        Plot.SILENT,
        "Silenzio",
        "Il messaggio arriva, ma la risposta all’invio no: l’esito resta incerto.",
    ),
    Story(
        "TAGLIO00A01Z999V",
        Plot.CUT,
        "Linea tagliata",
        "Il messaggio arriva, ma la connessione cade prima della risposta: l’esito resta incerto.",
    ),
    Story(
        "ERRORE00A01Z999I",
        Plot.ERROR,
        "Errore di IO",
        "L’invio riceve un errore 500 e il messaggio non arriva; chi invia non può saperlo: l’esito resta incerto.",
    ),
    Story(
        "DUBBIO00A01Z999J",
        Plot.ERROR_AFTER,
        "Errore dopo l’arrivo",
        "L’invio riceve un errore 500, eppure il messaggio arriva: l’esito resta incerto.",
    ),
    Story(
        "VIETAT00A01Z999O",
        Plot.FORBIDDEN,
        "Destinatario vietato",
        "IO non permette di scrivere a questa persona (403).",
    ),
)

_BY_CODE: Final = {story.fiscal_code: story for story in STORIES}

THROTTLED_CALLS: Final = 3
THROTTLED_AGAIN_AFTER: Final = 30.0  # seconds


def plot_of(fiscal_code: str) -> Plot | None:
    """None for an ordinary person, who accepts."""
    story = _BY_CODE.get(fiscal_code)
    return story.plot if story else None
