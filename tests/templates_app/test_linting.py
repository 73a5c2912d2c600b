from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from templates_app.findings import Finding, Severity
from templates_app.linting import BLOCKING, check_declaration, check_template, lint_message
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.rendering import TemplateText
from templates_app.rome_time import read_instant

AT = read_instant("2026-03-10T09:00:00Z")
TITLE = "Scadenza del tesserino"
BODY = "Il tesserino scade fra pochi giorni: prenota il rinnovo allo sportello, oppure chiedilo dal sito del Comune. "


@dataclass(frozen=True)
class Payment:
    notice_number: str = "300012548634478200"
    invalid_after_due_date: bool = False


def string(name: str, **options: object) -> Declaration:
    return Declaration(name, PlaceholderType.STRING, **{"example": "AA", **options})  # type: ignore[arg-type]


def template(
    body: str = "",
    *declarations: Declaration,
    subject: str = TITLE,
    has_payment: bool = False,
    has_due_date: bool = False,
) -> TemplateText:
    return TemplateText(subject, BODY + body, declarations, has_payment=has_payment, has_due_date=has_due_date)


def places(findings: list[Finding]) -> list[tuple[str, str]]:
    assert all(finding.detail for finding in findings)
    return [(finding.code, finding.pointer) for finding in findings]


def errors(text: TemplateText) -> list[tuple[str, str]]:
    return places([finding for finding in check_template(text) if finding.severity is Severity.IMPOSSIBLE])


def warnings(text: TemplateText) -> list[tuple[str, str]]:
    return places([finding for finding in check_template(text) if finding.severity is Severity.WARNING])


def title_codes(subject: str, **options: object) -> list[str]:
    return [finding.code for finding in lint_message(subject, BODY, at=AT, **options)]  # type: ignore[arg-type]


def body_codes(body: str) -> list[str]:
    return [finding.code for finding in lint_message(TITLE, body, at=AT)]


def test_our_users_own_template_is_fine() -> None:
    text = TemplateText(
        "Scadenza CIE n. ${cie.uppercase}",
        "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
        "numero ${cie.uppercase}.",
        (string("cie", example="CA000000AA"),),
        has_payment=True,
        has_due_date=True,
    )
    assert check_template(text) == []


class TestTemplate:
    def test_syntax_and_unknown_names_are_errors(self) -> None:
        assert errors(template("${x} ${y?html}")) == [("unknown_name", "/body"), ("template_syntax", "/body")]

    def test_directives_of_freemarker_are_errors(self) -> None:
        assert errors(template("<#if x>a</#if>")) == [("freemarker_directive", "/body")]

    def test_facts_need_the_flag(self) -> None:
        assert errors(template("${due_date}")) == [("fact_not_in_template", "/body")]
        assert errors(template("${due_date}", has_due_date=True)) == []

    @pytest.mark.parametrize(
        "name", ["taxcode", "due_date", "amount", "payee", "expedition_date", "notice_number", "invalid_after_due_date"]
    )
    def test_names_of_facts_cannot_be_declared(self, name: str) -> None:
        assert errors(template("", string(name))) == [("name_reserved", "/declarations/0/name")]

    @pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "è", "a.b", "a" * 256])
    def test_names_that_no_hole_could_hold_cannot_be_declared(self, name: str) -> None:
        assert errors(template("", string(name))) == [("name_invalid", "/declarations/0/name")]

    def test_a_name_is_declared_once(self) -> None:
        assert errors(template("${a}", string("a"), string("a"))) == [("name_repeated", "/declarations/1/name")]

    @pytest.mark.parametrize(
        "declarations",
        [
            (string("a"), string("a_upper")),
            (Declaration("due", PlaceholderType.DATETIME, example="2026-01-01T10:00"),),
            (
                Declaration("a", PlaceholderType.DATETIME, example="2026-01-01T10:00"),
                Declaration("a_date", PlaceholderType.DATE, example="2026-01-01"),
            ),
            (string("amount_currency"),),
        ],
    )
    def test_two_readings_are_errors(self, declarations: tuple[Declaration, ...]) -> None:
        assert "two_readings" in [code for code, _pointer in errors(template("", *declarations))]

    def test_a_placeholder_shown_though_optional_is_doubtful(self) -> None:
        assert warnings(template("${a}", string("a", mandatory=False))) == [
            ("optional_always_used", "/declarations/0/mandatory")
        ]

    def test_a_placeholder_never_shown_is_doubtful(self) -> None:
        assert warnings(template("", string("a"))) == [("placeholder_unused", "/declarations/0/name")]

    def test_the_amount_in_cents_is_doubtful(self) -> None:
        assert warnings(template("${amount}", has_payment=True)) == [("amount_in_cents", "/body")]
        assert warnings(template("${amount_currency}", has_payment=True)) == []

    def test_lengths_are_measured_with_the_examples(self) -> None:
        assert errors(template("", string("a", example="a"), subject="${a}")) == [("T1", "/subject")]
        assert errors(template("", string("a", example="a" * 110), subject="Pratica numero ${a}")) == [
            ("T1", "/subject")
        ]
        assert errors(TemplateText(TITLE, "Breve")) == [("B1", "/body")]

    def test_authoring_rules_are_applied_with_the_examples(self) -> None:
        assert errors(template("", string("a", example="RSSMRA80A01H501U"), subject="Pratica di ${a}")) == [
            ("T2", "/subject")
        ]
        assert errors(template("", subject="Pratica di ${taxcode}")) == [("T2", "/subject")]
        assert warnings(template("http://example.it")) == [("B8", "/body")]

    def test_without_examples_only_the_template_itself_is_judged(self) -> None:
        assert places(check_template(template("${a}", string("a", example="")))) == [
            ("example_missing", "/declarations/0/example")
        ]

    def test_a_hole_in_a_button_wants_quotes(self) -> None:
        body = '---\nit:\n  cta_1:\n    text: %s\n    action: "iohandledlink://https://a.it"\n---\n' + BODY
        assert errors(TemplateText(TITLE, body % "Paga ${a}", (string("a"),))) == [("C2", "/body")]
        assert errors(TemplateText(TITLE, body % '"Paga ${a}"', (string("a"),))) == []

    def test_endless_templates_are_refused_before_reading_them(self) -> None:
        assert errors(TemplateText("a" * 256, "${" * 20_000)) == [("too_long", "/subject"), ("too_long", "/body")]


