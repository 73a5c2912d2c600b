"""GovShell mode: whom the proxy names is believed, if it is the proxy; nothing else is, keys least of all."""

import base64
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govio_portal.env import env_networks
from messaging.models import IdempotencyKey, Message
from registry.api import govshell
from registry.models import ConsumerKey, Role, User
from rest import rate_limit
from tests import factories
from tests.api.integrator import HEADER, Integrator, fresh_key, problem, valid_body

PROXY, ELSEWHERE = "10.1.2.3", "198.51.100.7"
SECRET = "un-segreto-condiviso-di-prova-0123456789"


@pytest.fixture(autouse=True)
def _on(settings: Any) -> None:
    settings.GOVSHELL_PROXIES = [ip_network("10.1.2.0/29"), ip_network("2001:db8::/64")]
    settings.GOVSHELL_SECRET = SECRET
    govshell._complained_at.clear()


def ask(
    api: Integrator, principal: str | None, *, peer: str = PROXY, secret: str | None = SECRET, **headers: str
) -> Any:
    named = {HEADER: principal} if principal is not None else {}
    shown = {govshell.SECRET_HEADER: secret} if secret is not None else {}
    return api.client.get("/api/v1/messages", headers={**named, **shown, **headers}, REMOTE_ADDR=peer)


class TestBelieves:
    @pytest.mark.parametrize("peer", [PROXY, "10.1.2.7", "2001:db8::7", "::ffff:10.1.2.3"])
    def test_the_proxy_that_knows_the_secret(self, api: Integrator, sender: User, peer: str) -> None:
        assert ask(api, sender.principal, peer=peer).status_code == 200

    def test_whoever_comes_through_it(self, api: Integrator, sender: User, settings: Any) -> None:
        """The peer counts, not the client that the proxy names in X-Forwarded-For."""
        settings.TRUST_PROXY = True
        assert ask(api, sender.principal, **{"X-Forwarded-For": ELSEWHERE}).status_code == 200

    def test_with_two_statements_at_most_before_the_answer(self, api: Integrator, sender: User) -> None:
        with CaptureQueriesContext(connection) as counted:
            api.client.options(
                "/api/v1/messages",
                headers={HEADER: sender.principal, govshell.SECRET_HEADER: SECRET},
                REMOTE_ADDR=PROXY,
            )
        assert len(counted) == 1

    def test_a_person_without_any_consumer_in_cents_with_every_scope(self, api: Integrator, sender: User) -> None:
        ConsumerKey.objects.all().delete()
        body = valid_body(payment={"amount": 6212, "notice_number": "300012548634478225"})
        query = f"service_instance={api.instance.pk}&idempotency_key={fresh_key()}"
        first, again = (
            api.client.post(
                f"/api/v1/messages?{query}",
                body,
                content_type="application/json",
                headers={HEADER: sender.principal, govshell.SECRET_HEADER: SECRET},
                REMOTE_ADDR=PROXY,
            )
            for _ in range(2)
        )
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["payment"]["amount"] == 6212
        assert first.json()["payment"]["amount_unit"] == "cents"
        assert Message.objects.get().pk == again.json()["id"]
        key = IdempotencyKey.objects.get()
        assert (key.user, key.consumer) == (sender, None)

    def test_and_leaves_what_they_may_do_to_their_grants(self, api: Integrator) -> None:
        viewer = factories.user()
        factories.grant(
            viewer, Role.VIEWER, organizations=(api.instance.organization,), services=(api.instance.service,)
        )
        response = api.client.post(
            f"/api/v1/messages?service_instance={api.instance.pk}&idempotency_key={fresh_key()}",
            valid_body(payment={"amount": 6212, "notice_number": "300012548634478225"}),
            content_type="application/json",
            headers={HEADER: viewer.principal, govshell.SECRET_HEADER: SECRET},
            REMOTE_ADDR=PROXY,
        )
        problem(response, 403, "permission_denied")

    def test_and_counts_their_requests(self, api: Integrator, sender: User, settings: Any) -> None:
        settings.API_RATE_LIMIT = 100
        rate_limit.forget()
        assert ask(api, sender.principal).headers["X-RateLimit-Limit"] == "100"


