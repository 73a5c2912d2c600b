"""Who did what to an IO service, or to a service instance: lines of the back office's own log, so that pages and back office tell one history.

A line keeps the sentence as it is in the sources; the reader's language comes when it is shown.
"""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext_noop

from messaging.models import ActiveKey, IOService, OnDoubt, ServiceInstance
from registry.models import User

RESUMED = gettext_noop("Invio ripreso")
SWITCHED = {
    ActiveKey.PRIMARY: gettext_noop("Chiave in uso: dalla secondaria alla primaria"),
    ActiveKey.SECONDARY: gettext_noop("Chiave in uso: dalla primaria alla secondaria"),
}
ENTERED = {
    ActiveKey.PRIMARY: gettext_noop("Nuova chiave primaria"),
    ActiveKey.SECONDARY: gettext_noop("Nuova chiave secondaria"),
}
ON_DOUBT = {
    OnDoubt.ASK: gettext_noop("Esito incerto: decide una persona"),
    OnDoubt.RESEND: gettext_noop("Esito incerto: reinvia da solo una volta, dopo 10 minuti"),
}
DEEDS = frozenset({RESUMED, *SWITCHED.values(), *ENTERED.values(), *ON_DOUBT.values()})


def note(target: IOService | ServiceInstance, deed: str, *, by: User) -> None:
    """Write the line. Call it in the transaction of the change that it tells."""
    LogEntry.objects.log_actions(by.pk, [target], CHANGE, [{"changed": {"fields": [deed]}}], single_object=True)


def history_of(target: IOService | ServiceInstance, *, limit: int) -> list[LogEntry]:
    """The last lines, newest first, the back office's own included."""
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(target), object_id=str(target.pk))
    return list(entries.select_related("user").order_by("-action_time", "-pk")[:limit])
