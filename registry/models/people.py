from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from registry.models.organization import Organization
from registry.models.service import Service
from registry.querysets import GrantQuerySet, UserQuerySet


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def visible_to(self, user: "User", *, at: datetime) -> UserQuerySet:
        return self.get_queryset().visible_to(user, at=at)

    def administered_by(self, user: "User", *, at: datetime) -> UserQuerySet:
        return self.get_queryset().administered_by(user, at=at)

    def create_user(self, principal: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(principal=principal, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, principal: str, password: str | None = None, **fields: Any) -> "User":
        fields.setdefault("full_name", principal)
        return self.create_user(principal, password, **{**fields, "is_staff": True, "is_superuser": True})


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `principal` is the user name (GovIO's word); what they may do is in their grants alone.

    `is_staff` marks platform staff: enti, services, IO accounts and grants on all are theirs, through the back office.
    It gives no right to read or send messages.
    """

    principal = models.CharField(_("nome utente"), max_length=255, unique=True, validators=[UnicodeUsernameValidator()])
    full_name = models.CharField(_("nome e cognome"), max_length=255)
    email = models.EmailField(_("indirizzo e-mail"), max_length=255, blank=True)
    is_active = models.BooleanField(_("abilitato"), default=True)
    is_staff = models.BooleanField(_("personale della piattaforma"), default=False)
    date_joined = models.DateTimeField(_("creato il"), auto_now_add=True)
    # Through the API; whoever made somebody who holds nothing yet may go on and give them something.
    created_by = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="+", verbose_name=_("creato da")
    )

    USERNAME_FIELD = "principal"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    objects = UserManager()

    class Meta:
        verbose_name = _("utente")
        verbose_name_plural = _("utenti")
        ordering = ["full_name", "id"]
        constraints = [
            # Two names that differ by a capital would be taken for one person.
            models.UniqueConstraint(
                Lower("principal"),
                name="user_principal_once_in_any_case",
                violation_error_message=_("C'è già un utente con questo nome utente."),
            )
        ]

    def __str__(self) -> str:
        return self.full_name or self.principal

    def get_full_name(self) -> str:
        return self.full_name


class Role(models.TextChoices):
    """What a grant lets a person do (docs/glossary.md). Which action needs which role is in `registry.permissions`."""

    VIEWER = "viewer", _("Consultazione")
    EDITOR = "editor", _("Redazione")
    SENDER = "sender", _("Invio")
    APPROVER = "approver", _("Approvazione")
    CONFIGURATOR = "configurator", _("Configurazione")
    ADMINISTRATOR = "administrator", _("Amministrazione")


class Grant(models.Model):
    """One role, on enti and services *together*, until a date.

    "All" is an explicit boolean, so that emptying a set takes rights away instead of giving them all (GovIO's fault).
    A right exists only where one single grant covers the ente and the service at once.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="grants", verbose_name=_("utente"))
    role = models.CharField(_("ruolo"), max_length=16, choices=Role.choices)
    all_organizations = models.BooleanField(_("tutti gli enti"), default=False)
    organizations = models.ManyToManyField(Organization, blank=True, related_name="+", verbose_name=_("enti"))
    all_services = models.BooleanField(_("tutti i servizi"), default=False)
    services = models.ManyToManyField(Service, blank=True, related_name="+", verbose_name=_("servizi"))
    expires_at = models.DateTimeField(_("scade il"), null=True, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        verbose_name = _("autorizzazione")
        verbose_name_plural = _("autorizzazioni")
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="grant_role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.role}"
