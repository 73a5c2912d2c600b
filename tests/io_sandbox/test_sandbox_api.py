"""The sandbox as IO's services API: keys, limits, what is refused and in which order, and what becomes of a message."""

from pathlib import Path
from typing import Any

import pytest

from io_sandbox.config import Limit
from io_sandbox.gateway import Window
from tests.io_sandbox.playing import CODE, FIRST, KEY, OTHER_KEY, TEXT, sandbox, send_body
from tests.support.looping import in_a_loop

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PAYMENT = {"amount": 6212, "notice_number": "301000000000000017"}
REMOTE = {"id": "our-id", "configuration_id": ULID, "has_remote_content": True}


class TestGateway:
    @pytest.mark.parametrize("key", ["", "wrong", "Primary-of-the-first"])
    @in_a_loop
    async def test_refuses_a_missing_or_wrong_key_in_its_own_shape(self, tmp_path: Path, key: str) -> None:
        async with sandbox(tmp_path) as io:
            status, _, answer = await io.call("POST", "/messages", send_body(), key=key)
            assert (await io.json("/sandbox/received"))["received"] == 0
        assert status == 401
        assert (answer["statusCode"], set(answer)) == (401, {"statusCode", "message"})

    @in_a_loop
    async def test_both_keys_of_a_service_open(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            for key in (KEY, "secondary-of-the-first"):
                assert (await io.call("POST", "/profiles", {"fiscal_code": CODE}, key=key))[0] == 200

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/nowhere"), ("PUT", "/messages"), ("GET", "/messages"), ("POST", "/profiles/")]
    )
    @in_a_loop
    async def test_knows_only_its_paths(self, tmp_path: Path, method: str, path: str) -> None:
        async with sandbox(tmp_path) as io:
            status, _, answer = await io.call(method, path)
        assert (status, answer) == (404, {"statusCode": 404, "message": "Resource not found"})

    @in_a_loop
    async def test_the_limit_is_the_accounts_and_not_a_services(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path, account_limit={"calls": 2, "seconds": 60}) as io:
            first = await io.call("POST", "/profiles", {"fiscal_code": CODE})
            second = await io.call("POST", "/profiles", {"fiscal_code": CODE}, key=OTHER_KEY)
            status, headers, answer = await io.call("POST", "/messages", send_body())
        assert [first[0], second[0], status] == [200, 200, 429]
        assert [first[1]["x-rate-limit-remaining"], second[1]["x-rate-limit-remaining"]] == ["1", "0"]
        assert 1 <= int(headers["x-rate-limit-retry-after"]) <= 60
        assert "Retry-After" not in headers
        assert answer["statusCode"] == 429

    def test_a_window_opens_again_when_its_time_is_over(self) -> None:
        now = 100.0
        window = Window(Limit(calls=2, seconds=5), clock=lambda: now)
        assert [window.wait() for _ in range(2)] == [0, 0]
        now = 101.0
        assert window.wait() == 4.0
        now = 105.0
        assert window.wait() == 0

    @in_a_loop
    async def test_no_limit_when_told_so(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path, account_limit=None) as io:
            _, headers, _ = await io.call("POST", "/profiles", {"fiscal_code": CODE})
        assert "x-rate-limit-remaining" not in headers


