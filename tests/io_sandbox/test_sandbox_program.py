"""The program itself: its configuration, its start, its end."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from io_sandbox.config import Config, ConfigError, Limit, Speeds, parse, read
from tests.io_sandbox.playing import CODE, FIRST, KEY, SECOND, send_body, settings

ROOT = Path(__file__).parents[2]


def config(**changes: Any) -> Config:
    return parse({"services": [FIRST]} | changes, folder=Path("/data"))


class TestConfiguration:
    def test_what_is_left_out_is_as_on_io(self) -> None:
        least = {name: FIRST[name] for name in list(FIRST)[:6]}
        read_config = parse({"services": [least]}, folder=Path("/data"))
        assert read_config.account_limit == Limit(calls=150, seconds=5)
        assert read_config.speeds == Speeds()
        assert read_config.data == Path("/data/io-sandbox.sqlite3")
        assert read_config.remote_configurations is None
        (service,) = read_config.services
        assert (service.max_allowed_payment_amount, service.premium, service.authorized_recipients) == (0, False, None)

    def test_the_limit_may_be_a_number_or_nothing(self) -> None:
        assert config(account_limit=30).account_limit == Limit(calls=30, seconds=5)
        assert config(account_limit=None).account_limit is None

    def test_an_absolute_path_stays_so(self) -> None:
        assert config(data="/elsewhere/x.sqlite3").data == Path("/elsewhere/x.sqlite3")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ([], "the file: must be an object"),
            ({}, "services: must be a list"),
            ({"services": []}, "services: at least one"),
            ({"services": [FIRST], "service": []}, "unknown service"),
            ({"services": [FIRST | {"primarykey": "x"}]}, "unknown primarykey"),
            ({"services": [{}]}, "service_id: is missing"),
            ({"services": [FIRST | {"name": ""}]}, "name: must be a text"),
            ({"services": [FIRST | {"premium": 1}]}, "premium: must be true or false"),
            ({"services": [FIRST | {"max_allowed_payment_amount": -1}]}, "max_allowed_payment_amount"),
            ({"services": [FIRST | {"max_allowed_payment_amount": True}]}, "must be a whole number"),
            ({"services": [FIRST | {"authorized_recipients": CODE}]}, "must be a list"),
            ({"services": [FIRST, FIRST]}, "same service_id"),
            ({"services": [FIRST, SECOND | {"primary_key": KEY}]}, "two keys are equal"),
            ({"services": [FIRST], "account_limit": 0}, "account_limit"),
            ({"services": [FIRST], "account_limit": {"call": 1}}, "unknown call"),
            ({"services": [FIRST], "speeds": {"accepted_for": -1}}, "accepted_for"),
            ({"services": [FIRST], "speeds": {"latency": float("nan")}}, "latency"),
            ({"services": [FIRST], "data": 7}, "data: must be a text"),
        ],
    )
    def test_a_fault_is_told_in_a_sentence_without_keys(self, content: object, complaint: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
            parse(content, folder=Path("/data"))
        assert KEY not in str(caught.value)

    def test_a_file_that_is_not_there_or_not_json(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read"):
            read(tmp_path / "missing.json")
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(ConfigError, match="not JSON"):
            read(tmp_path / "bad.json")

    def test_keys_are_not_shown(self) -> None:
        assert KEY not in repr(config())


def command(folder: Path, *arguments: str) -> list[str]:
    (folder / "sandbox.json").write_text(json.dumps(settings(accepted_for=0)))
    return [sys.executable, "-m", "io_sandbox", "--config", str(folder / "sandbox.json"), *arguments]


@contextmanager
def running(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        command(folder, "--port", "0"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Sandbox: http://127.0.0.1:"), process.stderr and process.stderr.read()
        yield process, line.split()[1]
    finally:
        process.kill()
        process.communicate()


def call(address: str, method: str, path: str, body: object = None) -> Any:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, json.dumps(body), {"Ocp-Apim-Subscription-Key": KEY})
        return json.load(connection.getresponse())
    finally:
        connection.close()


class TestProgram:
    def test_messages_survive_a_sudden_end_and_a_signal_ends_it_with_zero(self, tmp_path: Path) -> None:
        with running(tmp_path) as (process, address):
            assert call(address, "GET", "/healthz") == {"status": "ok"}
            io_id = call(address, "POST", "/api/v1/messages", send_body())["id"]
            process.kill()
            process.wait(5)
        with running(tmp_path) as (process, address):
            assert [line["io_id"] for line in call(address, "GET", "/sandbox/received")["messages"]] == [io_id]
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=5)
        assert (process.returncode, output, errors) == (0, "", "")

    def test_ends_at_once_even_while_it_keeps_somebody_waiting(self, tmp_path: Path) -> None:
        with running(tmp_path) as (process, address):
            host, port = address.removeprefix("http://").split(":")
            body = json.dumps(send_body(fiscal_code="LENTEZ00A01Z999D")).encode()
            with socket.create_connection((host, int(port))) as waiting:
                waiting.sendall(
                    f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nOcp-Apim-Subscription-Key: {KEY}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                while not call(address, "GET", "/sandbox/received")["received"]:
                    pass
                process.send_signal(signal.SIGINT)
                assert process.wait(5) == 0

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--port", "{used}"], "port {used} of 127.0.0.1 is in use"),
            (["--port", "99999999"], "cannot listen on 127.0.0.1, port 99999999"),
            (["--host", "256.1.1.1"], "256.1.1.1 is not an address of this machine"),
        ],
    )
    def test_a_start_that_fails_says_why_in_one_sentence(
        self, tmp_path: Path, arguments: list[str], sentence: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            used = str(taken.getsockname()[1])
            given = [argument.format(used=used) for argument in arguments]
            ended = subprocess.run(command(tmp_path, *given), cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert ended.returncode == 1
        assert ended.stdout == ""
        assert sentence.format(used=used) in ended.stderr
        assert ended.stderr.count("\n") == 1

    def test_a_wrong_configuration_and_an_unusable_file_too(self, tmp_path: Path) -> None:
        arguments = command(tmp_path)
        (tmp_path / "sandbox.json").write_text("{}")
        ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert (ended.returncode, ended.stderr) == (1, "Sandbox: services: must be a list\n")
        (tmp_path / "sandbox.json").write_text(json.dumps(settings(data="folder")))
        (tmp_path / "folder").mkdir()
        ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert ended.returncode == 1
        assert "cannot open" in ended.stderr
        assert ended.stderr.count("\n") == 1
