import enum
from typing import TYPE_CHECKING, Any, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.images import MEDIA_TYPES


class LogoKind(enum.Enum):
    """Which of the two pictures of an owner: the value is the field that points at it."""

    FULL = "logo"
    MINIATURE = "logo_miniature"


# In bytes, as GovRegistry has them.
MAX_BYTES: Final = {LogoKind.FULL: 200_000, LogoKind.MINIATURE: 50_000}


class Logo(models.Model):
    """A picture of an ente or of a service, in a table of its own: no list and no message ever loads one."""

    media_type = models.CharField(_("formato"), max_length=16)
    content = models.BinaryField(_("immagine"))
    # SHA-256 of the content, hexadecimal.
    digest = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("logo")
        verbose_name_plural = _("loghi")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(media_type__in=MEDIA_TYPES), name="logo_is_a_picture_browsers_only_show"
            )
        ]

    def __str__(self) -> str:
        return f"{self.media_type} {self.digest[:8]}"


class WithLogos(models.Model):
    """What has a logo and a miniature of it. The owner points at its pictures, so that whoever shows it knows at no cost
    whether there are any."""

    logo = models.OneToOneField(
        Logo, models.SET_NULL, null=True, blank=True, editable=False, related_name="+", verbose_name=_("logo")
    )
    logo_miniature = models.OneToOneField(
        Logo,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("miniatura del logo"),
    )

    if TYPE_CHECKING:
        logo_id: int | None
        logo_miniature_id: int | None

    class Meta:
        abstract = True


def delete_logos_of(instance: WithLogos, **_signal: Any) -> None:
    """Receiver of `post_delete`: pictures go with their owner."""
    Logo.objects.filter(pk__in=[pk for pk in (instance.logo_id, instance.logo_miniature_id) if pk]).delete()
