"""What every page's frame shows. Each part is worked out only when a template asks, so that fragments pay for nothing."""

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import ngettext

from portal.navigation import Entry, menu_of
from registry.models import Organization, User


class Frame:
    """Of one request; the person may be nobody (sign-in and help pages)."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def _user(self) -> User | None:
        user = getattr(self._request, "user", None)
        return user if isinstance(user, User) else None

    @property
    def version(self) -> str:
        return str(getattr(settings, "VERSION", ""))

    @property
    def is_trial(self) -> bool:
        """True when IO is played by the sandbox: nothing reaches a citizen."""
        return bool(settings.IO_IS_SANDBOX)

    @cached_property
    def menu(self) -> tuple[Entry, ...]:
        return menu_of(self._user) if self._user else ()

    @cached_property
    def entities(self) -> str:
        """The ente's name, or how many there are."""
        if self._user is None:
            return ""
        visible = Organization.objects.visible_to(self._user, at=timezone.now())
        names = list(visible.values_list("legal_name", flat=True)[:2])
        if len(names) < 2:
            return "".join(names)
        number = visible.count()
        return ngettext("%(number)d ente", "%(number)d enti", number) % {"number": number}

    @cached_property
    def has_several_entities(self) -> bool:
        """True when pages must name the ente beside the service."""
        if self._user is None:
            return False
        return len(Organization.objects.visible_to(self._user, at=timezone.now()).values_list("pk")[:2]) > 1

    @property
    def base(self) -> str:
        """The template that pages extend: the whole frame, or the content alone when htmx asks for it."""
        return "portal/base_partial.html" if is_fragment(self._request) else "portal/base.html"


def is_fragment(request: HttpRequest) -> bool:
    """True when htmx asks for a piece of the page; going back in history needs the whole page again."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-History-Restore-Request") != "true"


def frame(request: HttpRequest) -> dict[str, Frame]:
    """Context processor."""
    return {"frame": Frame(request)}