class TestRefuses:
    @pytest.mark.parametrize("secret", [None, "", "x" * 40, SECRET[:-1], f"{SECRET},{SECRET}", f"{SECRET}è"])
    def test_without_the_secret(self, api: Integrator, sender: User, secret: str | None) -> None:
        problem(ask(api, sender.principal, secret=secret), 401, "principal_not_accepted")

    @pytest.mark.parametrize("peer", [ELSEWHERE, "10.1.2.8", "2001:db8:0:1::1", "127.0.0.1", ""])
    def test_from_another_address(self, api: Integrator, sender: User, peer: str) -> None:
        problem(ask(api, sender.principal, peer=peer), 401, "principal_not_accepted")

    @pytest.mark.parametrize("trusts", [True, False])
    @pytest.mark.parametrize("forwarded", [PROXY, f"{ELSEWHERE}, {PROXY}", f"{PROXY}, {PROXY}"])
    def test_an_address_that_is_only_said(
        self, api: Integrator, sender: User, settings: Any, forwarded: str, trusts: bool
    ) -> None:
        settings.TRUST_PROXY = trusts
        response = ask(api, sender.principal, peer=ELSEWHERE, **{"X-Forwarded-For": forwarded, "X-Real-IP": PROXY})
        problem(response, 401, "principal_not_accepted")

    def test_an_unknown_principal(self, api: Integrator) -> None:
        problem(ask(api, "nessuno"), 401, "principal_not_accepted")

    def test_a_disabled_person_from_the_next_request_on(self, api: Integrator, sender: User) -> None:
        assert ask(api, sender.principal).status_code == 200
        User.objects.filter(pk=sender.pk).update(is_active=False)
        problem(ask(api, sender.principal), 401, "principal_not_accepted")

    def test_a_principal_that_comes_twice(self, api: Integrator, sender: User) -> None:
        """Servers join doubled headers with a comma, which no user name has."""
        for doubled in (f"{sender.principal},{sender.principal}", f"{sender.principal}, admin"):
            problem(ask(api, doubled), 401, "principal_not_accepted")

    @pytest.mark.parametrize("principal", ["x" * 300, "a b", "' OR 1=1 --", "é" * 300, "a%00b"])
    def test_what_cannot_be_a_principal_without_looking_it_up(self, api: Integrator, principal: str) -> None:
        with CaptureQueriesContext(connection) as counted:
            problem(ask(api, principal), 401, "principal_not_accepted")
        assert len(counted) == 0

    def test_keys_in_every_header(self, api: Integrator) -> None:
        problem(ask(api, str(api.key)), 401, "principal_not_accepted")
        basic = base64.b64encode(f"x:{api.key}".encode()).decode()
        for authorization in (f"Bearer {api.key}", f"Basic {basic}"):
            problem(ask(api, None, Authorization=authorization), 401, "not_authenticated")
            problem(
                api.client.get("/api/v1/messages", headers={"Authorization": authorization}), 401, "not_authenticated"
            )

    def test_nobody_in_particular(self, api: Integrator) -> None:
        problem(ask(api, None), 401, "not_authenticated")
        problem(ask(api, "  "), 401, "not_authenticated")

    def test_everybody_in_the_same_words(self, api: Integrator, sender: User) -> None:
        answers = {
            ask(api, sender.principal, secret="x").content,
            ask(api, sender.principal, peer=ELSEWHERE).content,
            ask(api, "nessuno").content,
        }
        assert len(answers) == 1

    def test_telling_whoever_runs_it_why_and_once_a_minute(
        self, api: Integrator, sender: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            ask(api, sender.principal, secret="sbagliato-ma-segreto")
            ask(api, sender.principal, peer=ELSEWHERE)
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "GOVSHELL_SECRET" in caplog.text
        assert "GOVSHELL_PROXIES" in caplog.text
        for secret in (SECRET, "sbagliato", sender.principal):
            assert secret not in caplog.text


class TestOff:
    @pytest.fixture(autouse=True, params=["neither", "no secret", "no proxies"])
    def _off(self, request: pytest.FixtureRequest, settings: Any, _on: None) -> None:
        if request.param != "no proxies":
            settings.GOVSHELL_SECRET = ""
        if request.param != "no secret":
            settings.GOVSHELL_PROXIES = []

    def test_a_principal_is_taken_for_a_wrong_key(self, api: Integrator, sender: User) -> None:
        problem(ask(api, sender.principal), 401, "key_not_valid")
        problem(ask(api, sender.principal, secret=""), 401, "key_not_valid")

    def test_keys_open(self, api: Integrator) -> None:
        assert api.get("messages").status_code == 200


class TestConfiguration:
    def problems(self) -> list[str]:
        return sorted(
            str(found.id) for found in run_checks() if str(found.id) in {"govio.E005", "govio.E006", "govio.E007"}
        )

    def test_whole_is_accepted(self) -> None:
        assert self.problems() == []

    def test_without_a_secret_stops_the_start(self, settings: Any) -> None:
        settings.GOVSHELL_SECRET = ""
        assert self.problems() == ["govio.E005"]

    def test_without_proxies_stops_the_start(self, settings: Any) -> None:
        settings.GOVSHELL_PROXIES = []
        assert self.problems() == ["govio.E005"]

    def test_with_a_short_secret_stops_the_start(self, settings: Any) -> None:
        settings.GOVSHELL_SECRET = "x" * 31
        assert self.problems() == ["govio.E006"]

    @pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
    def test_with_everybody_as_the_proxy_stops_the_start(self, settings: Any, network: str) -> None:
        settings.GOVSHELL_PROXIES = [ip_network(network)]
        assert self.problems() == ["govio.E007"]

    def test_networks_are_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOVSHELL_PROXIES", "10.1.2.3, 10.2.0.0/24,2001:db8::1")
        assert [str(network) for network in env_networks("GOVSHELL_PROXIES")] == [
            "10.1.2.3/32",
            "10.2.0.0/24",
            "2001:db8::1/128",
        ]

    @pytest.mark.parametrize("value", ["govshell", "10.1.2.3/8", "10.1.2", "10.1.2.3;10.1.2.4"])
    def test_what_is_no_network_stops_the_start(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("GOVSHELL_PROXIES", value)
        with pytest.raises(ImproperlyConfigured, match="GOVSHELL_PROXIES"):
            env_networks("GOVSHELL_PROXIES")
