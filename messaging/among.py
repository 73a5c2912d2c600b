"""`pk__among=[...]`: as `pk__in`, in one parameter. A group of a hundred costs the ORM and the driver a hundred otherwise."""

from typing import Any

from django.db.models import BigAutoField, BigIntegerField, Lookup


@BigAutoField.register_lookup
@BigIntegerField.register_lookup
class Among(Lookup):  # type: ignore[type-arg]  # no class at run time takes a parameter here
    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        ids = ",".join(str(int(pk)) for pk in self.rhs)
        if connection.vendor == "postgresql":
            return f"{column} = ANY(%s::bigint[])", [*params, f"{{{ids}}}"]
        return f"{column} IN (SELECT value FROM json_each(%s))", [*params, f"[{ids}]"]  # noqa: S608  (a column of ours)
