"""SealedField: a column that holds a secret sealed, and gives it back as a `Sealed` that opens only when asked."""

from typing import TYPE_CHECKING, Any

from django.db import models

from sealed.boxes import Sealed

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    _Base = models.TextField[Sealed, Sealed]
else:
    _Base = models.TextField


class SealedField(_Base):
    """Takes and gives `Sealed`. No value is the empty `Sealed()`, so "no key yet" can be asked in SQL, and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(blank=True, default=Sealed, editable=False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for implied in ("blank", "default", "editable"):
            kwargs.pop(implied, None)
        return name, path, args, kwargs

    def from_db_value(self, value: str | None, expression: Any, connection: "BaseDatabaseWrapper") -> Sealed:
        return Sealed(value or "")

    def to_python(self, value: Any) -> Sealed:
        return value if isinstance(value, Sealed) else Sealed()

    def get_prep_value(self, value: Any) -> str:
        if isinstance(value, Sealed):
            return value.token
        if value in ("", None):
            return ""
        raise TypeError("a sealed column takes Sealed.close(text), never the text itself")
