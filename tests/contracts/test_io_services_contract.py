"""Our client and our sandbox against IO's published API: what one asks and the other answers must be IO's."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from io_client import payloads
from io_client.client import IOClient
from io_client.payloads import NewMessage, PaymentData
from tests.contracts.services_api import check_schemas, document, faults_in_answer, faults_in_request, operation_of
from tests.io_sandbox.playing import CODE, KEY, TEXT, sandbox, send_body
from tests.support.io_stand_in import StandIn
from tests.support.looping import in_a_loop

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PAYMENT = PaymentData(amount=6212, notice_number="301000000000000017")
MESSAGE = NewMessage(fiscal_code=CODE, subject="Avviso di prova", markdown=TEXT)


@pytest.fixture
def io() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


class TestTheFile:
    def test_is_the_version_that_we_read(self) -> None:
        assert (document()["info"]["version"], document()["swagger"]) == ("4.1.1", "2.0")

    def test_has_schemas_that_can_be_checked(self) -> None:
        check_schemas()


class TestConstants:
    """The limits that the portal enforces are the file's own."""

    def test_lengths_amounts_and_notice_number(self) -> None:
        content = document()["definitions"]["MessageContentBase"]["properties"]
        payment = document()["definitions"]["PaymentDataBase"]["properties"]
        subject, markdown, amount = content["subject"], content["markdown"], payment["amount"]
        assert (subject["minLength"], subject["maxLength"]) == payloads.SUBJECT_LENGTH
        assert (markdown["minLength"], markdown["maxLength"]) == payloads.MARKDOWN_LENGTH
        assert (amount["minimum"], amount["maximum"]) == payloads.AMOUNT
        assert f"^{payloads.NOTICE_NUMBER.pattern}$" == payment["notice_number"]["pattern"]

    def test_fiscal_code(self) -> None:
        # The file leaves the pattern unanchored; the back end's codec anchors it, and so do we.
        assert payloads.FISCAL_CODE.pattern == document()["parameters"]["FiscalCode"]["pattern"]

    def test_feature_levels(self) -> None:
        assert frozenset(document()["definitions"]["FeatureLevelType"]["x-extensible-enum"]) == payloads.FEATURE_LEVELS


class TestClient:
    @pytest.mark.parametrize(
        "payment", [None, PAYMENT, replace(PAYMENT, invalid_after_due_date=True, payee_fiscal_code="01234567890")]
    )
    @pytest.mark.parametrize("due_date", [None, datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC)])
    @pytest.mark.parametrize("secure", [None, True, False])
    @pytest.mark.parametrize("level", ["STANDARD", "ADVANCED"])
    @in_a_loop
    async def test_every_shape_of_message(
        self, io: StandIn, payment: PaymentData | None, due_date: datetime | None, secure: bool | None, level: str
    ) -> None:
        message = replace(
            MESSAGE, payment=payment, due_date=due_date, require_secure_channels=secure, feature_level=level
        )
        client = IOClient(io.base_url)
        try:
            await client.send(message, key=KEY, may_leave=lambda: True)
        finally:
            await client.close()
        (request,) = io.requests
        assert faults_in_request(request.method, request.path.removeprefix("/api/v1"), request.json) == []

    @in_a_loop
    async def test_profiles_and_statuses(self, io: StandIn) -> None:
        client = IOClient(io.base_url)
        try:
            await client.profile(CODE, key=KEY)
            await client.status(CODE, ULID, key=KEY)
        finally:
            await client.close()
        profile, status = io.requests
        assert faults_in_request("POST", profile.path.removeprefix("/api/v1"), profile.json) == []
        assert operation_of("GET", status.path.removeprefix("/api/v1"))["operationId"] == "getMessage"
        assert status.body == b""

    @in_a_loop
    async def test_the_key_travels_in_the_header_of_the_file(self, io: StandIn) -> None:
        client = IOClient(io.base_url)
        try:
            await client.profile(CODE, key=KEY)
        finally:
            await client.close()
        scheme = document()["securityDefinitions"]["SubscriptionKey"]
        assert scheme["in"] == "header"
        assert io.requests[0].headers[scheme["name"].lower()] == KEY

    def test_the_address_of_production_is_what_the_base_url_stands_for(self) -> None:
        assert document()["host"] + document()["basePath"] == "api.io.pagopa.it/api/v1"


