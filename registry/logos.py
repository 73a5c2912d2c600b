"""Storing and removing the pictures of enti and services."""

import hashlib
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from registry.auditing import note
from registry.images import MAX_SIDE, Picture, read
from registry.models import Logo, LogoKind, Organization, Service, User
from registry.models.logo import MAX_BYTES

STORED = {LogoKind.FULL: gettext_noop("Nuovo logo"), LogoKind.MINIATURE: gettext_noop("Nuova miniatura del logo")}
REMOVED = {LogoKind.FULL: gettext_noop("Logo tolto"), LogoKind.MINIATURE: gettext_noop("Miniatura del logo tolta")}


class TooManyBytes(Exception):
    """More than `MAX_BYTES` of its kind."""


class TooManyPixels(Exception):
    """A side longer than `MAX_SIDE`."""


def examine(content: bytes, kind: LogoKind) -> Picture:
    """What these bytes are, if they can be a logo.

    Raises TooManyBytes, TooManyPixels, `images.NotAPicture`, `images.BrokenPicture`.
    """
    if len(content) > MAX_BYTES[kind]:
        raise TooManyBytes
    picture = read(content)
    if max(picture.width, picture.height) > MAX_SIDE:
        raise TooManyPixels
    return picture


def put(owner: Organization | Service, kind: LogoKind, picture: Picture, *, by: User) -> Logo:
    """Store an examined picture in the place of the one there was; the same again changes nothing."""
    digest = hashlib.sha256(picture.content).hexdigest()
    with transaction.atomic():
        locked = _locked(owner)
        logo: Logo | None = getattr(locked, kind.value)
        if logo is not None and logo.digest == digest:
            return logo
        if logo is None:
            logo = Logo()
        logo.media_type, logo.content, logo.digest = picture.media_type, picture.content, digest
        logo.save()
        setattr(locked, kind.value, logo)
        locked.save(update_fields=[kind.value])
        note(locked, STORED[kind], by=by)
    return logo


def remove(owner: Organization | Service, kind: LogoKind, *, by: User) -> bool:
    """Whether there was one."""
    with transaction.atomic():
        logo: Logo | None = getattr(_locked(owner), kind.value)
        if logo is None:
            return False
        # The owner points at nothing from here on.
        logo.delete()
        note(owner, REMOVED[kind], by=by)
    return True


def _locked(owner: Organization | Service) -> Organization | Service:
    """The row as it is, held until the transaction ends. Not from those who only refer to it: messages go on leaving."""
    rows: Any = type(owner).objects
    # Held first and read after: of a row that got another picture while this waited, a join would find none.
    rows.select_for_update(no_key=True).get(pk=owner.pk)
    pictures = rows.select_related("logo", "logo_miniature").defer("logo__content", "logo_miniature__content")
    found: Organization | Service = pictures.get(pk=owner.pk)
    return found
