import html
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from templates_app import front_matter
from templates_app.escaping import flat
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.rendering import FixedValues, RenderingErrors, TemplateText, render
from templates_app.rome_time import read_instant

FIXED = FixedValues(taxcode="PCRMJV76P12B782Z", expedition_date=read_instant("2026-01-10T08:00:00Z"))
AFTER = "\n\nQuesto testo serve soltanto a superare gli ottanta caratteri che IO vuole in ogni messaggio."
PLAIN_WORD = "Segnaposto"
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

# Wherever an author may put running text. The last ones are borders where a value could complete what the author began.
CONTEXTS = [
    "${x}", "Gentile ${x},", "Gentile${x}utente", "# ${x}", "### Pratica ${x}", "- ${x}", "1. ${x}", "> ${x}", "- > ${x}",
    "**${x}**", "_${x}_", "Il *${x}* e il __${x}__", "[${x}](https://example.it)", "Riga\n${x}\nriga", "Riga\n${x}",
    "Riga\n\n${x}\n\nriga", "${x}\n\n---\n\nriga\n\n---\n", "| a | b |\n|---|---|\n| ${x} | c |", "Spazi:   ${x}   ${x}",
    "&${x}", "&amp${x}", "\\${x}", "\\\\${x}", "[nota]${x}", "![nota]${x}", "${x}[link](https://example.it)", "${x}${x}", "-${x}",
    "1${x}", "1${x} riga", "${x}- -", "${x}==", "${x};", "${x}# Titolo", "+${x}", "`codice` ${x}", "~${x}~", "*${x}${x}*",
]  # fmt: skip

MARKS = "*_`[]()<>#+-.!|~\\&;:=\"'/@{}$^,?%0123456789 "
TEXTS = st.text(alphabet=st.sampled_from(MARKS + "abcXYZàè€\n\t\u2028\xa0"), max_size=24)
PIECES = st.lists(
    st.sampled_from(
        ["---", "- ", "* ", "1. ", "2) ", "# ", "## ", "> ", "```", "~~~", "***", "___", "===", "\n", "\n\n", "    ", "<b>", "</b>", "<br>",
         "<!--", "-->", "&amp;", "&#35;", "&lt", "![a](b)", "[a](https://b.it)", "[a]: https://b.it", "<https://b.it>", "|", "---|---",
         "= yaml =", "it:", "cta_1:", "a_b", "_a_", "**a**", "\\", "\\*", "[^1]", "[x]", "!", "nome", "C:\\dir\\file", "#", " #", "x@y.it", ":-"]
    ),
    max_size=6,
).map("".join)  # fmt: skip
VALUES = st.one_of(TEXTS, PIECES, st.tuples(PIECES, TEXTS).map("".join)).filter(lambda value: value.strip() != "")


def body_with(context: str, value: str, *, is_markdown: bool = False) -> str:
    declaration = Declaration("x", PlaceholderType.STRING, is_markdown=is_markdown)
    return render(
        TemplateText("Titolo di prova", context + AFTER, (declaration,)), values={"x": value}, fixed=FIXED
    ).markdown


def refusals(context: str, value: str, *, is_markdown: bool = False) -> list[str]:
    with pytest.raises(RenderingErrors) as caught:
        body_with(context, value, is_markdown=is_markdown)
    return [finding.code for finding in caught.value.findings]


def body_or_refusal(context: str, value: str) -> str | list[str]:
    try:
        return body_with(context, value)
    except RenderingErrors as errors:
        return [finding.code for finding in errors.findings]


def to_html(markdown: str) -> str:
    return str(RENDERER.render(markdown))


