"""Back office for platform staff: enti, services, IO accounts, people and what they may do, integrators and their keys."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.logo_admin import LogosAdmin, LogosForm
from registry.models import (
    ClosureDay,
    Consumer,
    ConsumerKey,
    Grant,
    IOAccount,
    Organization,
    Scope,
    SendingHoursChange,
    Service,
    User,
)
from registry.opening_hours import EVERY_DAY
from registry.platform_admin import PlatformAdmin
from registry.setting_hours import record_change, snapshot
from registry.weekdays import WeekdaysField

if TYPE_CHECKING:
    _IOAccountAdmin = admin.ModelAdmin[IOAccount]
    _GrantInline = admin.StackedInline[Grant, User]
    _ConsumerAdmin = admin.ModelAdmin[Consumer]
    _ConsumerKeyAdmin = admin.ModelAdmin[ConsumerKey]
    _UserAdmin = DjangoUserAdmin[Any]  # the stubs only know heirs of AbstractUser
    _PasswordForm = AdminPasswordChangeForm[User]
    _KeyForm = forms.ModelForm[ConsumerKey]
    _ClosureDayInline = admin.TabularInline[ClosureDay, Organization]
    _SendingHoursChangeInline = admin.TabularInline[SendingHoursChange, Organization]
else:
    _IOAccountAdmin = _ConsumerAdmin = _ConsumerKeyAdmin = admin.ModelAdmin
    _GrantInline = admin.StackedInline
    _UserAdmin = DjangoUserAdmin
    _PasswordForm = AdminPasswordChangeForm
    _KeyForm = forms.ModelForm
    _ClosureDayInline = _SendingHoursChangeInline = admin.TabularInline

# Rights are grants, never Django's groups: one answerer.
admin.site.unregister(Group)
admin.site.site_header = _("GovIO Portal: piattaforma")
admin.site.site_title = _("Piattaforma")
admin.site.index_title = _("Enti, servizi, persone")


class OrganizationForm(LogosForm):
    sending_days = WeekdaysField(label=_("Giorni di invio"), initial=EVERY_DAY)

    class Meta:
        model = Organization
        fields = "__all__"


class ClosureDayInline(PlatformAdmin, _ClosureDayInline):
    model = ClosureDay
    extra = 0


class SendingHoursChangeInline(PlatformAdmin, _SendingHoursChangeInline):
    """Who changed the hours, here or in the portal: to be read alone."""

    model = SendingHoursChange
    fields = ["at", "actor", "before", "after"]
    readonly_fields = ["at", "actor", "before", "after"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(PlatformAdmin, LogosAdmin):
    form = OrganizationForm
    list_display = ["legal_name", "tax_code", "io_account", "approval"]
    search_fields = ["legal_name", "tax_code"]
    inlines = [ClosureDayInline, SendingHoursChangeInline]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        """Django has saved the ente itself a moment ago, in the same transaction; now its days of closure."""
        super().save_related(request, form, formsets, change)
        assert isinstance(request.user, User)  # whoever enters the back office is signed in
        # As stored again: what this page left alone may have been changed since it was read.
        saved = Organization.objects.get(pk=form.instance.pk)
        record_change(saved, before=form.instance.hours_before, by=request.user, at=timezone.now())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001  (likewise)
        # As stored: the object in hand already has what the form says.
        before = Organization.objects.select_for_update().filter(pk=obj.pk).first() or Organization()
        obj.hours_before = snapshot(before)  # in memory only, for save_related
        super().save_model(request, obj, form, change)


class ServiceForm(LogosForm):
    class Meta:
        model = Service
        fields = "__all__"


@admin.register(Service)
class ServiceAdmin(PlatformAdmin, LogosAdmin):
    form = ServiceForm
    list_display = ["service_name", "description"]
    search_fields = ["service_name", "description"]


@admin.register(IOAccount)
class IOAccountAdmin(PlatformAdmin, _IOAccountAdmin):
    list_display = ["name", "calls_per_second"]
    search_fields = ["name"]


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser


def _may_act_on(request: HttpRequest, person: User) -> bool:
    """A superuser's password, user name and programs are worth as much as a superuser: nobody less may touch them."""
    return _is_superuser(request) or not person.is_superuser


