"""`manage.py serve`, which is `make run`: a stranger's first minutes."""

import shlex
import signal
import socket
from pathlib import Path

from tests.running.product import Product, free_ports, listens, run_command, wait_until

# Our user's own document, byte for byte.
DOCUMENT = b"""{"taxcode": "PCRMJV76P12B782Z",
 "payment": {"amount": 62.12, "notice_number": 300012548634478200, "invalid_after_due_date": true, "payee_taxcode": 10000000001},
 "email": "name@gmail.com",
 "scheduled_expedition_date": "2025-07-07T00:08:33.513Z", "due_date": "2025-07-07T00:08:33.513Z",
 "placeholders": [{"name": "cie", "value": "CA000000AA"}]}"""
QUERY = "service_instance=1&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"


class TestAStrangersFirstMinutes:
    def test_a_posted_message_reaches_the_sandbox_citizen_and_is_followed_over_a_restart(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path) as product:
            api, key = product.line("API"), product.line("Consumer key")
            status, made = product.call("POST", f"{api}/messages?{QUERY}", key=key, body=DOCUMENT)
            assert (status, made["status"]) == (201, "scheduled")
            assert {warning["code"] for warning in made["warnings"]} == {"taxcode_check_character", "due_date_past"}

            def is_processed() -> bool:
                return product.call("GET", f"{api}/messages/{made['id']}", key=key)[1]["status"] == "processed"

            wait_until(is_processed)
            received = product.call("GET", f"http://127.0.0.1:{product.sandbox_port}/sandbox/received")[1]
            assert str(received).count("PCRMJV76P12B782Z") >= 1
            assert product.line("Portal") == product.base
            assert product.printed.count("Login: ") == 7
            printed_first = product.printed
            assert product.interrupt() == 0
            # Nobody asked to hear of what goes well.
            assert " INFO " not in product.printed

        with Product(data_dir=tmp_path) as again:
            for start in ("Consumer key", "Consumer key in cents", "Consumer key for everything, in cents"):
                assert f"{start}: {again.line(start)}\n" in printed_first
            status, same = again.call("POST", f"{again.line('API')}/messages?{QUERY}", key=key, body=DOCUMENT)
            assert (status, same["id"], same["status"]) == (200, made["id"], "processed")

    def test_the_printed_curl_command_is_ready_to_run(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path) as product:
            command = product.printed[product.printed.index("curl ") : product.printed.index("\n\nCtrl-C")]
            words = shlex.split(command.replace("\\\n", " "))
            url = next(word for word in words if word.startswith("http"))
            key = next(word for word in words if word.startswith("GovHub-Consumer-Principal: ")).split()[1]
            status, made = product.call("POST", url, key=key, body=words[-1].encode())
            assert (status, made["warnings"]) == (201, [])

    def test_a_killed_product_leaves_no_sandbox_behind_and_starts_again(self, tmp_path: Path) -> None:
        product = Product(data_dir=tmp_path)
        with product:
            product.kill()
            wait_until(lambda: not listens(product.sandbox_port))
        with product:
            assert product.interrupt(signal.SIGTERM) == 0


class TestLogs:
    def test_at_info_it_tells_of_every_send_in_our_own_format(self, tmp_path: Path) -> None:
        """The worker beside it must neither quieten our loggers nor write their lines its own way."""
        with Product(data_dir=tmp_path, LOG_LEVEL="INFO") as product:
            api, key = product.line("API"), product.line("Consumer key")
            made = product.call("POST", f"{api}/messages?{QUERY}", key=key, body=DOCUMENT)[1]

            def has_left() -> bool:
                status = product.call("GET", f"{api}/messages/{made['id']}", key=key)[1]["status"]
                return status in ("accepted", "processed")

            wait_until(has_left)
            product.interrupt()
        told = [line for line in product.printed.splitlines() if "answers recorded" in line]
        assert any(" INFO messaging.sending answers recorded" in line and "call=send" in line for line in told)
        assert "PCRMJV76P12B782Z" not in "".join(told)


class TestWhatLeavesNoDemo:
    def test_demo_0_seeds_nothing_and_tells_how_to_begin(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path, DEMO="0") as product:
            assert "Consumer key" not in product.printed
            assert "Login" not in product.printed
            assert "createsuperuser" in product.printed

    def test_another_io_starts_no_sandbox_and_demo_1_seeds_all_the_same(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path, IO_API_BASE_URL="http://127.0.0.1:9/api/v1", DEMO="1") as product:
            assert "Sandbox" not in product.printed
            assert product.line("Consumer key").startswith("giop_")
            assert not listens(product.sandbox_port)

    def test_demo_data_never_enter_a_database_that_is_in_use(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path, DEMO="0"):
            pass
        made = run_command(
            *("createsuperuser", "--noinput", "--principal", "ada", "--full_name", "Ada Vera"),
            DATA_DIR=str(tmp_path),
            DJANGO_SUPERUSER_PASSWORD="una-parola-lunga",
        )
        assert made.returncode == 0, made.stderr
        with Product(data_dir=tmp_path) as product:
            assert "Login" not in product.printed


class TestOneSentenceEach:
    def test_a_port_in_use(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            ended = run_command("serve", DATA_DIR=str(tmp_path), PORT=port, SANDBOX_PORT=str(free_ports(1)[0]))
        assert ended.returncode == 1
        assert f"port {port}" in ended.stderr
        assert "PORT=" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_data_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        ended = run_command("serve", DATA_DIR=str(tmp_path / "file" / "data"))
        assert ended.returncode == 1
        assert "DATA_DIR" in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1

    def test_a_variable_that_cannot_be_read(self, tmp_path: Path) -> None:
        ended = run_command("serve", DATA_DIR=str(tmp_path), PORT="ottomila")
        assert ended.returncode == 1
        assert "PORT must be a whole number" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_sealing_key_that_does_not_match_the_database(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path):
            pass
        (tmp_path / "secrets" / "SEALING_KEYS").unlink()
        ports = [str(port) for port in free_ports(2)]
        ended = run_command("serve", DATA_DIR=str(tmp_path), PORT=ports[0], SANDBOX_PORT=ports[1])
        assert ended.returncode == 1
        assert "SEALING_KEYS" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_secrets_are_readable_by_the_owner_only(self, tmp_path: Path) -> None:
        with Product(data_dir=tmp_path):
            pass
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()}
        assert set(modes.values()) == {0o600}
        assert (tmp_path / "govio.sqlite3").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "sandbox.json").stat().st_mode & 0o777 == 0o600


class TestTheRealArrangement:
    def test_web_worker_and_beat_refuse_to_start_without_what_they_need(self, tmp_path: Path) -> None:
        for command in ("web", "worker", "beat"):
            ended = run_command(command, DATA_DIR=str(tmp_path), SECRET_KEY="x" * 50)
            assert ended.returncode == 1
            assert "DATABASE_URL, REDIS_URL, SEALING_KEYS" in ended.stderr
            assert len(ended.stderr.strip().splitlines()) == 1

    def test_a_sealing_key_that_is_none_stops_the_start(self, tmp_path: Path) -> None:
        ended = run_command(
            "web",
            DATA_DIR=str(tmp_path),
            SECRET_KEY="x" * 50,
            SEALING_KEYS="not-a-key",
            DATABASE_URL="postgresql://nobody@127.0.0.1:9/none",
            REDIS_URL="redis://127.0.0.1:9/0",
        )
        assert ended.returncode == 1
        assert "new_sealing_key" in ended.stderr
