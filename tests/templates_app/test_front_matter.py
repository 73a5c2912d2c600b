import pytest

from templates_app import front_matter
from templates_app.front_matter import Button, InvalidYAML, Scalar, buttons_of, find, read, without

BLOCK = '---\nit:\n  cta_1:\n    text: "Paga"\n    action: "iohandledlink://https://example.it"\n---\n'


class TestFind:
    def test_finds_the_block_at_the_head(self) -> None:
        block = find(BLOCK + "Testo")
        assert block is not None
        assert (block.start, block.end) == (0, len(BLOCK))
        assert without(BLOCK + "Testo") == "Testo"

    @pytest.mark.parametrize(
        "markdown",
        ["", "Testo", "Testo\n---\nuno\n---\n", "\n---\nuno\n---\n", "---", "---\nTesto", "--- \nuno\n---\n"],
    )
    def test_finds_nothing_where_the_app_finds_nothing(self, markdown: str) -> None:
        assert find(markdown) is None
        assert without(markdown) == markdown

    @pytest.mark.parametrize(
        "markdown",
        ["---\nuno\n...\ndue", "\ufeff---\nuno\n---\ndue", "= yaml =\nuno\n= yaml =\ndue", "---\nuno\n---  \n\ndue"],
    )
    def test_knows_the_other_ways_to_write_a_block(self, markdown: str) -> None:
        assert without(markdown).strip() == "due"

    def test_dashes_in_the_first_line_make_the_app_take_a_later_block(self) -> None:
        assert without("Da leggere --- subito\n\n---\nuno\n---\ndue") == "Da leggere --- subito\n\ndue"


class TestRead:
    def test_reads_the_buttons(self) -> None:
        block = find(BLOCK)
        assert block is not None
        assert buttons_of(read(block.source), language="it") == [Button("Paga", "iohandledlink://https://example.it")]
        assert buttons_of(read(block.source), language="en") == []

    def test_reads_an_empty_block(self) -> None:
        assert read("") is None
        assert buttons_of(None, language="it") == []

    @pytest.mark.parametrize(
        "source",
        ["it: [", "it:\n\tcta_1: a", "it: a\nit: b", "a: &x 1\nb: *x", "a: !!python/object:os.system {}", "a: b: c", "--- a\n--- b",
         "[" * 2_000, "a: " + "{b: " * 6 + "1" + "}" * 6, "a: '", "? [a]\n: b", "x" * 7_000, "\ud800", "a: \x00"],
    )  # fmt: skip
    def test_refuses_what_could_be_read_otherwise(self, source: str) -> None:
        with pytest.raises(InvalidYAML):
            read(source)

    @pytest.mark.parametrize("written", ["12", "1.5", "true", "null", "~", "", "0x1F", "2026-01-01", "1e3", ".inf"])
    def test_unquoted_numbers_and_words_of_yaml_are_no_text(self, written: str) -> None:
        assert read(f"a: {written}") == {"a": Scalar(written, is_text=False)}
        assert read(f'a: "{written}"') == {"a": Scalar(written, is_text=True)}

    @pytest.mark.parametrize("written", ["Paga", "sì", "no", "12 euro", "1.2.3"])
    def test_unquoted_words_are_text(self, written: str) -> None:
        assert read(f"a: {written}") == {"a": Scalar(written, is_text=True)}

    def test_without_the_first_button_there_is_none(self) -> None:
        node = read('it:\n  cta_2:\n    text: "Paga"\n    action: "iohandledlink://https://example.it"')
        assert front_matter.buttons_of(node, language="it") == []
