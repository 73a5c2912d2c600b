"""`manage.py serve`: the whole product in one process, beside the IO sandbox in its own.

Web server (waitress), Celery worker (threads) and beat share the process; the broker is in memory unless REDIS_URL says
otherwise, the database is SQLite unless DATABASE_URL says otherwise. What there is to do is in the database, so killing
it at any moment loses nothing.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.apps.worker import Worker
from celery.beat import EmbeddedService, Scheduler
from celery.exceptions import SecurityWarning
from celery.signals import worker_ready
from django.conf import settings
from django.core.management import BaseCommand, call_command
from django.db import OperationalError

from govio_portal import demo, local_secrets
from govio_portal.celery import app
from govio_portal.embedded import stop
from messaging.models import IOService
from sealed.boxes import key_id

WEB_THREADS = 8
SANDBOX_PATIENCE_SECONDS = 15.0


class Command(BaseCommand):
    help = "Run the whole product on this machine, with demo data and the IO sandbox unless told otherwise."
    requires_system_checks = "__all__"

    def handle(self, *args: Any, **options: Any) -> None:
        # Before the worker takes over, Ctrl-C is still Python's own.
        with contextlib.suppress(KeyboardInterrupt):
            self._serve()

    def _serve(self) -> None:
        _refuse_busy_port("PORT", settings.HOST, settings.PORT)
        if settings.IO_IS_SANDBOX:
            _refuse_busy_port("SANDBOX_PORT", "127.0.0.1", settings.SANDBOX_PORT)
        self._say("Preparing the database...")
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except OperationalError as error:
            stop(f"the database cannot be used: {str(error).strip().splitlines()[0]}")
        _refuse_other_sealing_key()
        secrets = _demo_secrets()
        wants_demo = settings.DEMO == "1" or (settings.DEMO != "0" and settings.IO_IS_SANDBOX)
        if wants_demo and demo.is_empty():
            self._say("Adding the demo data...")
            demo.seed(secrets, at=datetime.now(UTC))
        has_demo = demo.is_present(secrets)
        exit_code = _Processes(self, announce=lambda: self._announce(secrets, has_demo=has_demo), secrets=secrets).run()
        if exit_code:
            sys.exit(exit_code)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _announce(self, secrets: demo.DemoSecrets, *, has_demo: bool) -> None:
        base = settings.PUBLIC_URL or f"http://{_shown(settings.HOST)}:{settings.PORT}"
        api = f"{base}/{settings.API_PREFIX}"
        lines = ["", f"Portal: {base}", f"API: {api}", f"API document: {api}/schema"]
        if settings.IO_IS_SANDBOX:
            lines.append(f"Sandbox: http://127.0.0.1:{settings.SANDBOX_PORT}")
        if has_demo:
            for principal, (role, _name) in demo.ROLES.items():
                lines.append(f"Login: {principal} {secrets.password} ({role.label})")
            lines.append(f"Login: {demo.STAFF} {secrets.password} (/admin/)")
            lines.append(f"Consumer key: {secrets.euro_key}")
            lines.append(f"Consumer key in cents: {secrets.cents_key}")
            lines.append(f"Consumer key for everything, in cents: {secrets.everything_key}")
            lines += ["", "Send a first message:", _first_post(api, secrets.euro_key)]
        else:
            lines.append("No demo data. Create the first administrator: python manage.py createsuperuser")
        lines += ["", "Ctrl-C ends everything."]
        self._say("\n".join(lines))


class _Processes:
    """Web thread, beat thread, worker in this thread, sandbox beside; they start together and end together."""

    def __init__(self, command: Command, *, announce: Any, secrets: demo.DemoSecrets) -> None:
        self._announce = announce
        self._secrets = secrets
        self._sandbox: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._fault = ""

    def run(self) -> int:
        """Returns the exit status: 0 after Ctrl-C or SIGTERM, 1 when a part died."""
        from waitress.server import create_server

        from govio_portal.wsgi import application

        if settings.IO_IS_SANDBOX:
            self._sandbox = _start_sandbox(self._secrets)
        web = create_server(
            application,
            host=settings.HOST,
            port=settings.PORT,
            threads=WEB_THREADS,
            ident="govio",
            max_request_body_size=settings.BULK_UPLOAD_MAX_MEMORY_SIZE + 1_048_576,
            **_proxy_options(),
        )
        web_thread = threading.Thread(target=web.run, name="web", daemon=True)
        web_thread.start()
        # A thread, not celery's -B: that forks, and a fork has a memory broker of its own.
        beat: Any = EmbeddedService(app, max_interval=1, thread=True, scheduler_cls=Scheduler)
        beat.daemon = True
        beat.start()
        # Celery warns whoever runs as root, since pickled tasks could then do anything: ours are JSON names without data.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        worker = app.Worker(
            pool="threads",
            concurrency=settings.WORKER_THREADS,
            queues=["dispatch", "poll", "upkeep"],
            # The worker would give the root logger a level of its own.
            loglevel=settings.LOG_LEVEL,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker_ready.connect(lambda **kwargs: self._announce(), weak=False)
        watch = threading.Thread(target=self._watch, args=(worker, beat, web_thread), name="watch", daemon=True)
        watch.start()
        try:
            worker.start()
        finally:
            self._ending.set()
            beat.stop()
            web.close()
            if self._sandbox is not None:
                _end(self._sandbox)
        if self._fault:
            print(f"govio: {self._fault}", file=sys.stderr)
            return 1
        return 0

    def _watch(self, worker: Worker, beat: Any, web: threading.Thread) -> None:
        """A part that dies takes the whole down: half a product looks alive and does nothing."""
        while not self._ending.wait(1.0):
            if not beat.is_alive():
                self._fault = "the clock (beat) died: nothing would be sent. Start again."
            elif not web.is_alive():
                self._fault = "the web server died. Start again."
            elif self._sandbox is not None and self._sandbox.poll() is not None:
                self._fault = f"the sandbox ended with status {self._sandbox.returncode}. Start again."
            if self._fault:
                worker.stop()
                return


def _shown(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104  (shown, not bound)


def _proxy_options() -> dict[str, Any]:
    if not settings.TRUST_PROXY:
        return {}
    return {
        "trusted_proxy": "*",
        # Not x-forwarded-for: REMOTE_ADDR stays that of the peer, as with granian, and rest.client_address reads on.
        "trusted_proxy_headers": {"x-forwarded-host", "x-forwarded-proto"},
        "clear_untrusted_proxy_headers": False,
    }


def _refuse_busy_port(variable: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            stop(f"cannot listen on {host} port {port} ({error.strerror}): choose another with {variable}=...")


def _refuse_other_sealing_key() -> None:
    known = {key_id(key) for key in settings.SEALING_KEYS}
    for service in IOService.objects.only("primary_key", "secondary_key").iterator():
        for sealed in (service.primary_key, service.secondary_key):
            name = sealed.token.partition(":")[0]
            if sealed and name not in known:
                stop(
                    f"the database holds keys sealed with key {name}, which is not in SEALING_KEYS: add it and start again."
                )


def _demo_secrets() -> demo.DemoSecrets:
    def read(name: str) -> str:
        return local_secrets.read(settings.DATA_DIR, name)

    first, second, third, fourth = read("DEMO_IO_KEYS").split(",")
    return demo.DemoSecrets(
        password=read("DEMO_PASSWORD"),
        euro_key=read("DEMO_KEY_EURO"),
        cents_key=read("DEMO_KEY_CENTS"),
        everything_key=read("DEMO_KEY_EVERYTHING"),
        io_keys=(first, second, third, fourth),
    )


def _start_sandbox(secrets: demo.DemoSecrets) -> "subprocess.Popen[bytes]":
    config = settings.DATA_DIR / "sandbox.json"
    # Holds the demo's IO keys: nobody else's business.
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(
            {"services": demo.sandbox_services(secrets), "data": str(settings.DATA_DIR / "sandbox.sqlite3")}, stream
        )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "io_sandbox",
            "--config",
            str(config),
            "--port",
            str(settings.SANDBOX_PORT),
            "--while-stdin-is-open",
        ],
        cwd=settings.BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # The Ctrl-C of a terminal is ours alone: we end it when our own work is done.
        start_new_session=True,
    )
    until = time.monotonic() + SANDBOX_PATIENCE_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            stop(f"the IO sandbox did not start (status {process.returncode}).")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", settings.SANDBOX_PORT)) == 0:
                return process
        time.sleep(0.05)
    _end(process)
    stop(f"the IO sandbox did not answer within {SANDBOX_PATIENCE_SECONDS:.0f} seconds.")
    raise AssertionError


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _first_post(api: str, key: str) -> str:
    soon = datetime.now(UTC)
    due = soon + timedelta(days=30)
    body = {
        "taxcode": "RSSMRA80A01H501U",
        "payment": {
            "amount": 62.12,
            "notice_number": "300012548634478200",
            "invalid_after_due_date": True,
            "payee_taxcode": "01234567890",
        },
        "email": "name@example.com",
        "scheduled_expedition_date": _iso(soon),
        "due_date": _iso(due),
        "placeholders": [{"name": "cie", "value": "CA000000AA"}],
    }
    return (
        # Sent twice it answers 200 with the same message: another message wants another key.
        f"curl -X POST '{api}/messages?service_instance=1&idempotency_key={uuid.uuid4()}' \\\n"
        f"  -H 'GovHub-Consumer-Principal: {key}' -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body)}'"
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
