"""Against guessing passwords: five for a name from one address, twenty a minute from an address; the back office too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth import authenticate
from django.test import Client, RequestFactory
from django.urls import reverse

from govio_portal.tasks import forget_failures
from portal import sign_in_guard
from registry.models import User
from rest.models import RequestCount
from tests import factories
from tests.factories.cast import PASSWORD
from tests.portal.html_page import Element, check_page
from tests.portal.visitor import address

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HERE, THERE = "198.51.100.7", "203.0.113.9"
ALLOWED = 5
WRONG = "sbagliata"


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    sign_in_guard.door.forget()
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock
    sign_in_guard.door.forget()


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture(params=["portal", "back office"])
def url(request: pytest.FixtureRequest) -> str:
    return address("login") if request.param == "portal" else reverse("admin:login")


@pytest.fixture
def staff() -> User:
    return factories.user(is_staff=True, is_superuser=True)


def attempt(url: str, name: str, password: str = WRONG, *, peer: str = HERE, **headers: str) -> Any:
    return Client().post(url, {"username": name, "password": password}, REMOTE_ADDR=peer, headers=headers)


def fail(url: str, name: str, times: int = ALLOWED, **where: Any) -> None:
    for _ in range(times - 1):
        assert attempt(url, name, **where).status_code in (200, 422)
    assert attempt(url, name, **where).status_code == 429


def shown(response: Any) -> Element:
    return check_page(response.content.decode())


class TestAName:
    def test_is_locked_after_five_failures_for_a_quarter_of_an_hour(self, url: str, staff: User, clock: Any) -> None:
        fail(url, staff.principal)
        locked = attempt(url, staff.principal, PASSWORD)
        assert locked.status_code == 429
        assert locked.headers["Retry-After"] == "900"
        clock.shift(timedelta(minutes=15, seconds=1))
        assert attempt(url, staff.principal, PASSWORD).status_code == 302

    def test_that_is_locked_is_told_when_to_come_back(self, url: str, staff: User) -> None:
        fail(url, staff.principal)
        page = shown(attempt(url, staff.principal, PASSWORD))
        assert "Troppi tentativi" in page.one("title").text
        assert "fra 15 minuti" in page.one("main").text
        assert not page.all("form")

    def test_is_not_locked_before(self, url: str, staff: User) -> None:
        for _ in range(ALLOWED - 1):
            attempt(url, staff.principal)
        assert attempt(url, staff.principal, PASSWORD).status_code == 302

    def test_begins_anew_after_a_success(self, url: str, staff: User) -> None:
        for _ in range(3):
            for _ in range(ALLOWED - 1):
                attempt(url, staff.principal)
            assert attempt(url, staff.principal, PASSWORD).status_code == 302

    def test_is_locked_at_both_pages_at_once(self, staff: User) -> None:
        fail(address("login"), staff.principal)
        assert attempt(reverse("admin:login"), staff.principal, PASSWORD).status_code == 429

    def test_that_nobody_has_is_locked_alike(self, url: str) -> None:
        fail(url, "nessuno")
        unknown = attempt(url, "nessuno")
        person = factories.user()
        fail(url, person.principal)
        assert attempt(url, person.principal).content == unknown.content

    def test_stays_open_for_another_address(self, url: str, staff: User) -> None:
        fail(url, staff.principal)
        assert attempt(url, staff.principal, PASSWORD, peer=THERE).status_code == 302

    def test_leaves_other_names_open(self, url: str, staff: User, person: User) -> None:
        fail(url, person.principal)
        assert attempt(url, staff.principal, PASSWORD).status_code == 302

    def test_stays_locked_whatever_the_browser_says_it_is(self, url: str, staff: User) -> None:
        for number in range(ALLOWED):
            attempt(url, staff.principal, **{"User-Agent": f"Browser {number}"})
        assert attempt(url, staff.principal, PASSWORD).status_code == 429

    def test_is_locked_for_a_whole_ipv6_network(self, url: str, staff: User) -> None:
        for number in range(ALLOWED):
            attempt(url, staff.principal, peer=f"2001:db8::{number + 1}")
        assert attempt(url, staff.principal, PASSWORD, peer="2001:db8::ffff").status_code == 429
        assert attempt(url, staff.principal, PASSWORD, peer="2001:db8:0:1::1").status_code == 302

    def test_whose_lock_is_tried_again_is_not_locked_for_longer(self, url: str, staff: User, clock: Any) -> None:
        fail(url, staff.principal)
        clock.shift(timedelta(minutes=14))
        assert attempt(url, staff.principal).status_code == 429
        clock.shift(timedelta(minutes=1, seconds=1))
        assert attempt(url, staff.principal, PASSWORD).status_code == 302

    def test_without_an_address_is_locked_too(self, url: str, staff: User) -> None:
        fail(url, staff.principal, peer="")


class TestTheAddress:
    def test_cannot_be_chosen_by_whoever_guesses(self, person: User) -> None:
        for number in range(ALLOWED):
            attempt(address("login"), person.principal, **{"X-Forwarded-For": f"10.9.9.{number}"})
        assert attempt(address("login"), person.principal, PASSWORD).status_code == 429

    def test_is_the_last_that_a_trusted_proxy_wrote(self, person: User, settings: Any) -> None:
        settings.TRUST_PROXY = True
        for number in range(ALLOWED):
            forwarded = {"X-Forwarded-For": f"10.9.9.{number}, {HERE}"}
            attempt(address("login"), person.principal, peer="10.0.0.1", **forwarded)
        for client, status in ((HERE, 429), (THERE, 302)):
            again = attempt(
                address("login"), person.principal, PASSWORD, peer="10.0.0.1", **{"X-Forwarded-For": client}
            )
            assert again.status_code == status

    @pytest.mark.parametrize("keeper", ["database", pytest.param("redis", marks=pytest.mark.redis)])
    def test_that_fails_with_many_names_is_stopped_until_the_minute_ends(
        self, url: str, staff: User, settings: Any, clock: Any, keeper: str
    ) -> None:
        settings.GUESS_LIMIT = 8
        if keeper == "database":
            settings.REDIS_URL = ""
        for number in range(8):
            assert attempt(url, f"nome{number}").status_code in (200, 422)
        stopped = attempt(url, staff.principal, PASSWORD)
        assert stopped.status_code == 429
        assert stopped.headers["Retry-After"] == "60"
        assert "fra 1 minuto." in shown(stopped).one("main").text
        assert attempt(url, staff.principal, PASSWORD, peer=THERE).status_code == 302
        clock.shift(timedelta(minutes=1))
        assert attempt(url, staff.principal, PASSWORD).status_code == 302


class TestWhatIsKept:
    def test_names_nobody(self, person: User) -> None:
        attempt(f"{address('login')}?next=/messaggi/", person.principal)
        (row,) = AccessAttempt.objects.values()
        assert person.principal not in str(row)
        assert WRONG not in str(row)
        assert "messaggi" not in str(row)
        assert str(row["ip_address"]) == HERE

    def test_is_no_password_typed_in_the_wrong_place(self) -> None:
        attempt(address("login"), "la-mia-password-segreta", "altro")
        assert "segreta" not in str(AccessAttempt.objects.values())

    def test_is_no_list_of_who_came_in(self, person: User) -> None:
        assert attempt(address("login"), person.principal, PASSWORD).status_code == 302
        assert not AccessAttempt.objects.exists()
        assert not AccessLog.objects.exists()

    def test_is_deleted_once_it_locks_nothing_any_more(self, person: User, clock: Any) -> None:
        attempt(address("login"), person.principal)
        clock.shift(timedelta(minutes=10))
        attempt(address("login"), "altro")
        clock.shift(timedelta(minutes=6))
        forget_failures()
        assert AccessAttempt.objects.count() == 1
        clock.shift(timedelta(minutes=10))
        forget_failures()
        assert not AccessAttempt.objects.exists()

    def test_counters_of_old_windows_are_deleted_with_it(self, settings: Any, clock: Any) -> None:
        settings.REDIS_URL, settings.GUESS_LIMIT = "", 20
        attempt(address("login"), "nessuno")
        assert RequestCount.objects.count() == 1
        clock.shift(timedelta(hours=2))
        forget_failures()
        assert not RequestCount.objects.exists()

    def test_says_nothing_of_anybody_in_the_log(self, person: User, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("DEBUG"):
            fail(address("login"), person.principal)
        for word in (person.principal, WRONG, HERE):
            assert word not in caplog.text
        assert any(record.name == "portal.views.sign_in" for record in caplog.records)


def test_a_right_password_lets_in_through_the_one_backend(person: User) -> None:
    request = RequestFactory().post("/", REMOTE_ADDR=HERE)
    found = authenticate(request, username=person.principal, password=PASSWORD)
    assert found == person
    assert found.backend == "portal.sign_in_guard.GuardedBackend"  # type: ignore[attr-defined]


def test_a_disabled_person_is_counted_like_a_wrong_password() -> None:
    person = factories.user(is_active=False)
    for _ in range(ALLOWED - 1):
        assert attempt(address("login"), person.principal, PASSWORD).status_code == 422
    assert attempt(address("login"), person.principal, PASSWORD).status_code == 429