class TestSandbox:
    """Every kind of answer that the sandbox gives."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "expected"),
        [
            ("POST", "/profiles", {"fiscal_code": CODE}, 200),
            ("POST", "/profiles", {"fiscal_code": "NONISC00A01Z999Y"}, 404),
            ("POST", "/profiles", {"fiscal_code": "x"}, 400),
            ("POST", "/profiles", {"fiscal_code": "VIETAT00A01Z999O"}, 403),
            ("POST", "/profiles", {"fiscal_code": "TROPPE00A01Z999M"}, 429),
            ("GET", f"/profiles/{CODE}", None, 200),
            ("GET", "/profiles/DISATT00A01Z999I", None, 200),
            ("GET", "/profiles/x", None, 400),
            ("POST", "/messages", send_body(), 201),
            ("POST", "/messages", {}, 400),
            ("POST", "/messages", send_body(fiscal_code="VIETAT00A01Z999O"), 403),
            ("POST", "/messages", send_body(fiscal_code="ERRORE00A01Z999I"), 500),
            ("POST", "/messages", send_body(fiscal_code="DUBBIO00A01Z999J"), 500),
            ("POST", "/messages", send_body(third_party_data={"id": "1", "configuration_id": ULID}), 404),
            ("POST", f"/messages/{CODE}", send_body(fiscal_code=None), 201),
            ("GET", f"/messages/{CODE}/{ULID}", None, 404),
            ("GET", f"/messages/x/{ULID}", None, 400),
        ],
    )
    @in_a_loop
    async def test_answers(self, tmp_path: Path, method: str, path: str, body: Any, expected: int) -> None:
        async with sandbox(tmp_path, remote_configurations=[]) as io:
            status, headers, answer = await io.call(method, path, body)
        assert status == expected
        assert faults_in_answer(method, path, status, answer) == []
        if status == 201:
            assert headers["Location"].endswith(f"/messages/{CODE}/{answer['id']}")

    @in_a_loop
    async def test_no_key_at_all(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            status, _, answer = await io.call("POST", "/profiles", {"fiscal_code": CODE}, key="")
        assert status == 401
        assert faults_in_answer("POST", "/profiles", status, answer) == []

    @pytest.mark.parametrize("accepted_for", [0, 1000])
    @pytest.mark.parametrize("level", ["STANDARD", "ADVANCED"])
    @pytest.mark.parametrize("code", [CODE, "RIFIUT00A01Z999U", "FALLIT00A01Z999O"])
    @in_a_loop
    async def test_statuses(self, tmp_path: Path, accepted_for: int, level: str, code: str) -> None:
        payment = {"amount": 6212, "notice_number": "301000000000000017"}
        sent = send_body(
            fiscal_code=code, payment_data=payment, due_date="2026-12-31T22:59:59Z", feature_level_type=level
        )
        async with sandbox(tmp_path, accepted_for=accepted_for) as io:
            _, _, created = await io.call("POST", "/messages", sent)
            path = f"/messages/{code}/{created['id']}"
            status, _, answer = await io.call("GET", path)
        assert status == 200
        assert faults_in_answer("GET", path, status, answer) == []

    def test_the_check_itself_finds_faults(self) -> None:
        wrong = json.loads(json.dumps(send_body()))
        wrong["content"]["subject"] = "Corto"
        wrong["content"]["due_date"] = "domani"
        wrong["content"]["paymentdata"] = {}
        wrong["feature_level_type"] = "PREMIUM"
        assert len(faults_in_request("POST", "/messages", wrong)) == 4
        assert faults_in_answer("GET", f"/messages/{CODE}/{ULID}", 200, {"message": {}, "status": "DONE"}) != []
        assert faults_in_answer("POST", "/messages", 418, {}) != []
