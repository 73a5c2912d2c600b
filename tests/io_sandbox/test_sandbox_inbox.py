"""The pages: what a citizen would see, and that nothing sent can become markup."""

import re
from pathlib import Path

import pytest

from io_sandbox.markup import Markup, fill
from io_sandbox.reading import euro, in_fours, moment, read, short_day
from io_sandbox.stories import STORIES
from tests.io_sandbox.playing import CODE, TEXT, sandbox, send_body
from tests.support.looping import in_a_loop

PAYMENT = {"amount": 6212, "notice_number": "301000000000000017"}


def inbox_in(home: str) -> str:
    found = re.search(r'href="(/inbox/[^"]+)"', home)
    assert found
    return found[1]


class TestHome:
    @in_a_loop
    async def test_says_that_it_is_a_trial_and_explains_the_codes(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            home = await io.page("/")
        assert "Ambiente di prova:</strong> nessun messaggio arriva a cittadini veri" in home
        assert all(story.fiscal_code in home for story in STORIES)
        assert "Nessuno ha ancora ricevuto messaggi" in home

    @in_a_loop
    async def test_lists_who_received_something(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            for code in (CODE, CODE, "RIFIUT00A01Z999U"):
                await io.sent(send_body(fiscal_code=code))
            home = await io.page("/")
            await io.page("/inbox/nobody", status=404)
        assert home.count('href="/inbox/') == 1
        assert "2 messaggi" in home
        assert "2 da leggere" in home

    @pytest.mark.parametrize("path", ["/", "/inbox/nobody", "/nowhere"])
    @in_a_loop
    async def test_every_page_has_its_policy(self, tmp_path: Path, path: str) -> None:
        async with sandbox(tmp_path) as io:
            headers = await io.headers_of(path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'")
        assert headers["Referrer-Policy"] == "no-referrer"

    @in_a_loop
    async def test_addresses_never_hold_a_fiscal_code(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            await io.sent()
            home = await io.page("/")
            inbox = await io.page(inbox_in(home))
        assert not [link for link in re.findall(r'(?:href|action)="([^"]*)"', home + inbox) if CODE in link]


class TestInbox:
    @in_a_loop
    async def test_shows_a_message_only_when_it_was_processed(self, tmp_path: Path) -> None:
        now = 1_800_000_000.0
        async with sandbox(tmp_path, accepted_for=2, clock=lambda: now) as io:
            await io.sent()
            now += 3
            io_id = await io.sent(send_body(subject="Non ancora arrivato"))
            here = inbox_in(await io.page("/"))
            assert "Non ancora arrivato" not in await io.page(here)
            await io.page(f"{here}/{io_id}", status=404)
            now += 3
            assert "Non ancora arrivato" in await io.page(here)

    @in_a_loop
    async def test_a_row_tells_ente_service_and_title(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            await io.sent(send_body(payment_data=PAYMENT))
            inbox = await io.page(inbox_in(await io.page("/")))
        assert "Comune di Vallechiara" in inbox
        assert "Carta d&#x27;identità elettronica · Avviso di prova" in inbox
        assert "Da leggere" in inbox
        assert "Da pagare" in inbox

    @in_a_loop
    async def test_refreshes_by_itself_only_when_asked(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            await io.sent()
            here = inbox_in(await io.page("/"))
            assert "http-equiv" not in await io.page(here)
            assert f'content="5; url={here}?aggiorna=1"' in await io.page(f"{here}?aggiorna=1")

    @in_a_loop
    async def test_opening_a_message_reads_it(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(send_body(feature_level_type="ADVANCED"))
            here = inbox_in(await io.page("/"))
            await io.page(f"{here}/{io_id}")
            assert "Da leggere" not in await io.page(here)
            assert (await io.call("GET", f"/messages/{CODE}/{io_id}"))[2]["read_status"] == "READ"

    @in_a_loop
    async def test_the_button_pays(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(send_body(feature_level_type="ADVANCED", payment_data=PAYMENT))
            here = inbox_in(await io.page("/"))
            page = await io.page(f"{here}/{io_id}")
            assert "Paga 62,12\N{NO-BREAK SPACE}€" in page
            assert "3010 0000 0000 0000 17" in page
            assert "Pagato il" in await io.page(f"{here}/{io_id}/paga", method="POST")
            assert (await io.call("GET", f"/messages/{CODE}/{io_id}"))[2]["payment_status"] == "PAID"
            assert "Pagato" in await io.page(here)

    @in_a_loop
    async def test_a_message_without_payment_cannot_be_paid(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            io_id = await io.sent()
            here = inbox_in(await io.page("/"))
            assert "Paga" not in await io.page(f"{here}/{io_id}/paga", method="POST")

    @pytest.mark.parametrize(("is_invalid_after", "can_be_paid"), [(True, False), (False, True)])
    @in_a_loop
    async def test_an_expired_notice(self, tmp_path: Path, is_invalid_after: bool, can_be_paid: bool) -> None:
        payment = PAYMENT | {"invalid_after_due_date": is_invalid_after}
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(send_body(payment_data=payment, due_date="2020-12-31T22:59:59Z"))
            page = await io.page(f"{inbox_in(await io.page('/'))}/{io_id}")
        assert "Scaduto il 31 dicembre 2020 alle ore 23:59" in page
        assert ("<button>" in page) is can_be_paid

    @in_a_loop
    async def test_another_persons_message_is_not_shown(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io:
            mine = await io.sent()
            here = inbox_in(await io.page("/"))
            other = await io.sent(send_body(fiscal_code="BNCLRA90D45F205B"))
            await io.page(f"{here}/{mine}")
            await io.page(f"{here}/{other}", status=404)


class TestNothingBecomesMarkup:
    @in_a_loop
    async def test_titles_and_bodies(self, tmp_path: Path) -> None:
        attack = "<script>alert(1)</script><img src=x onerror=alert(1)>{subject} %s \"'&"
        body = f"{attack}\n\n[a](javascript:alert(1)) [b](data:text/html,x) <https://e.example/> ![i](https://e.example/i)\n\n{TEXT}"
        async with sandbox(tmp_path) as io:
            io_id = await io.sent(send_body(subject=attack, markdown=body))
            here = inbox_in(await io.page("/"))
            shown = await io.page(here) + await io.page(f"{here}/{io_id}")
        assert "<script" not in shown
        assert "<img" not in shown
        assert 'href="javascript' not in shown
        assert 'href="data' not in shown
        assert "&lt;script&gt;" in shown

    def test_values_are_escaped_unless_they_are_markup(self) -> None:
        assert fill("<p>{a}{b}{c}</p>", a="<", b=Markup("<br>"), c=None) == "<p>&lt;<br></p>"


class TestReading:
    def test_headings_follow_the_title(self) -> None:
        html = read("# Uno\n\n## Due\n\n###### Sei").html
        assert re.findall(r"<(h\d)>", html) == ["h2", "h3", "h6"]
        assert re.findall(r"<(h\d)>", read("### Tre").html) == ["h2"]

    def test_buttons_come_from_the_front_matter(self) -> None:
        body = read(
            "---\nit:\n  cta_1:\n    text: Apri\n    action: iohandledlink://https://www.example.it/\n"
            "  cta_2:\n    text: Chiama\n    action: https://www.example.it/\n---\n\nTesto"
        )
        assert [(button.text, button.href) for button in body.buttons] == [
            ("Apri", "https://www.example.it/"),
            ("Chiama", ""),
        ]
        assert body.html == "<p>Testo</p>\n"

    @pytest.mark.parametrize(
        "action", ["iohandledlink://javascript:alert(1)", "iohandledlink://data:text/html,x", "ioit://x"]
    )
    def test_an_action_that_a_page_must_not_open_is_dead(self, action: str) -> None:
        body = read(f"---\nit:\n  cta_1:\n    text: Apri\n    action: {action}\n---\nTesto")
        assert [button.href for button in body.buttons] == [""]

    @pytest.mark.parametrize("block", ["it: [", "it: {" * 500, "a: &a [*a]", "- ]", "\x00"])
    def test_a_broken_front_matter_is_survived(self, block: str) -> None:
        body = read(f"---\n{block}\n---\nTesto")
        assert body.buttons == ()

    def test_an_unreadable_front_matter_hides_the_body_as_the_app_does(self) -> None:
        assert read("---\nit: [\n---\nTesto").is_hidden
        assert not read("Testo\n---\nit: [\n---\n").is_hidden

    def test_dates_amounts_and_numbers(self) -> None:
        assert moment(1_785_542_340.0) == "1 agosto 2026 alle ore 01:59"
        assert short_day(1_785_542_340.0, now=1_785_542_340.0) == "01:59"
        assert short_day(1_785_542_340.0, now=1_885_542_340.0) == "01/08/2026"
        assert euro(123_456_789) == "1.234.567,89\N{NO-BREAK SPACE}€"
        assert euro(5) == "0,05\N{NO-BREAK SPACE}€"
        assert in_fours("301000000000000017") == "3010 0000 0000 0000 17"
