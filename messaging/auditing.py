"""Who did what to an IO service, or to a service instance: lines of the back office's own log, so that pages and back office tell one history.

A line keeps the sentence as it is in the sources; the reader's language comes when it is shown.
"""

import json
from collections import Counter
from collections.abc import Collection
from enum import Enum

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
PROVED = {
    ActiveKey.PRIMARY: gettext_noop("Provata la chiave primaria"),
    ActiveKey.SECONDARY: gettext_noop("Provata la chiave secondaria"),
}
# Before storing it, if it was stored at all.
PROVED_NEW = {
    ActiveKey.PRIMARY: gettext_noop("Provata una nuova chiave primaria"),
    ActiveKey.SECONDARY: gettext_noop("Provata una nuova chiave secondaria"),
}
ENABLED = gettext_noop("Abilitato: si può inviare")
DISABLED = gettext_noop("Disabilitato: non si può inviare")
MOVED = gettext_noop("Cambiato il servizio IO")
CAP_SET = gettext_noop("Cambiato l'importo massimo")
CITIZEN_OF_TRIAL_SET = gettext_noop("Cambiato il codice fiscale di prova")
SECURE_CHANNELS = {
    True: gettext_noop("Canali sicuri: richiesti"),
    False: gettext_noop("Canali sicuri: decide il servizio su IO"),
}


class Proven(Enum):
    """What a proof came to: the second sentence of its line."""

    TAKEN = gettext_noop("IO la accetta")
    NOT_TAKEN = gettext_noop("IO non la accetta")
    UNKNOWN = gettext_noop("non sappiamo se IO la accetta")


DEEDS = frozenset(
    {
        RESUMED,
        *SWITCHED.values(),
        *ENTERED.values(),
        *ON_DOUBT.values(),
        *PROVED.values(),
        *PROVED_NEW.values(),
        ENABLED,
        DISABLED,
        MOVED,
        CAP_SET,
        CITIZEN_OF_TRIAL_SET,
        *SECURE_CHANNELS.values(),
        *(result.value for result in Proven),
    }
)


def note(target: IOService | ServiceInstance, *deeds: str, by: User) -> None:
    """Write one line of one or more sentences. Call it in the transaction of the change that it tells, if there is one."""
    LogEntry.objects.log_actions(by.pk, [target], CHANGE, [{"changed": {"fields": deeds}}], single_object=True)


def deeds_of(entry: LogEntry) -> list[str]:
    """The sentences of a line as they are in the sources; those of the back office are names of fields. Empty if none."""
    try:
        return [field for part in json.loads(entry.change_message) for field in part["changed"]["fields"]]
    except (ValueError, KeyError, TypeError):
        return []


def rekeyed_since_suspended(io_services: Collection[IOService]) -> frozenset[int]:
    """Those of these suspended IO services whose key in use is another than when they were suspended. One query.

    As their history tells: a switch there and back leaves the key that was refused.
    """
    if not io_services:
        return frozenset()
    suspended = {str(one.pk): one for one in io_services if one.suspended_at is not None}
    lines = LogEntry.objects.filter(
        content_type__app_label=IOService._meta.app_label,
        content_type__model=IOService._meta.model_name,
        object_id__in=suspended,
        action_time__gte=min(one.suspended_at for one in suspended.values() if one.suspended_at),
    )
    switches: Counter[int] = Counter()
    entered = set()
    for line in lines:
        service = suspended[str(line.object_id)]
        assert service.suspended_at is not None
        if line.action_time >= service.suspended_at:
            deeds = deeds_of(line)
            switches[service.pk] += sum(deed in SWITCHED.values() for deed in deeds)
            if ENTERED[ActiveKey(service.active_key)] in deeds:
                entered.add(service.pk)
    return frozenset(entered | {pk for pk, number in switches.items() if number % 2})


def history_of(target: IOService | ServiceInstance, *, limit: int) -> list[LogEntry]:
    """The last lines, newest first, the back office's own included."""
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(target), object_id=str(target.pk))
    return list(entries.select_related("user").order_by("-action_time", "-pk")[:limit])
