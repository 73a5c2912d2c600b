"""Who did what to people, grants, consumers, keys, enti, services and templates: lines of the back office's own log.

So pages, API and back office tell one history. A line keeps each sentence as it is in the sources (mark it with
`gettext_noop`); the reader's language comes when it is shown. Never a secret, a fiscal code or the text of a message.
"""

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.db.models import Model

from registry.models import User


def note(target: Model, *deeds: str, by: User, created: bool = False) -> None:
    """Write one line about `target`. Call it in the transaction of the change that it tells.

    `created` says that `target` itself is new; `deeds` may then be left out.
    """
    message: list[dict[str, object]] = [{"added": {}}] if created else []
    if deeds:
        message.append({"changed": {"fields": list(deeds)}})
    LogEntry.objects.log_actions(by.pk, [target], ADDITION if created else CHANGE, message, single_object=True)
