"""Bodies of small documents: read whole, checked by a serializer, every fault gathered before anything is refused.

The members of a document are checked by a serializer of fields of `rest.fields`; what depends on data, rights or the
clock is added by the verb to the same `Faults`, so that one answer names everything.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from rest.errors import MAX_ERRORS, ErrorItem, Text, pointer
from rest.problems import Problem, flatten

# What a client read and gives back: ours to say, so never a fault.
_GIVEN_BACK = ("id", "_links", "_embedded")


class _First(list[ErrorItem]):
    """As many as are told and one more, which says that there are others; what comes after is let go."""

    @property
    def is_full(self) -> bool:
        return len(self) > MAX_ERRORS

    def append(self, error: ErrorItem) -> None:
        if not self.is_full:
            super().append(error)

    def extend(self, errors: Iterable[ErrorItem]) -> None:
        for error in errors:
            if self.is_full:
                return
            super().append(error)


class Faults:
    """What is wrong with a request: malformed (400) or well formed and impossible (422); with both, 400 lists all.

    All, but not without end: of each kind one more is kept than an answer tells.
    """

    def __init__(self) -> None:
        self.malformed = _First()
        self.impossible = _First()

    def impossible_at(self, code: str, detail: Text, *steps: str | int) -> None:
        self.impossible.append(ErrorItem(code, pointer(*steps), detail))

    def malformed_at(self, code: str, detail: Text, *steps: str | int) -> None:
        self.malformed.append(ErrorItem(code, pointer(*steps), detail))

    def forget(self, members: Collection[str]) -> None:
        """Takes out what is said about these members."""
        places = {pointer(name) for name in members}
        self.malformed = _First(error for error in self.malformed if error.pointer not in places)
        self.impossible = _First(error for error in self.impossible if error.pointer not in places)

    def names(self, *steps: str | int) -> bool:
        """Whether something is already said about this place, so that a second sentence would only confuse."""
        place = pointer(*steps)
        return any(error.pointer == place for error in (*self.malformed, *self.impossible))

    def check(self) -> None:
        """Raises Problem if anything is wrong."""
        if self.malformed:
            raise Problem(400, code="invalid", errors=[*self.malformed, *self.impossible])
        if self.impossible:
            raise Problem(422, code="impossible", errors=self.impossible)


def read(
    serializer: type[serializers.Serializer[Any]],
    body: Any,
    *,
    faults: Faults,
    ignored: tuple[str, ...] = (),
    unchangeable: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The members of `body` that are sound, by name; what is not sound goes to `faults`.

    `ignored` are members that answers have and that nobody can set: a document given back whole is not refused for
    them. `unchangeable` are members that may be repeated with the value they have, and with no other (422).
    """
    if not isinstance(body, dict):
        faults.malformed_at("type", _("Il corpo è un oggetto JSON."))
        return {}
    checked = serializer(data=body)
    known = set(checked.fields)
    taken = known.union(ignored, _GIVEN_BACK, unchangeable or ())
    detail = _("Il campo non esiste; quelli ammessi: %(members)s.") % {"members": ", ".join(sorted(known))}
    for name in body:
        if faults.malformed.is_full:
            break
        if name not in taken:
            faults.malformed_at("unknown_member", detail, name)
    for name, value in (unchangeable or {}).items():
        if name in body and body[name] != value:
            faults.impossible_at("not_changeable", _("Il campo non si può cambiare."), name)
    if checked.is_valid():
        return dict(checked.validated_data)
    faults.malformed.extend(flatten(checked.errors))
    sound = set(known) - set(checked.errors)
    # The sound members are returned too, so that the verb can say what else is wrong with them.
    return _sound(checked, body, sound)


def _sound(checked: serializers.Serializer[Any], body: dict[str, Any], names: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        field = checked.fields[name]
        if name in body and not field.read_only:
            try:
                found[name] = field.run_validation(body[name])
            except serializers.ValidationError:
                continue
    return found