class TestProfiles:
    @in_a_loop
    async def test_anybody_else_is_on_io_and_accepts(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            by_post = await io.call("POST", "/profiles", {"fiscal_code": CODE})
            by_get = await io.call("GET", f"/profiles/{CODE}")
        assert by_post[0] == by_get[0] == 200
        assert by_post[2] == by_get[2] == {"sender_allowed": True, "preferred_languages": ["it_IT"]}

    @pytest.mark.parametrize(
        "body", [None, b"", b"{", b"[" * 100_000, [], {}, {"fiscal_code": 7}, {"fiscal_code": CODE.lower()}]
    )
    @in_a_loop
    async def test_a_malformed_code_is_refused(self, tmp_path: Path, body: Any) -> None:
        async with sandbox(tmp_path) as io:
            status, _, answer = await io.call("POST", "/profiles", body)
        assert (status, answer["status"]) == (400, 400)

    @in_a_loop
    async def test_a_service_in_trial_knows_only_its_own_people(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            assert (await io.call("POST", "/profiles", {"fiscal_code": CODE}, key=OTHER_KEY))[0] == 200
            status, _, answer = await io.call("POST", "/profiles", {"fiscal_code": "BNCLRA90D45F205B"}, key=OTHER_KEY)
        assert (status, answer["title"]) == (403, "Recipient forbidden")


class TestSending:
    @in_a_loop
    async def test_accepts_with_id_and_location(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            status, headers, answer = await io.call("POST", "/messages", send_body())
        assert status == 201
        assert len(answer["id"]) == 26
        assert headers["Location"] == f"/api/v1/messages/{CODE}/{answer['id']}"

    @in_a_loop
    async def test_the_code_may_be_in_the_path(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            assert (await io.call("POST", f"/messages/{CODE}", send_body(fiscal_code=None)))[0] == 201

    @in_a_loop
    async def test_two_equal_posts_are_two_messages(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            assert await io.sent() != await io.sent()

    @in_a_loop
    async def test_a_body_against_the_schema_is_refused_naming_its_fields(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            status, _, answer = await io.call("POST", "/messages", send_body(subject="Corto", due_date="domani"))
        assert (status, answer["title"]) == (400, "Invalid message structure")
        assert "content.subject" in answer["detail"]
        assert "content.due_date" in answer["detail"]

    @in_a_loop
    async def test_unknown_fields_are_dropped_in_silence(self, tmp_path: Path) -> None:
        body = send_body(paymentdata=PAYMENT, legal_data={"x": 1}, payment_data=PAYMENT | {"currency": "EUR"})
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(body | {"idempotency_key": "1"})
            _, _, answer = await io.call("GET", f"/messages/{CODE}/{io_id}")
        assert set(answer["message"]["content"]) == {"subject", "markdown", "require_secure_channels", "payment_data"}
        assert "currency" not in answer["message"]["content"]["payment_data"]

    @pytest.mark.parametrize(
        ("body", "key", "path", "expected"),
        [
            (send_body(feature_level_type="ADVANCED"), OTHER_KEY, "", (403, "You are not allowed here")),
            (send_body(eu_covid_cert={"auth_code": "1"}), KEY, "", (403, "You are not allowed here")),
            (send_body(third_party_data={"id": "1"}), KEY, "", (403, "No configuration id for remote content")),
            (send_body(third_party_data=REMOTE), KEY, "", (404, "Remote Content Configuration NOT FOUND")),
            (send_body(), KEY, f"/{CODE}", (400, "Bad parameters")),
            (send_body(fiscal_code=None), KEY, "", (400, "Bad parameters")),
            (send_body(fiscal_code="BNCLRA90D45F205B"), OTHER_KEY, "", (403, "Recipient forbidden")),
            (send_body(fiscal_code="VIETAT00A01Z999O"), KEY, "", (403, "Recipient forbidden")),
            (send_body(payment_data=PAYMENT), OTHER_KEY, "", (400, "Error while sending payment metadata")),
            (
                send_body(payment_data=PAYMENT | {"amount": 1_000_001}),
                KEY,
                "",
                (400, "Error while sending payment metadata"),
            ),
        ],
    )
    @in_a_loop
    async def test_refusals(
        self, tmp_path: Path, body: dict[str, Any], key: str, path: str, expected: tuple[int, str]
    ) -> None:
        async with sandbox(tmp_path, remote_configurations=[]) as io:
            status, _, answer = await io.call("POST", f"/messages{path}", body, key=key)
        assert (status, answer["title"]) == expected

    @in_a_loop
    async def test_attachments_need_premium_and_a_known_configuration_is_taken(self, tmp_path: Path) -> None:
        attached = REMOTE | {"has_attachments": True}
        async with sandbox(tmp_path, remote_configurations=[ULID]) as io:
            status, _, answer = await io.call("POST", "/messages", send_body(third_party_data=attached))
            assert (status, answer["title"]) == (403, "Attachments call forbidden")
            await io.sent(send_body(third_party_data=attached, feature_level_type="ADVANCED"))
            await io.sent(send_body(third_party_data=REMOTE))

    @in_a_loop
    async def test_the_first_check_of_ios_order_wins(self, tmp_path: Path) -> None:
        """Every line repairs what the line before was refused for."""
        broken: dict[str, Any] = {
            "subject": "x",
            "feature_level_type": "ADVANCED",
            "third_party_data": {"id": "1", "has_attachments": True},
            "payment_data": PAYMENT,
            "fiscal_code": None,
        }
        titles = []
        async with sandbox(tmp_path, remote_configurations=[ULID]) as io:
            for repair in (
                {},
                {"subject": "Avviso di prova"},
                {"feature_level_type": "STANDARD"},
                {"third_party_data": {"id": "1", "has_attachments": True, "configuration_id": ULID[::-1]}},
                {"fiscal_code": "BNCLRA90D45F205B"},
                {"third_party_data": {"id": "1", "has_attachments": True, "configuration_id": ULID}},
                {"third_party_data": {"id": "1", "configuration_id": ULID}},
                {"fiscal_code": CODE},
            ):
                broken |= repair
                titles.append((await io.call("POST", "/messages", send_body(**broken), key=OTHER_KEY))[2]["title"])
        assert titles == [
            "Invalid message structure",
            "You are not allowed here",
            "No configuration id for remote content",
            "Bad parameters",
            "Remote Content Configuration NOT FOUND",
            "Attachments call forbidden",
            "Recipient forbidden",
            "Error while sending payment metadata",
        ]


class TestStatus:
    @in_a_loop
    async def test_accepted_first_without_content_then_processed_with_it(self, tmp_path: Path) -> None:
        now = 1_800_000_000.0
        async with sandbox(tmp_path, accepted_for=2, clock=lambda: now) as io:
            io_id = await io.sent(send_body(payment_data=PAYMENT, due_date="2026-12-31T23:59:59+01:00"))
            _, _, accepted = await io.call("GET", f"/messages/{CODE}/{io_id}")
            now += 2
            _, _, processed = await io.call("GET", f"/messages/{CODE}/{io_id}")
        assert accepted["status"] == "ACCEPTED"
        assert accepted["message"] == {
            "id": io_id,
            "fiscal_code": CODE,
            "created_at": "2027-01-15T08:00:00.000Z",
            "sender_service_id": FIRST["service_id"],
            "time_to_live": 3600,
            "feature_level_type": "STANDARD",
        }
        assert processed["status"] == "PROCESSED"
        assert processed["message"]["content"] == {
            "subject": "Avviso di prova",
            "markdown": TEXT,
            "require_secure_channels": False,
            "due_date": "2026-12-31T22:59:59.000Z",
            "payment_data": PAYMENT | {"invalid_after_due_date": False, "payee": {"fiscal_code": "01234567890"}},
        }
        assert not {"read_status", "payment_status"} & set(processed)

    @in_a_loop
    async def test_reading_and_payment_only_for_premium(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(send_body(payment_data=PAYMENT, feature_level_type="ADVANCED"))
            plain = await io.sent(send_body(feature_level_type="ADVANCED"))
            _, _, with_payment = await io.call("GET", f"/messages/{CODE}/{io_id}")
            _, _, without = await io.call("GET", f"/messages/{CODE}/{plain}")
        assert (with_payment["read_status"], with_payment["payment_status"]) == ("UNREAD", "NOT_PAID")
        assert without["read_status"] == "UNREAD"
        assert "payment_status" not in without

    @in_a_loop
    async def test_another_services_message_is_forbidden_and_another_persons_is_not_there(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent()
            forbidden = await io.call("GET", f"/messages/{CODE}/{io_id}", key=OTHER_KEY)
            missing = await io.call("GET", f"/messages/BNCLRA90D45F205B/{io_id}")
            malformed = await io.call("GET", f"/messages/nobody/{io_id}")
        assert (forbidden[0], forbidden[2]["title"]) == (403, "You are not allowed here")
        assert (missing[0], malformed[0]) == (404, 400)

    @in_a_loop
    async def test_messages_survive_a_restart(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent()
        async with sandbox(tmp_path) as io:
            assert (await io.call("GET", f"/messages/{CODE}/{io_id}"))[0] == 200


class TestReceived:
    @in_a_loop
    async def test_counts_what_came_and_what_was_kept(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            await io.sent()
            await io.sent()
            await io.call("POST", "/messages", send_body(subject="Errore di prova", fiscal_code="DUBBIO00A01Z999J"))
            await io.call("POST", "/messages", send_body(fiscal_code="ERRORE00A01Z999I"))
            await io.call("POST", "/messages", send_body(subject="\ud800"))
            seen = await io.json("/sandbox/received")
        assert (seen["received"], seen["accepted"]) == (5, 3)
        assert seen["by_fiscal_code"] == {
            CODE: {"received": 3, "accepted": 2},
            "DUBBIO00A01Z999J": {"received": 1, "accepted": 1},
            "ERRORE00A01Z999I": {"received": 1, "accepted": 0},
        }
        assert {"fiscal_code": CODE, "subject": "Avviso di prova", "received": 2, "accepted": 2} in seen["by_subject"]
        assert [line["status"] for line in seen["messages"]] == [201, 201, 500, 500, 400]
