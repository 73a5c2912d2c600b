"""The menu: only entries that lead to a page this person may open."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from messaging.configuring import configurable_by
from messaging.models import Message
from portal.sending_state import may_see_sending
from registry.models import User
from registry.permissions import Action, may_somewhere

# Beyond this the badge says "99+": an exact number would cost a scan and tell nobody more.
COUNTED = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu. `count` is what waits for a person there, zero for nothing."""

    label: Promise
    url: str
    section: str
    count: int = 0

    @property
    def count_label(self) -> str:
        return f"{COUNTED - 1}+" if self.count >= COUNTED else str(self.count)


def menu_of(user: User) -> tuple[Entry, ...]:
    """Costs three or four queries; asked for once a page."""
    entries = []
    if may_somewhere(user, Action.SEE_MESSAGES):
        doubts = Message.objects.visible_to(user).uncertain()[:COUNTED].count()
        entries.append(Entry(_("Messaggi"), reverse("portal:messages"), "messages"))
        entries.append(Entry(_("Da decidere"), reverse("portal:uncertain"), "uncertain", doubts))
    if may_somewhere(user, Action.CONFIGURE_SENDING):
        suspended = configurable_by(user).filter(suspended_at__isnull=False)[:COUNTED].count()
        entries.append(Entry(_("Servizi IO"), reverse("portal:io_services"), "io_services", suspended))
    if may_somewhere(user, Action.SET_SENDING_HOURS):
        entries.append(Entry(_("Impostazioni ente"), reverse("portal:organizations"), "organizations"))
    if may_see_sending(user):
        entries.append(Entry(_("Stato dell’invio"), reverse("portal:sending"), "sending"))
    if user.is_staff:
        entries.append(Entry(_("Amministrazione della piattaforma"), reverse("admin:index"), "admin"))
    return tuple(entries)
