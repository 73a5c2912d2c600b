import time

import pytest

from templates_app.compiling import Slot, compile_template
from templates_app.escaping import flat
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.rendering import FixedValues, Rendered, RenderingErrors, TemplateText, check_values, render
from templates_app.rome_time import read_instant

FIXED = FixedValues(
    taxcode="PCRMJV76P12B782Z",
    expedition_date=read_instant("2026-01-10T08:00:00Z"),
    due_date=read_instant("2025-07-07T00:08:33.513Z"),
    notice_number="300012548634478200",
    amount_cents=6212,
)
LONG = "Questo testo serve soltanto a superare gli ottanta caratteri che IO vuole in ogni messaggio. "


def declared(*names: str, **options: object) -> tuple[Declaration, ...]:
    return tuple(Declaration(name, PlaceholderType.STRING, **options) for name in names)  # type: ignore[arg-type]


def rendered(
    body: str, *, subject: str = "Titolo di prova", declarations: tuple[Declaration, ...] = (), **values: str
) -> Rendered:
    text = TemplateText(subject, body, declarations, has_payment=True, has_due_date=True)
    return render(text, values=values, fixed=FIXED)


def codes_of(text: TemplateText, *, fixed: FixedValues = FIXED, **values: str) -> list[tuple[str, str]]:
    with pytest.raises(RenderingErrors) as caught:
        render(text, values=values, fixed=fixed)
    return [(finding.code, finding.pointer) for finding in caught.value.findings]


def test_makes_the_message_of_our_users_own_document() -> None:
    text = TemplateText(
        "Scadenza CIE n. ${cie.uppercase}",
        "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
        "numero ${cie.uppercase}.",
        declared("cie"),
        has_payment=True,
        has_due_date=True,
    )
    message = render(text, values={"cie": "ca000000aa"}, fixed=FIXED)
    assert message.subject == "Scadenza CIE n. CA000000AA"
    assert message.markdown == (
        "Salve, con la presente la informiamo che in data 07/07/2025 02:08 scadrà la Carta di Identità elettronica "
        "numero CA000000AA."
    )


