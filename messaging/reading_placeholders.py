"""The `placeholders` of a message: a list of names and values, of which a template takes those it declares."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from django.utils.translation import gettext as _

from messaging.reading_members import missing, warn_of_unknown
from templates_app.findings import Findings
from templates_app.grammar import RESERVED
from templates_app.placeholders import FORBIDDEN

MAX_PLACEHOLDERS: Final = 500
_FIELDS: Final = frozenset({"name", "value"})


@dataclass(slots=True)
class PlaceholderInput:
    """Values by declared name, and the JSON Pointer of each.

    `refused`: names whose value was already refused as malformed, and so are not missing as well.
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    places: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


def read_placeholders(value: object, *, declared: Collection[str], findings: Findings) -> PlaceholderInput:
    """As in GovIO, names that the template lacks are ignored and of a repeated name the last counts; both warn."""
    read = PlaceholderInput()
    if value is None:
        return read
    if not isinstance(value, list):
        findings.malformed("type", "/placeholders", _('I segnaposto sono un elenco di {"name": ..., "value": ...}.'))
        read.refused.update(declared)
        return read
    if len(value) > MAX_PLACEHOLDERS:
        detail = _("I segnaposto sono più di %(limit)s.") % {"limit": MAX_PLACEHOLDERS}
        findings.malformed("too_many", "/placeholders", detail)
        read.refused.update(declared)
        return read
    for index, entry in enumerate(value):
        name = _name_of_sound(entry, index, read=read, findings=findings)
        if name is None:
            continue
        place = f"/placeholders/{index}"
        if name in RESERVED:
            detail = _("Il nome è di un dato del messaggio, che vale al posto di questo: il segnaposto è ignorato.")
            findings.warn("placeholder_reserved", f"{place}/name", detail)
        elif name not in declared:
            detail = _("Il modello non ha un segnaposto con questo nome: è ignorato.")
            findings.warn("placeholder_unknown", f"{place}/name", detail)
        else:
            if name in read.values:
                findings.warn(
                    "placeholder_repeated", f"{place}/name", _("Il segnaposto è ripetuto: vale questo, l'ultimo.")
                )
            read.values[name] = entry["value"]
            read.places[name] = f"{place}/value"
    return read


def _name_of_sound(entry: object, index: int, *, read: PlaceholderInput, findings: Findings) -> str | None:
    """The entry's name, when name and value are both sound strings."""
    place = f"/placeholders/{index}"
    if not isinstance(entry, dict):
        findings.malformed("type", place, _("Ogni segnaposto è un oggetto con name e value."))
        return None
    warn_of_unknown(entry, known=_FIELDS, findings=findings, steps=("placeholders", index))
    sound = True
    for member in ("name", "value"):
        text = entry.get(member)
        if text is None:
            missing(f"{place}/{member}", findings=findings)
        elif not isinstance(text, str):
            findings.malformed("type", f"{place}/{member}", _("Serve una stringa: scrivi il valore fra virgolette."))
        elif FORBIDDEN.search(text):
            detail = _("Il testo contiene un carattere di controllo: toglilo.")
            findings.malformed("control_character", f"{place}/{member}", detail)
        else:
            continue
        sound = False
    name = entry.get("name")
    if sound:
        return str(name)
    if isinstance(name, str):
        read.refused.add(name)
    return None
