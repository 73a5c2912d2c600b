"""Problems: every refusal is an application/problem+json, in the reader's language, without anybody's data."""

import logging
from typing import Any

import pytest
from django.test import Client

from rest.errors import MAX_ERRORS
from rest.problems import MEDIA_TYPE
from tests.rest.sample_urls import SECRET

pytestmark = pytest.mark.urls("tests.rest.sample_urls")


@pytest.fixture
def api() -> Client:
    return Client(raise_request_exception=False)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("https://www.rfc-editor.org/rfc/")
    assert body["title"]
    assert body["detail"]
    assert body["errors"]
    assert all(error["code"] and error["detail"] and "pointer" in error for error in body["errors"])
    return body


class TestShape:
    def test_of_a_raised_problem(self, api: Client) -> None:
        body = problem(api.get("/api/v1/problem"), 409)
        assert body["detail"] == "Occupato."
        assert body["errors"] == [{"code": "taken", "pointer": "", "detail": "Occupato."}]

    @pytest.mark.parametrize(
        "accept",
        ["application/hal+json", "application/json", "text/html", "image/png", "*/*", "nonsense", "", ";;q=,,"],
    )
    def test_stays_problem_json_whatever_is_accepted(self, api: Client, accept: str) -> None:
        problem(api.get("/api/v1/problem", headers={"accept": accept}), 409)

    def test_of_validation_has_a_pointer_for_every_error(self, api: Client) -> None:
        body = {"name": "long", "items": [{"a": 1}, {"b": "x"}]}
        found = problem(api.post("/api/v1/validated", body, content_type="application/json"), 400)
        assert [(error["code"], error["pointer"]) for error in found["errors"]] == [
            ("max_length", "/name"),
            ("invalid", "/items/1/b"),
        ]

    def test_lists_so_many_errors_and_says_that_there_are_more(self, api: Client) -> None:
        found = problem(api.get(f"/api/v1/faulty/{MAX_ERRORS}"), 422)
        assert len(found["errors"]) == MAX_ERRORS
        assert f"contiene {MAX_ERRORS} errori" in found["detail"]
        more = problem(api.get(f"/api/v1/faulty/{MAX_ERRORS + 1}"), 422)
        assert more["errors"] == found["errors"]
        assert f"contiene più di {MAX_ERRORS} errori" in more["detail"]

    def test_of_many_faults_of_a_validation_is_no_longer(self, api: Client) -> None:
        body = {"name": "x", "items": [{"a": "x", "b": "y"}] * 100}
        found = problem(api.post("/api/v1/validated", body, content_type="application/json"), 400)
        assert [error["pointer"] for error in found["errors"][:3]] == ["/items/0/a", "/items/0/b", "/items/1/a"]
        assert len(found["errors"]) == MAX_ERRORS

    def test_of_many_faults_of_json_is_no_longer(self, api: Client) -> None:
        body = b"[" + b",".join([b"NaN"] * 1_000) + b"]"
        found = problem(api.generic("POST", "/api/v1/echo", body, content_type="application/json"), 400)
        assert len(found["errors"]) == MAX_ERRORS
        assert "più di" in found["detail"]

    def test_is_never_cached(self, api: Client) -> None:
        assert api.get("/api/v1/problem")["Cache-Control"] == "no-store"


class TestStatuses:
    def test_401_with_a_challenge(self, api: Client) -> None:
        response = api.get("/api/v1/closed")
        problem(response, 401)
        assert response["WWW-Authenticate"] == 'Bearer realm="test"'

    def test_403(self, api: Client) -> None:
        problem(api.get("/api/v1/forbidden"), 403)

    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "trace"])
    @pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/v1/echo/", "/api/v2/echo", "/api/"])
    def test_404_for_unknown_addresses_and_every_method(self, api: Client, method: str, path: str) -> None:
        problem(getattr(api, method)(path), 404)

    def test_404_also_while_debugging(self, api: Client, settings: Any) -> None:
        settings.DEBUG = True
        problem(api.post("/api/v1/echo/", {}, content_type="application/json"), 404)

    def test_404_elsewhere_is_a_page(self, api: Client) -> None:
        assert api.get("/portal").content == b"a page"
        assert api.get("/apiary").content == b"a page"

    @pytest.mark.parametrize("method", ["delete", "put", "options"])
    def test_405_names_the_methods_allowed(self, api: Client, method: str) -> None:
        response = getattr(api, method)("/api/v1/echo")
        problem(response, 405)
        assert set(response["Allow"].split(", ")) == {"GET", "HEAD", "POST"}

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/json; charset=iso-8859-1",
            "application/*",
            "*/*",
            "*/json",
            "nonsense",
        ],
    )
    def test_415_for_other_bodies(self, api: Client, content_type: str) -> None:
        problem(api.generic("POST", "/api/v1/echo", b'{"a": 1}', content_type=content_type), 415)

    def test_415_for_compressed_bodies(self, api: Client) -> None:
        response = api.post(
            "/api/v1/echo", {"a": 1}, content_type="application/json", headers={"content-encoding": "gzip"}
        )
        problem(response, 415)

    def test_413_for_a_body_that_is_too_large(self, api: Client, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        response = api.generic("POST", "/api/v1/echo", b'{"a": 1234567890}', content_type="application/json")
        assert problem(response, 413)["errors"][0]["code"] == "body_too_large"

    def test_400_for_malformed_json(self, api: Client) -> None:
        response = api.generic("POST", "/api/v1/echo", b'{"a": NaN}', content_type="application/json")
        assert problem(response, 400)["errors"][0]["pointer"] == "/a"

    def test_400_for_a_foreign_host(self, api: Client, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["portal.example"]
        problem(api.get("/api/v1/echo", headers={"host": "evil.example"}), 400)

    def test_400_for_a_suspicious_operation(self, api: Client) -> None:
        problem(api.get("/api/v1/suspicious"), 400)

    def test_429_with_the_seconds_to_wait(self, api: Client) -> None:
        response = api.get("/api/v1/throttled")
        problem(response, 429)
        assert response["Retry-After"] == "7"

    def test_503_while_the_database_is_away(self, api: Client) -> None:
        response = api.get("/api/v1/database")
        problem(response, 503)
        assert response["Retry-After"]

    @pytest.mark.parametrize("sqlstate", ["25P03", "25P04"])
    def test_503_when_the_database_ended_a_transaction_that_stood_still(self, api: Client, sqlstate: str) -> None:
        response = api.get(f"/api/v1/ended/{sqlstate}")
        problem(response, 503)
        assert response["Retry-After"]

    def test_500_when_the_database_complains_of_what_we_did(self, api: Client) -> None:
        problem(api.get("/api/v1/ended/25P02"), 500)


class TestUnexpected:
    def test_is_500_with_a_reference_found_in_the_log(self, api: Client, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR):
            body = problem(api.get("/api/v1/crash"), 500)
        logged = next(record.getMessage() for record in caplog.records if record.name == "rest.problems")
        reference = logged.split()[2]
        assert reference in body["detail"]
        assert "RuntimeError" in logged
        assert "sample_urls.py" in logged

    def test_tells_no_value_to_anybody(self, api: Client, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            response = api.get("/api/v1/crash")
        assert SECRET not in response.content.decode()
        assert SECRET not in caplog.text
        assert "Traceback" not in response.content.decode()

    def test_shows_no_trace_while_debugging(self, api: Client, settings: Any) -> None:
        settings.DEBUG = True
        problem(api.get("/api/v1/crash"), 500)

    def test_reaches_whatever_watches_for_crashes(self) -> None:
        with pytest.raises(RuntimeError):
            Client().get("/api/v1/crash")