class TestDeclaration:
    @pytest.mark.parametrize(
        ("declaration", "code"),
        [
            (string("a", pattern="("), "pattern_invalid"),
            (string("a", pattern="(?=a)"), "pattern_invalid"),
            (string("a", pattern="[0-9]+"), "example_invalid"),
            (Declaration("a", PlaceholderType.DATE, example="31/12/2026"), "example_invalid"),
            (Declaration("a", PlaceholderType.CHOICE, example="x"), "choices_missing"),
            (Declaration("a", PlaceholderType.DATE, example="2026-12-31", pattern="a"), "pattern_ignored"),
        ],
    )
    def test_finds(self, declaration: Declaration, code: str) -> None:
        assert [finding.code for finding in check_declaration(declaration)] == [code]

    def test_an_example_that_is_no_value_is_doubtful_and_stops_nothing(self) -> None:
        declaration = string("a", pattern="[0-9]+")
        assert [finding.severity for finding in check_declaration(declaration)] == [Severity.WARNING]
        findings = check_template(TemplateText(TITLE, BODY + " ${a}", (declaration,)))
        assert [finding.code for finding in findings] == ["example_invalid"]

    def test_slow_looking_patterns_are_welcome_because_ours_cannot_be_slow(self) -> None:
        assert check_declaration(string("a", pattern="(A+)+")) == []


class TestTitle:
    @pytest.mark.parametrize(
        ("subject", "codes"),
        [
            (TITLE, []),
            ("Scadenza CIE n. CA000000AA", []),
            ("Protocollo 0123456/2026 del 12/03/2026", []),
            ("Ritiro n. 5", []),
            ("Breve", ["T1"]),
            ("Pratica di rssmra80a01h501u", ["T2"]),
            ("Scrivi a ufficio@example.it", ["T2"]),
            ("Rimborso su IT60X0542811101000000123456", ["T2"]),
            ("Multa al veicolo AB123CD", ["T2"]),
            ("Avviso 3000 1254 8634 4782 00", ["T2"]),
            ("Chiama il 333 1234567 subito", ["T2"]),
            ("Chiama lo 06 12345678 subito", ["T2"]),
            ("a" * 71, ["T4"]),
            ("AVVISO IMPORTANTE", ["T6"]),
            ("Una notifica per te", ["T6"]),
            ("Scadenza **vicina**", ["T7"]),
            ("Scadenza\nvicina oggi", ["T7"]),
            ("# Scadenza vicina", ["T7"]),
            ("Vedi [qui](https://a.it)", ["T7"]),
        ],
    )
    def test_rules(self, subject: str, codes: list[str]) -> None:
        assert title_codes(subject) == codes

    def test_names_already_on_screen_are_not_repeated(self) -> None:
        assert title_codes("Avviso del COMUNE DI PISA", names=["Comune di Pisa", ""]) == ["T5"]

    def test_codes_are_not_repeated_in_the_explanation(self) -> None:
        findings = lint_message("Pratica di RSSMRA80A01H501U", BODY, at=AT)
        assert "RSSMRA80A01H501U" not in findings[0].detail