class TestRunningText:
    @pytest.mark.parametrize("context", CONTEXTS)
    @given(value=VALUES)
    @example("---")
    @example("12. uno")
    @example("[a](https://b.it)")
    @example("(https://b.it)")
    @example(": https://b.it")
    @settings(max_examples=60, deadline=None)
    def test_a_value_shows_as_it_is_and_makes_nothing_but_text(self, context: str, value: str) -> None:
        shown = html.escape(flat(value), quote=False).replace('"', "&quot;")
        expected = to_html(body_with(context, PLAIN_WORD)).replace(PLAIN_WORD, shown)
        # At the borders of words the author's own & and \ are text too; only the value must not join them.
        assert to_html(body_with(context, value)) == expected

    @pytest.mark.parametrize(
        "value",
        ["Mario Rossi", "CA000000AA", "12/03/2026", "12.03.2026", "via Roma 3, 00100 Roma", "nome_cognome@example.it", "100,00 €",
         "D'Alò & Figli", "R&D", "C# e C++", "n. 5 (bis)", "-5 °C", "+39 06 1234567", "https://www.example.it/a_b?c=d&e=f#g", "Ciao!", "a = b",
         "C:\\Users", "50%", "prot. 12/2026-A", "#5", "a > b"],
    )  # fmt: skip
    def test_ordinary_values_stay_readable_in_the_raw_text(self, value: str) -> None:
        assert body_with("Testo: ${x}, fine.", value) == f"Testo: {value}, fine." + AFTER

    def test_line_ends_become_spaces(self) -> None:
        assert (
            body_with("Via: ${x}.", " via Roma 3\r\n\r\n00100\tRoma\u2028Italia ")
            == "Via: via Roma 3 00100 Roma Italia." + AFTER
        )

    def test_dates_and_amounts_pass_untouched(self) -> None:
        declarations = (Declaration("x", PlaceholderType.DATE), Declaration("y", PlaceholderType.AMOUNT))
        text = TemplateText("Titolo di prova", "${x} ${y.currency}" + AFTER, declarations)
        message = render(text, values={"x": "2026-03-12", "y": "100,00"}, fixed=FIXED)
        assert message.markdown == "12/03/2026 100,00\u00a0€" + AFTER


class TestMarkdownValues:
    def test_markdown_is_kept_where_it_is_declared(self) -> None:
        value = "## Titolo\r\n\r\n- **uno**\n- [due](https://example.it)"
        assert body_with("${x}", value, is_markdown=True) == value.replace("\r\n", "\n") + AFTER

    def test_in_the_title_it_is_only_text_on_one_line(self) -> None:
        declaration = Declaration("x", PlaceholderType.STRING, is_markdown=True)
        text = TemplateText("Pratica ${x}", AFTER, (declaration,))
        assert render(text, values={"x": "**uno**\ndue"}, fixed=FIXED).subject == "Pratica **uno** due"


class TestFrontMatterCannotBeInjected:
    BLOCK = '---\nit:\n  cta_1:\n    text: "Paga"\n    action: "iohandledlink://https://truffa.example"\n---\n'

    @pytest.mark.parametrize(
        "context",
        ["${x}", "${x} --- a\n\n---\n\nuno\n\n---\n", "---\n${x}", "${x}\n---\nuno\n---\n", "--${x}\nuno\n---\n"],
    )
    @given(value=VALUES)
    @example(BLOCK)
    @example("\ufeff" + BLOCK)
    @example("= yaml =\nit: 1\n= yaml =\n")
    @example("---")
    @example("-")
    @settings(max_examples=40, deadline=None)
    def test_by_an_ordinary_value(self, context: str, value: str) -> None:
        of_the_author = front_matter.find(body_with(context, PLAIN_WORD))
        body = body_or_refusal(context, value)
        assert body == ["front_matter_injected"] or (
            isinstance(body, str) and (front_matter.find(body) is None) == (of_the_author is None)
        )

    @pytest.mark.parametrize(
        "value", [BLOCK, "\ufeff" + BLOCK, BLOCK.replace("\n", "\r\n"), BLOCK.replace("---", "= yaml =")]
    )
    def test_by_a_markdown_value(self, value: str) -> None:
        assert refusals("${x}", value, is_markdown=True) == ["front_matter_injected"]

    def test_by_closing_what_the_author_left_open(self) -> None:
        assert refusals("---\n${x}", "uno\n---\n", is_markdown=True) == ["front_matter_injected"]

    def test_rules_across_a_markdown_value_are_fine_below_the_first_line(self) -> None:
        assert body_with("Inizio\n\n${x}", "---\n\nuno\n\n---", is_markdown=True).startswith("Inizio\n\n---\n\nuno")


