"""Against guessing passwords, at the portal's sign-in and the back office's.

django-axes locks a name for the address that failed with it five times. One address that fails with many names is
stopped like one that guesses keys of the API (`rest.guessing`).
"""

from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.exceptions import AxesBackendPermissionDenied
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from rest.client_address import origin_of
from rest.guessing import Door

door = Door("sign-in")


class GuardedBackend(AxesStandaloneBackend, ModelBackend):  # type: ignore[misc]  # axes has no types
    """Django's own, which asks axes first. One backend, so that `login` need not be told which."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """Raises PermissionDenied when name or address are locked: the password is then not looked at."""
        AxesStandaloneBackend.authenticate(self, request, username=username, password=password, **kwargs)
        assert request is not None  # axes has refused to work without one
        origin = origin_of(request)
        if seconds := door.seconds_closed(origin):
            # Axes' middleware then answers as for a lock of its own.
            request.axes_locked_out = True  # type: ignore[attr-defined]
            request.locked_seconds = seconds  # type: ignore[attr-defined]
            raise AxesBackendPermissionDenied
        user = ModelBackend.authenticate(self, request, username=username, password=password, **kwargs)
        if user is None:
            door.failed(origin)
        return user


def name_for_counting(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """What axes stores for a user name. Not the name: people also type their password there."""
    name = (credentials or {}).get("username", "")
    return salted_hmac("portal.sign_in_guard", str(name), algorithm="sha256").hexdigest()


def seconds_locked(request: HttpRequest) -> int:
    """How long whoever was refused should wait; a lock of axes' may end a little sooner."""
    return int(getattr(request, "locked_seconds", settings.AXES_COOLOFF_TIME.total_seconds()))
