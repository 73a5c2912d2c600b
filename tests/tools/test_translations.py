from collections.abc import Callable
from pathlib import Path

import pytest

from tools import translations

Collect = Callable[[str, str], set[tuple[str, tuple[str, ...]]]]


@pytest.fixture
def collect(tmp_path: Path) -> Collect:
    def collected(name: str, text: str) -> set[tuple[str, tuple[str, ...]]]:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return {(context, forms) for context, forms, _ in translations.extracted(path)}

    return collected


class TestCollects:
    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            ("_('Invia')", ("", ("Invia",))),
            ("gettext_lazy('Invia ' 'subito')", ("", ("Invia subito",))),
            ("ngettext('%(n)d messaggio', '%(n)d messaggi', n)", ("", ("%(n)d messaggio", "%(n)d messaggi"))),
            ("pgettext('verbo', 'Invia')", ("verbo", ("Invia",))),
            ("npgettext('verbo', 'un invio', '%(n)d invii', n)", ("verbo", ("un invio", "%(n)d invii"))),
        ],
    )
    def test_each_call_of_gettext_in_python(
        self, collect: Collect, call: str, expected: tuple[str, tuple[str, ...]]
    ) -> None:
        assert collect("page.py", f"title = {call}\n") == {expected}

    def test_nothing_from_a_call_with_a_variable(self, collect: Collect) -> None:
        assert collect("page.py", "title = _(name)\n") == set()

    @pytest.mark.parametrize(
        ("tag", "expected"),
        [
            ("{% translate 'Invia' %}", ("", ("Invia",))),
            ("{% translate 'Invia' context 'verbo' %}", ("verbo", ("Invia",))),
            ("<b title=\"{% translate 'Un’altra' as other %}\">", ("", ("Un’altra",))),
            ("{% blocktranslate %}Ciao {{ name }}{% endblocktranslate %}", ("", ("Ciao %(name)s",))),
            ("{% blocktranslate trimmed %}\n  Ciao\n  a tutti\n{% endblocktranslate %}", ("", ("Ciao a tutti",))),
            (
                "{% blocktranslate count n=all %}un invio{% plural %}{{ n }} invii{% endblocktranslate %}",
                ("", ("un invio", "%(n)s invii")),
            ),
        ],
    )
    def test_each_tag_of_a_page(self, collect: Collect, tag: str, expected: tuple[str, tuple[str, ...]]) -> None:
        page = f"{{% load i18n %}}\n  <div>\n      <p>it's {{{{ value }}}} (\n    {tag}</p></div>\n"
        assert collect("page.html", page) == {expected}


class TestRefuses:
    WANTED = (("", ("Ciao %(name)s",)), ("", ("%(n)d invio", "%(n)d invii")))

    def found(self, *entries: tuple[str | tuple[str, str], str | tuple[str, str]]) -> list[str]:
        catalogue = translations.empty()
        for source, said in entries:
            catalogue.add(source, string=said)
        return list(translations.problems(catalogue, self.WANTED))

    GOOD = (("Ciao %(name)s", "Hello %(name)s"), (("%(n)d invio", "%(n)d invii"), ("one sending", "%(n)d sendings")))

    def test_nothing_in_a_whole_catalogue(self) -> None:
        assert self.found(*self.GOOD) == []

    def test_a_sentence_that_was_not_collected(self) -> None:
        assert self.found(self.GOOD[0]) == ["not collected yet: '%(n)d invio'"]

    def test_a_sentence_that_nothing_uses(self) -> None:
        assert self.found(*self.GOOD, ("Addio", "Goodbye")) == ["left over, nothing uses it: 'Addio'"]

    def test_a_missing_translation(self) -> None:
        assert self.found(("Ciao %(name)s", ""), self.GOOD[1]) == ["not translated: 'Ciao %(name)s'"]

    def test_a_missing_plural(self) -> None:
        assert self.found(self.GOOD[0], (("%(n)d invio", "%(n)d invii"), ("one sending", ""))) == [
            "not translated: '%(n)d invio'"
        ]

    def test_a_placeholder_that_was_renamed(self) -> None:
        (problem,) = self.found(("Ciao %(name)s", "Hello %(nome)s"), self.GOOD[1])
        assert problem.startswith("placeholders differ (%(name)s, %(nome)s)")

    def test_a_doubtful_translation(self) -> None:
        catalogue = translations.empty()
        catalogue.add("Ciao %(name)s", string="Hello %(name)s", flags=["fuzzy"])
        catalogue.add(("%(n)d invio", "%(n)d invii"), string=("one sending", "%(n)d sendings"))
        assert list(translations.problems(catalogue, self.WANTED)) == ["marked as doubtful (fuzzy): 'Ciao %(name)s'"]


class TestCollecting:
    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "portal").mkdir()
        monkeypatch.setattr(translations, "ROOT", tmp_path)
        monkeypatch.setattr(translations, "CATALOGUE", tmp_path / "locale/en/LC_MESSAGES/django.po")
        return tmp_path

    def test_keeps_what_is_translated_and_drops_what_nothing_uses(self, project: Path) -> None:
        code = project / "portal/page.py"
        code.write_text("_('Invia')\n_('Annulla')\n")
        translations.collect()
        catalogue = translations.CATALOGUE.read_text()
        translations.CATALOGUE.write_text(catalogue.replace('"Invia"\nmsgstr ""', '"Invia"\nmsgstr "Send"'))
        code.write_text("_('Invia')\n_('Chiudi')\n")
        translations.collect()
        assert {str(m.id): m.string for m in translations.stored() if m.id} == {"Invia": "Send", "Chiudi": ""}

    def test_twice_changes_nothing(self, project: Path) -> None:
        (project / "portal/page.py").write_text("_('Invia')\n")
        translations.collect()
        before = translations.CATALOGUE.read_bytes()
        translations.collect()
        assert translations.CATALOGUE.read_bytes() == before

    def test_an_edit_that_was_not_compiled_is_noticed(self, project: Path) -> None:
        (project / "portal/page.py").write_text("_('Invia')\n")
        translations.collect()
        catalogue = translations.CATALOGUE.read_text()
        translations.CATALOGUE.write_text(catalogue.replace('"Invia"\nmsgstr ""', '"Invia"\nmsgstr "Send"'))  # fmt: skip
        assert translations.check() == 1
        translations.collect()
        assert translations.check() == 0