class TestBody:
    @pytest.mark.parametrize(
        ("body", "codes"),
        [
            (BODY, []),
            (BODY + "**a** *b*\n\n- c\n- d\n\n1. e\n\n# f\n\n[Prenota](https://example.it)", []),
            ("Breve", ["B1"]),
            (BODY + "\n\n| a |\n|---|\n| b |", ["B2"]),
            (BODY + "~~a~~", ["B2"]),
            (BODY + "a[^1]", ["B2"]),
            (BODY + "<b>a</b>", ["B3"]),
            (BODY + "\n\n<div>\na\n</div>", ["B3"]),
            (BODY + "a<br>b<br />c", []),
            (BODY + "\n\n#### a", ["B4"]),
            (BODY + "\n\n```\na\n```", ["B4"]),
            (BODY + "\n\n> a", ["B4"]),
            (BODY + "![a](https://a.it/b.png)", ["B5"]),
            (BODY + "[a b][1]\n\n[1]: https://a.it", ["B6"]),
            (BODY + "[a b](javascript:x)", ["B7"]),
            (BODY + "[a b](www.a.it)", ["B7"]),
            (BODY + "[a b](http://a.it)", ["B7_http"]),
            (BODY + "[a b](tel:061234)", ["B7_contact"]),
            (BODY + "[qui](https://a.it)", ["B8"]),
            (BODY + "[**Clicca qui**](https://a.it)", ["B8"]),
            (BODY + "https://a.it", ["B8"]),
            (BODY + "<https://a.it>", ["B8"]),
            ("Gentile RSSMRA80A01H501U, " + BODY, ["B9"]),
            (BODY * 3 + "RSSMRA80A01H501U", []),
            (BODY + "${nome}", ["B10"]),
        ],
    )  # fmt: skip
    def test_rules(self, body: str, codes: list[str]) -> None:
        assert body_codes(body) == codes


class TestButtons:
    IT = 'it:\n  cta_1:\n    text: "Paga"\n    action: "iohandledlink://https://a.it"\n'
    EN = IT.replace("it:", "en:", 1).replace("Paga", "Pay")

    @pytest.mark.parametrize(
        ("yaml", "codes"),
        [
            (IT + EN, []),
            (IT, ["C4"]),
            (EN, ["C4"]),
            (IT + EN.replace("cta_1", "cta_2"), ["C2"]),
            ((IT + EN).replace('"Paga"', '""'), ["C2"]),
            ((IT + EN).replace('"Paga"', "12"), ["C2"]),
            (IT + EN + '  cta_3:\n    text: "x"\n', ["C2"]),
            ((IT + EN).replace("iohandledlink://", "", 1), ["C3"]),
            ((IT + EN).replace("https://a.it", "ftp://a.it", 1), ["C3"]),
            ((IT + EN).replace("https://a.it", "tel:061234", 1), []),
            ((IT + EN).replace("iohandledlink://https://a.it", "ioit://PROFILE_MAIN", 1), ["C5"]),
            ((IT + EN).replace("Paga", "Paga adesso senza aspettare domani"), ["C6"]),
            ("it: [", ["C1"]),
            (IT + "\tx: 1", ["C1"]),
            ("Solo testo", ["C1"]),
        ],
    )
    def test_rules(self, yaml: str, codes: list[str]) -> None:
        assert body_codes(f"---\n{yaml}\n---\n" + BODY) == codes

    @pytest.mark.parametrize(
        "head", ["---\n" + IT, "\n---\n" + IT + "---\n", "Da leggere --- subito\n\n---\n\nuno\n\n---\n\n"]
    )
    def test_a_block_that_the_app_would_not_take_as_meant(self, head: str) -> None:
        assert "C1" in body_codes(head + BODY)


class TestDates:
    def codes(self, due_date: str | None, payment: Payment | None = None) -> list[str]:
        moment = None if due_date is None else read_instant(due_date)
        return [finding.code for finding in lint_message(TITLE, BODY, due_date=moment, payment=payment, at=AT)]

    def test_rules(self) -> None:
        ends = Payment(invalid_after_due_date=True)
        assert self.codes(None) == []
        assert self.codes("2026-04-30T23:59:59+02:00") == []
        assert self.codes("2026-03-01T23:59:59+01:00") == ["D1_late"]
        assert self.codes("2026-03-01T23:59:59+01:00", ends) == ["D1"]
        assert self.codes("2026-04-30T00:00:00+02:00") == ["D2"]
        assert self.codes(None, ends) == ["P4"]
        assert self.codes(None, replace(ends, notice_number="3,00E+17", invalid_after_due_date=False)) == ["P1"]
        assert self.codes((AT + timedelta(days=9)).isoformat(), ends) == []


def test_findings_on_a_message_only_warn_and_blocking_rules_are_known() -> None:
    findings = lint_message("AB123CD **x**", "---\nit: [\n---\n<b>", at=AT)
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert {finding.code for finding in findings} & BLOCKING == {"T2", "T7", "B1", "B3", "C1"}
