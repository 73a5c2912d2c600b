"""Whether a caller reads fiscal codes whole: as in the portal, only with a role that may reveal them.

A program reads many at once, so nothing is recorded of each: whoever issues a key with `messages:read` to somebody of such
a role decides it.
"""

from collections.abc import Iterable

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from messaging.models import Message, ServiceInstance
from registry.api.callers import Caller
from registry.permissions import Action
from rest.errors import ErrorItem
from rest.problems import Problem

WHOLE_CODE = 16


def revealed_to(caller: Caller, messages: Iterable[Message]) -> frozenset[int]:
    """Of the service instances of these messages, those whose recipients the caller reads whole. One statement."""
    asked = {message.service_instance_id for message in messages}
    if not asked:
        return frozenset()
    open_to = ServiceInstance.objects.open_to(caller.user, Action.REVEAL_RECIPIENT)
    return frozenset(open_to.filter(pk__in=asked).values_list("pk", flat=True))


def check_search(query: QueryDict, *, instances: QuerySet[ServiceInstance], caller: Caller) -> None:
    """Raises Problem 403 where part of a code is looked for among codes that the caller sees masked: letter by letter the
    hidden ones would come out. A statement only where a part is looked for."""
    code = query.get("tax_code", "")
    if not code or len(code) >= WHOLE_CODE:
        return
    revealed = ServiceInstance.objects.open_to(caller.user, Action.REVEAL_RECIPIENT).values("pk")
    if instances.exclude(pk__in=revealed).exists():
        detail = _(
            "Una parte del codice fiscale si cerca solo col ruolo Invio o Approvazione su tutto ciò che si vede: "
            "indica il codice intero, o restringi con organization_id e service_id."
        )
        raise Problem(
            403, code="recipient_masked", errors=[ErrorItem("recipient_masked", "/tax_code", detail, "query")]
        )