class TestGrammar:
    def test_a_doubled_dollar_is_a_literal(self) -> None:
        assert rendered(LONG + "$${nome} $$${nome} $ ${nome}", declarations=declared("nome"), nome="A").markdown == (
            LONG + "${nome} $${nome} $ A"
        )

    def test_a_declared_name_wins_over_a_name_plus_form(self) -> None:
        message = rendered(
            LONG + "${x_upper} ${x.uppercase}", declarations=declared("x", "x_upper"), x="a", x_upper="b"
        )
        assert message.markdown == LONG + "b A"

    @pytest.mark.parametrize(
        "hole",
        ["${", "${}", "${x", "${1x}", "${x.y.z}", "${x?upper_case}", '${x!"-"}', "${x y}", "${x\n}", "${è}", "${x['y']}"],
    )  # fmt: skip
    def test_nothing_else_is_grammar(self, hole: str) -> None:
        assert codes_of(TemplateText("Titolo di prova", LONG + hole, declared("x")), x="a") == [
            ("template_syntax", "/body")
        ]

    @pytest.mark.parametrize(
        ("hole", "code"), [("${y}", "unknown_name"), ("${y.date}", "unknown_name"), ("${x.date}", "unknown_form"), ("${x_date}", "unknown_name"),
                           ("${x.upper}", "unknown_form"), ("${X}", "unknown_name")]
    )  # fmt: skip
    def test_unknown_names_and_forms_are_refused(self, hole: str, code: str) -> None:
        assert codes_of(TemplateText("Titolo di prova", LONG + hole, declared("x")), x="a") == [(code, "/body")]

    def test_facts_exist_only_where_the_template_has_them(self) -> None:
        plain = TemplateText("Titolo di prova", LONG + "${due_date} ${amount}")
        assert [code for code, _pointer in codes_of(plain)] == ["fact_not_in_template", "fact_not_in_template"]

    def test_many_holes_take_linear_time(self) -> None:
        body = LONG + "${x}${" * 2_000
        assert len(codes_of(TemplateText("Titolo di prova", body, declared("x")), x="a")) == 2_000

    @pytest.mark.parametrize("run", [" ", "_", "-", "#", "\\", "&a", "- ", "= yaml ="])
    def test_long_runs_of_anything_take_linear_time(self, run: str) -> None:
        value = run * (9_000 // len(run)) + "a\nb"
        started = time.process_time()
        (slot,) = (
            piece for piece in compile_template(TemplateText("", "${x}", declared("x"))).body if isinstance(piece, Slot)
        )
        assert slot.escape is not None
        assert slot.escape(flat(value)).endswith("a b")
        assert time.process_time() - started < 0.1

    def test_a_value_that_looks_like_a_hole_is_not_read_again(self) -> None:
        assert rendered(LONG + "${x}", declarations=declared("x", "y"), x="${y}", y="segreto").markdown == LONG + "${y}"


class TestValues:
    def test_every_fault_is_reported_at_once(self) -> None:
        declarations = (*declared("a", "b"), Declaration("day", PlaceholderType.DATE))
        text = TemplateText("Titolo di prova", LONG + "${a} ${day} ${typo}", declarations)
        assert codes_of(text, b=" ", day="oggi") == [
            ("unknown_name", "/body"),
            ("placeholder_missing", "/values/a"),
            ("placeholder_empty", "/values/b"),
            ("date_invalid", "/values/day"),
        ]

    def test_values_can_be_checked_without_a_message(self) -> None:
        text = TemplateText("Titolo di prova", LONG + "${a} ${due_date}", declared("a"), has_due_date=True)
        assert [finding.code for finding in check_values(text, values={})] == ["placeholder_missing"]
        assert check_values(text, values={"a": "b"}) == []

    def test_mandatory_placeholders_are_asked_for_even_when_the_text_does_not_show_them(self) -> None:
        assert codes_of(TemplateText("Titolo di prova", LONG, declared("a"))) == [("placeholder_missing", "/values/a")]

    def test_an_optional_placeholder_without_value_leaves_a_blank_and_says_so(self) -> None:
        message = rendered(LONG + "[${x}]", declarations=declared("x", mandatory=False))
        assert message.markdown == LONG + "[]"
        assert message.blanks == ("x",)

    def test_a_value_cannot_stand_in_for_a_fact(self) -> None:
        text = TemplateText(
            "Titolo di prova", LONG + "${amount} ${due_date}", declared("amount"), has_payment=True, has_due_date=True
        )
        without = FixedValues(taxcode="PCRMJV76P12B782Z", expedition_date=FIXED.expedition_date)
        assert codes_of(text, fixed=without, amount="1", due_date="2026-01-01T00:00:00Z") == [
            ("fact_missing", "/fixed/due_date"),
            ("fact_missing", "/fixed/amount"),
        ]

    def test_a_fact_at_the_end_of_the_calendar_is_refused_without_crashing(self) -> None:
        fixed = FixedValues(
            taxcode="X",
            expedition_date=read_instant("2026-01-01T00:00:00Z").replace(year=9999, month=12, day=31, hour=23),
        )
        assert codes_of(TemplateText("Titolo di prova", LONG + "${expedition_date}"), fixed=fixed) == [
            ("datetime_out_of_range", "/fixed/expedition_date")
        ]


class TestTitle:
    def test_nothing_is_escaped(self) -> None:
        assert (
            rendered(LONG, subject="Pratica ${x}", declarations=declared("x"), x="*A_1* [B] #2 \\").subject
            == "Pratica *A_1* [B] #2 \\"
        )

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\t", "\u2028", "\u2029", "\x85", " \n\n "])
    def test_no_line_end_passes(self, end: str) -> None:
        assert (
            rendered(LONG, subject="Pratica ${x}", declarations=declared("x"), x=f"uno{end}due{end}").subject
            == "Pratica uno due"
        )

    def test_line_ends_of_the_template_become_spaces(self) -> None:
        assert rendered(LONG, subject="Pratica\r\nnumero uno").subject == "Pratica numero uno"


class TestLengths:
    @pytest.mark.parametrize(("length", "fits"), [(9, False), (10, True), (120, True), (121, False)])
    def test_title_has_10_to_120_utf16_units(self, length: int, fits: bool) -> None:
        text = TemplateText("${x}", LONG, declared("x"))
        # An emoji counts two.
        value = "😀" + "a" * (length - 2)
        if fits:
            assert render(text, values={"x": value}, fixed=FIXED).subject == value
        else:
            assert codes_of(text, x=value) == [("subject_length", "/subject")]

    @pytest.mark.parametrize(("length", "fits"), [(79, False), (80, True), (10_000, True), (10_001, False)])
    def test_body_has_80_to_10000_utf16_units(self, length: int, fits: bool) -> None:
        text = TemplateText("Titolo di prova", "b${x}", declared("x"))
        value = "😀" + "a" * (length - 3)
        if fits:
            assert render(text, values={"x": value}, fixed=FIXED).markdown == "b" + value
        else:
            assert codes_of(text, x=value) == [("body_length", "/body")]

    def test_both_lengths_are_reported_together(self) -> None:
        assert codes_of(TemplateText("breve", "breve")) == [("subject_length", "/subject"), ("body_length", "/body")]