class GrantInline(PlatformAdmin, _GrantInline):
    model = Grant
    extra = 0
    filter_horizontal = ["organizations", "services"]


class UserCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("principal",)
        field_classes: dict[str, type[forms.Field]] = {}


class PasswordForm(_PasswordForm):
    """Django's writes the whole row, and would put back whatever was changed meanwhile of the person's rank."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002  (Django's signature)
        person: User = super().save(commit=False)
        if commit:
            person.save(update_fields=["password"])
        return person


@admin.register(User)
class UserAdmin(PlatformAdmin, _UserAdmin):
    """A person with their grants on one page."""

    add_form = UserCreationForm
    change_password_form = PasswordForm
    list_display = ["principal", "full_name", "email", "is_active", "is_staff"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["principal", "full_name", "email"]
    ordering = ["full_name", "id"]
    filter_horizontal = []
    fieldsets = [
        (None, {"fields": ["principal", "password"]}),
        (_("Persona"), {"fields": ["full_name", "email"]}),
        (_("Accesso"), {"fields": ["is_active", "is_staff", "is_superuser", "last_login"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": ["principal", "full_name", "email", "usable_password", "password1", "password2"],
            },
        )
    ]
    inlines = [GrantInline]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _may_act_on(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _may_act_on(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        # Who runs the platform, and who decides it, is for superusers to say.
        ranks = [] if _is_superuser(request) else ["is_staff", "is_superuser"]
        return ["last_login", *ranks]


@admin.register(Consumer)
class ConsumerAdmin(PlatformAdmin, _ConsumerAdmin):
    list_display = ["name", "user", "amount_unit", "is_active"]
    search_fields = ["name"]
    autocomplete_fields = ["user"]

    def has_change_permission(self, request: HttpRequest, obj: Consumer | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _may_act_on(request, obj.user))

    def has_delete_permission(self, request: HttpRequest, obj: Consumer | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _may_act_on(request, obj.user))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "user" and not _is_superuser(request):
            options["queryset"] = User.objects.filter(is_superuser=False)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: Consumer | None = None) -> list[str]:
        # Changing the unit of a consumer that already sends would change what its amounts mean.
        return ["amount_unit"] if obj is not None else []


class ConsumerKeyForm(_KeyForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, label=_("Ambiti"), widget=forms.CheckboxSelectMultiple, initial=Scope.values
    )

    class Meta:
        model = ConsumerKey
        fields = ["consumer", "scopes", "expires_at"]


@admin.register(ConsumerKey)
class ConsumerKeyAdmin(PlatformAdmin, _ConsumerKeyAdmin):
    """Keys are issued and revoked, never edited or deleted: their history is what an incident needs."""

    form = ConsumerKeyForm
    list_display = ["prefix", "consumer", "issued_by", "created_at", "expires_at", "revoked_at", "last_used_at"]
    list_select_related = ["consumer", "issued_by"]
    list_filter = ["consumer"]
    actions = ["revoke"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "consumer" and not _is_superuser(request):
            options["queryset"] = Consumer.objects.filter(user__is_superuser=False)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def has_change_permission(self, request: HttpRequest, obj: ConsumerKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ConsumerKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ConsumerKey, form: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        assert isinstance(request.user, User)  # whoever enters the back office is signed in
        issued, clear = ConsumerKey.issue(
            obj.consumer, scopes=list(obj.scopes), expires_at=obj.expires_at, by=request.user
        )
        obj.pk, obj.prefix = issued.pk, issued.prefix
        # On the row of this request: the admin itself serves everybody at once.
        obj.clear_key = clear  # type: ignore[attr-defined]  # in memory only, for response_add

    def response_add(
        self, request: HttpRequest, obj: ConsumerKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        # In the answer itself: a notice would carry the key through a cookie.
        context = {
            **self.admin_site.each_context(request),
            "key": obj.clear_key,  # type: ignore[attr-defined]  # set by save_model, in memory only
            "title": _("Chiave creata"),
            "row": obj,
        }
        answer = TemplateResponse(request, "admin/registry/consumerkey/issued.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description=_("Revoca le chiavi scelte"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
