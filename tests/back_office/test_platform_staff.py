"""The back office asks the one answerer: platform staff run it without being superusers, and can make nobody more than they are."""

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from registry.models import Consumer, ConsumerKey, Logo, Organization, Role, Scope, Service, User
from registry.platform_admin import PlatformAdmin
from tests import factories
from tests.factories.cast import PASSWORD
from tests.support.pictures import jpeg, png

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return factories.user(is_staff=True)


@pytest.fixture
def staff(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def superuser() -> User:
    return factories.user(is_staff=True, is_superuser=True)


def address(model: str, page: str, *of: int) -> str:
    return reverse(f"admin:{model}_{page}", args=of)


class TestOneAnswerer:
    def test_answers_for_every_page_and_every_inline(self) -> None:
        # A page that asked Django's permissions would be closed to staff, or open to a superuser who is none.
        asked = [one for one in admin.site._registry.values() if not isinstance(one, PlatformAdmin)]
        inlines = [inline for one in admin.site._registry.values() for inline in one.inlines]
        assert asked == []
        assert [inline for inline in inlines if not issubclass(inline, PlatformAdmin)] == []

    def test_opens_every_page_to_staff(self, staff: Client) -> None:
        factories.service_instance()
        for model in admin.site._registry:
            name = f"{model._meta.app_label}_{model._meta.model_name}"
            for page in ("changelist", "add"):
                assert staff.get(address(name, page)).status_code == 200, name

    def test_lists_every_model_to_staff_on_the_first_page(self, staff: Client) -> None:
        page = staff.get(reverse("admin:index")).content.decode()
        for model in admin.site._registry:
            assert address(f"{model._meta.app_label}_{model._meta.model_name}", "changelist") in page

    @pytest.mark.parametrize("is_superuser", [False, True], ids=["nobody", "superuser without the rank"])
    def test_opens_nothing_to_others(self, *, is_superuser: bool) -> None:
        person = factories.user(is_superuser=is_superuser)
        for role in Role:
            factories.grant(person, role, all_organizations=True, all_services=True)
        client = Client()
        client.force_login(person)
        for model in admin.site._registry:
            name = f"{model._meta.app_label}_{model._meta.model_name}"
            assert client.get(address(name, "changelist")).status_code == 302, name

    def test_staff_enter_an_ente(self, staff: Client) -> None:
        answer = staff.post(
            address("registry_organization", "add"),
            {
                "tax_code": "00000000019",
                "legal_name": "Comune nuovo",
                "approval": "never",
                "sending_days": [str(day) for day in range(7)],
                "closure_days-TOTAL_FORMS": "0",
                "closure_days-INITIAL_FORMS": "0",
                "sending_hours_changes-TOTAL_FORMS": "0",
                "sending_hours_changes-INITIAL_FORMS": "0",
            },
        )
        assert answer.status_code == 302, answer.content.decode()
        assert Organization.objects.filter(tax_code="00000000019").exists()


class TestRanks:
    def save(self, client: Client, person: User, **changed: str) -> int:
        typed = {
            "principal": person.principal,
            "full_name": person.full_name,
            "email": person.email,
            "is_active": "on",
            "grants-TOTAL_FORMS": "0",
            "grants-INITIAL_FORMS": "0",
            **changed,
        }
        return client.post(address("registry_user", "change", person.pk), typed).status_code

    def test_only_a_superuser_gives_them(self, staff: Client, superuser: User) -> None:
        somebody = factories.user()
        assert self.save(staff, somebody, full_name="Un nome nuovo", is_staff="on", is_superuser="on") == 302
        somebody.refresh_from_db()
        assert (somebody.full_name, somebody.is_staff, somebody.is_superuser) == ("Un nome nuovo", False, False)
        chief = Client()
        chief.force_login(superuser)
        assert self.save(chief, somebody, is_staff="on") == 302
        somebody.refresh_from_db()
        assert (somebody.is_staff, somebody.is_superuser) == (True, False)

    def test_nobody_gives_them_to_themselves(self, staff: Client, person: User) -> None:
        assert self.save(staff, person, is_staff="on", is_superuser="on") == 302
        person.refresh_from_db()
        assert (person.is_staff, person.is_superuser) == (True, False)

    def test_staff_touch_no_superuser(self, staff: Client, superuser: User) -> None:
        assert self.save(staff, superuser, full_name="Altro") == 403
        typed = {"password1": "una-parola-nuova-9", "password2": "una-parola-nuova-9", "usable_password": "true"}
        for page in (
            reverse("admin:auth_user_password_change", args=[superuser.pk]),
            address("registry_user", "delete", superuser.pk),
        ):
            assert staff.post(page, {**typed, "post": "yes"}).status_code == 403
        action = {"action": "delete_selected", "_selected_action": [superuser.pk], "post": "yes"}
        staff.post(address("registry_user", "changelist"), action)
        superuser.refresh_from_db()
        assert superuser.check_password(PASSWORD)

    def test_staff_give_no_program_and_no_key_to_a_superuser(self, staff: Client, superuser: User) -> None:
        typed = {"name": "Un programma", "user": superuser.pk, "amount_unit": "cents", "is_active": "on"}
        assert staff.post(address("registry_consumer", "add"), typed).status_code == 200
        assert not Consumer.objects.exists()
        consumer = factories.consumer(user=superuser)
        assert staff.post(address("registry_consumer", "change", consumer.pk), typed).status_code == 403
        typed = {"consumer": consumer.pk, "scopes": [Scope.ADMIN_WRITE.value], "expires_at_0": "", "expires_at_1": ""}
        assert staff.post(address("registry_consumerkey", "add"), typed).status_code == 200
        assert not ConsumerKey.objects.exists()

    def test_staff_give_programs_to_everybody_else(self, staff: Client) -> None:
        typed = {"name": "Un programma", "user": factories.user().pk, "amount_unit": "cents", "is_active": "on"}
        assert staff.post(address("registry_consumer", "add"), typed).status_code == 302
        assert Consumer.objects.count() == 1


class TestSecrets:
    """A filter in an address would tell, sign after sign, how a secret begins."""

    @pytest.mark.parametrize(
        ("model", "lookup"),
        [
            ("messaging_ioservice", "primary_key__startswith"),
            ("messaging_ioservice", "secondary_key"),
            ("messaging_serviceinstance", "io_service__primary_key__startswith"),
            ("registry_consumerkey", "digest__startswith"),
            ("registry_consumerkey", "consumer__user__password__startswith"),
            ("registry_consumer", "keys__digest__startswith"),
            ("registry_user", "password__startswith"),
        ],
    )
    def test_are_no_filters(self, staff: Client, model: str, lookup: str) -> None:
        assert staff.get(f"{address(model, 'changelist')}?{lookup}=a").status_code == 400

    def test_leave_the_other_filters(self, staff: Client) -> None:
        for model, lookup in (
            ("registry_consumerkey", "consumer__id__exact=1"),
            ("registry_user", "is_active__exact=1"),
        ):
            assert staff.get(f"{address(model, 'changelist')}?{lookup}").status_code == 200


class TestLogos:
    def save(self, staff: Client, service: Service, **changed: object) -> int:
        typed = {"service_name": service.service_name, "description": "", **changed}
        return staff.post(address("registry_service", "change", service.pk), typed).status_code

    def picture(self, content: bytes) -> SimpleUploadedFile:
        return SimpleUploadedFile("stemma.png", content, content_type="image/png")

    def test_are_stored_as_what_they_are_and_removed(self, staff: Client) -> None:
        service = factories.service()
        both = {"new_logo": self.picture(png()), "new_logo_miniature": self.picture(jpeg())}
        assert self.save(staff, service, **both) == 302
        service.refresh_from_db()
        assert service.logo is not None
        assert service.logo_miniature is not None
        assert (service.logo.media_type, service.logo_miniature.media_type) == ("image/png", "image/jpeg")
        assert self.save(staff, service, remove_logo="on") == 302
        service.refresh_from_db()
        assert (service.logo_id, Logo.objects.count()) == (None, 1)

    def test_stay_when_the_rest_of_the_page_is_saved(self, staff: Client) -> None:
        service = factories.service()
        self.save(staff, service, new_logo=self.picture(png()))
        assert self.save(staff, service, description="Un'altra") == 302
        service.refresh_from_db()
        assert service.logo_id is not None

    @pytest.mark.parametrize("content", [b"<svg/>", png()[:-1], png(5000, 1), png(after=b"x" * 200_000)])
    def test_are_refused_when_they_are_no_whole_picture_of_bearable_size(self, staff: Client, content: bytes) -> None:
        service = factories.service()
        assert self.save(staff, service, new_logo=self.picture(content)) == 200
        assert not Logo.objects.exists()

    def test_are_on_the_page_of_an_ente(self, staff: Client) -> None:
        page = staff.get(address("registry_organization", "change", factories.organization().pk)).content.decode()
        assert 'name="new_logo"' in page
        assert 'enctype="multipart/form-data"' in page
