"""The whole product as one command starts it: own process, own SQLite file, the sandbox beside; and a first message."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.journeys.conftest import PHONE, OpenDesk
from tests.support import environment
from tests.support.services import free_port

# Generous: two busy cores, a fresh database, the sandbox to start.
START_SECONDS = 60
DELIVERY_MILLISECONDS = 45_000
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Started:
    """What the command said about itself, one fact a line."""

    process: "subprocess.Popen[str]"
    facts: list[tuple[str, str]]

    def address(self, name: str) -> str:
        return next(value for fact, value in self.facts if fact == name).rstrip("/")

    def password_of(self, principal: str) -> str:
        logins = (value.split() for fact, value in self.facts if fact == "Login")
        return next(words[1] for words in logins if words[0] == principal)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    variables = dict(os.environ)
    environment.enter(variables, data_dir=tmp_path, database_url="", redis_url="")
    for name in ("DATABASE_URL", *environment.SECRETS):
        variables.pop(name, None)
    variables |= {"PORT": str(free_port()), "SANDBOX_PORT": str(free_port()), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Started(process, _facts(process))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(30)


def _facts(process: "subprocess.Popen[str]") -> list[tuple[str, str]]:
    assert process.stdout is not None
    facts, said = [], []
    until = time.monotonic() + START_SECONDS
    for line in process.stdout:
        said.append(line)
        if found := re.fullmatch(r"([A-Z][\w ]+): (.+)\n", line):
            facts.append((found[1], found[2]))
        if line.startswith("Ctrl-C"):
            return facts
        assert time.monotonic() < until, "".join(said)
    raise AssertionError("".join(said))


def test_a_message_reaches_the_sandbox_citizen(started: Started, open_desk: OpenDesk) -> None:
    desk = open_desk(started.address("Portal"))
    page = desk.page
    desk.sign_in("invio", started.password_of("invio"))
    assert page.locator(".environment").inner_text() == "Ambiente di prova"
    desk.press("Nuovo messaggio")
    page.get_by_label("Avviso TARI").check()
    desk.press("Continua")
    page.get_by_label("Codice fiscale del destinatario").fill("RSSMRA80A01H501U")
    page.get_by_label("Anno").fill("2026")
    page.get_by_label("Immobile").fill("via dei *Mulini* 12")
    page.get_by_label("Data di scadenza").fill("2099-12-31")
    page.get_by_label("Codice avviso").fill("300012548634478200")
    page.get_by_label("Importo in euro").fill("145,50")
    expect(page.locator("#anteprima .phone-body")).to_contain_text("via dei *Mulini* 12")
    desk.press("Continua")
    desk.press("Invia 1 messaggio")
    expect(page.locator("#avanzamento .tag")).to_have_text("Consegnato", timeout=DELIVERY_MILLISECONDS)
    assert desk.complaints == []

    inbox = open_desk(started.address("Sandbox"), width=PHONE)
    inbox.open("/")
    inbox.page.locator("a[href^='/inbox/']").first.click()
    expect(inbox.page.locator("body")).to_contain_text("TARI 2026: il tuo avviso di pagamento")

    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(30) == 0