class TestAddresses:
    def test_a_part_of_an_address_is_percent_encoded(self) -> None:
        assert "(https://example.it/?a=x%20%26%29%5B&b=1)" in body_with(
            "[Paga](https://example.it/?a=${x}&b=1)", "x &)["
        )

    @pytest.mark.parametrize("context", ["[Paga](${x})", "<${x}>", "[Paga][1]\n\n[1]: ${x}"])
    def test_a_whole_address_is_kept_and_must_be_one(self, context: str) -> None:
        assert "https://example.it/a_b?c=d&e=%28f%29" in body_with(context, "https://example.it/a_b?c=d&e=(f)")
        assert refusals(context, "javascript:alert(1)") == ["link_scheme"]
        assert refusals(context, "Mario Rossi") == ["link_scheme"]

    @given(value=VALUES)
    @settings(max_examples=60, deadline=None)
    def test_no_value_leaves_its_address(self, value: str) -> None:
        tokens = RENDERER.parse(body_with("[Paga](https://example.it/${x})", value))[1].children or []
        assert [token.type for token in tokens] == ["link_open", "text", "link_close"]
        assert str(tokens[0].attrs["href"]).startswith("https://example.it/")

    @given(value=VALUES)
    @settings(max_examples=60, deadline=None)
    def test_a_link_title_shows_its_value(self, value: str) -> None:
        tokens = RENDERER.parse(body_with('[Paga](https://example.it "${x}")', value))[1].children or []
        assert tokens[0].attrs["title"] == flat(value)


class TestCode:
    def test_nothing_is_escaped_where_backslashes_would_show(self) -> None:
        for context in ("Codice `${x}`", "```\n${x}\n```", "Testo\n\n    ${x}"):
            assert body_with(context, "a_*b*_ [c]\\") == context.replace("${x}", "a_*b*_ [c]\\") + AFTER

    def test_a_value_that_would_end_the_code_is_refused(self) -> None:
        assert refusals("Codice `${x}`", "a`b") == ["value_not_for_code"]


class TestButtons:
    def body(self, text: str, action: str) -> str:
        return f"---\nit:\n  cta_1:\n    text: {text}\n    action: {action}\n---\nTesto"

    def buttons(self, body: str) -> list[front_matter.Button]:
        block = front_matter.find(body)
        assert block is not None
        return front_matter.buttons_of(front_matter.read(block.source), language="it")

    @pytest.mark.parametrize("label", ['"Paga ${x}"', "'Paga ${x}'"])
    @given(value=VALUES)
    @settings(max_examples=60, deadline=None)
    def test_a_quoted_label_shows_its_value(self, label: str, value: str) -> None:
        body = body_with(self.body(label, '"iohandledlink://https://example.it"'), value)
        assert self.buttons(body) == [front_matter.Button(f"Paga {flat(value)}", "iohandledlink://https://example.it")]

    @given(value=VALUES)
    @settings(max_examples=60, deadline=None)
    def test_an_action_keeps_its_shape(self, value: str) -> None:
        body = body_with(self.body('"Paga"', '"iohandledlink://https://example.it/?n=${x}"'), value)
        (button,) = self.buttons(body)
        assert re.fullmatch(r"iohandledlink://https://example\.it/\?n=[A-Za-z0-9%/._~-]+", button.action)

    def test_a_whole_action_must_be_one(self) -> None:
        body = self.body('"Paga"', '"iohandledlink://${x}"')
        assert (
            self.buttons(body_with(body, "https://example.it/a?b"))[0].action
            == "iohandledlink://https://example.it/a?b"
        )
        assert refusals(body, "javascript:alert(1)") == ["link_scheme"]
        assert refusals(self.body('"Paga"', '"${x}"'), "https://example.it") == ["link_scheme"]

    def test_a_label_without_quotes_takes_only_simple_values(self) -> None:
        body = self.body("Paga ${x}", '"iohandledlink://https://example.it"')
        assert self.buttons(body_with(body, "TARI 2026"))[0].text == "Paga TARI 2026"
        assert refusals(body, 'a: "b" #') == ["value_not_for_button"]
