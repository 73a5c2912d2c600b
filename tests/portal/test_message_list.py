"""The list of messages: what is in it, how it is narrowed, how one goes on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.states import Delivery, Group, WaitingReason
from portal import paging
from tests import factories
from tests.portal.composing import start, write
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def shown(visitor: Visitor) -> list[int]:
    """The messages on the page, in order, by the number in their link."""
    links = visitor.main.all("a", class_="title")
    return [int(link.attributes["href"].rstrip("/").rpartition("/")[2]) for link in links]


def chips(visitor: Visitor) -> list[str]:
    return [chip.text.removesuffix("(togli il filtro)").strip() for chip in visitor.main.all(class_="filter-chip")]


def listed(visitor: Visitor, **query: Any) -> list[int]:
    visitor.get("messages", query=query)
    return shown(visitor)


def test_shows_the_newest_first_with_masked_codes(cast: factories.Cast, sender: Visitor) -> None:
    older, newer = (factories.message(instance=cast.instance) for _ in range(2))
    assert listed(sender) == [newer.pk, older.pk]
    assert "RSSMRA••••••501U" in sender.main.text
    assert older.taxcode not in sender.main.text
    assert "2 messaggi" in sender.main.text


def test_a_stranger_sees_none_of_them(cast: factories.Cast) -> None:
    factories.message(instance=cast.instance)
    assert listed(Visitor(cast.stranger)) == []


def test_an_empty_list_says_why_and_what_to_do(sender: Visitor, cast: factories.Cast) -> None:
    sender.get("messages")
    assert "Ancora nessun messaggio" in sender.main.text
    assert "Scrivi il primo messaggio" in sender.actions
    viewer = Visitor(cast.viewer)
    viewer.get("messages")
    assert "Scrivi il primo messaggio" not in viewer.actions
    assert "Nuovo messaggio" not in viewer.actions


def test_no_result_offers_to_drop_the_filters(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance)
    assert listed(sender, titolo="assente") == []
    link = next(one for one in sender.main.all("a") if one.text == "Rimuovi i filtri")
    assert link.attributes["href"] == address("messages")


@pytest.mark.parametrize("group", list(Group))
def test_a_group_shows_its_states_and_no_other(cast: factories.Cast, sender: Visitor, group: Group) -> None:
    rows = [factories.message_in(state, instance=cast.instance) for state in Delivery]
    assert set(listed(sender, gruppo=group.value)) == {row.pk for row in rows if row.group is group}


def test_one_taken_as_arrived_counts_as_delivered(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message_in(Delivery.SENT, instance=cast.instance, is_taken_as_arrived=True, appio_message_id="")
    assert listed(sender, gruppo="delivered") == [row.pk]
    assert listed(sender, gruppo="ongoing") == []
    sender.get("messages")
    assert "Dato per arrivato" in sender.main.text


def test_every_state_is_shown_with_its_word(cast: factories.Cast, sender: Visitor) -> None:
    for state in Delivery:
        row = factories.message_in(state, instance=cast.instance)
        assert listed(sender, stato=state.value) == [row.pk]
        assert str(state.label) in [tag.text for tag in sender.main.all(class_="tag")]


def test_the_title_is_searched_by_any_part_in_any_case(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(instance=cast.instance, content={"subject": "Avviso TARI 2026"})
    factories.message(instance=cast.instance)
    assert listed(sender, titolo="tari") == [row.pk]
    assert chips(sender) == ["Titolo: “tari”"]


def test_dates_are_days_in_rome_both_included(cast: factories.Cast, sender: Visitor) -> None:
    # 23:30 UTC of the 30th is already the 1st in Rome.
    first = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)
    row = factories.message(instance=cast.instance, created_at=first, scheduled_at=first + timedelta(days=9))
    assert listed(sender, creato_dal="2026-07-01", creato_al="2026-07-01") == [row.pk]
    assert listed(sender, creato_al="2026-06-30") == []
    assert listed(sender, pianificato_dal="2026-07-10", pianificato_al="2026-07-10") == [row.pk]
    assert listed(sender, pianificato_dal="2026-07-11") == []
    assert chips(sender) == ["Pianificato dal 11 luglio 2026"]


def test_the_service_filter_knows_only_what_may_be_seen(cast: factories.Cast, sender: Visitor, elsewhere: Any) -> None:
    row = factories.message(instance=cast.instance)
    assert listed(sender, servizio=cast.instance.service_id) == [row.pk]
    options = [option.text for option in sender.main.one("select", name="servizio").all("option")]
    assert options == ["Tutti", cast.instance.service.service_name]
    sender.get("messages", query={"servizio": elsewhere.service_id})
    assert sender.title.startswith("Errore:")


def test_a_chip_takes_away_its_filter_and_keeps_the_others(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(instance=cast.instance)
    listed(sender, titolo="assente", stato="scheduled", gruppo="ongoing")
    link = next(chip for chip in sender.main.all("a", class_="filter-chip") if "Titolo" in chip.text)
    assert link.attributes["href"] == f"{address('messages')}?stato=scheduled&gruppo=ongoing"
    sender.open(link.attributes["href"])
    assert shown(sender) == [row.pk]


@pytest.mark.parametrize(
    "query",
    [{"creato_dal": "boh"}, {"stato": "inventato"}, {"gruppo": "x"}, {"servizio": "abc"}, {"creato_al": "0001-01-01"}],
)
def test_a_filter_that_cannot_be_read_is_told_and_nothing_is_listed(
    cast: factories.Cast, sender: Visitor, query: dict[str, str]
) -> None:
    factories.message(instance=cast.instance)
    assert listed(sender, **query) == []
    assert sender.title.startswith("Errore:")
    assert len(sender.errors) == 1
    assert "Nessun messaggio" not in sender.main.text
    assert "Rimuovi i filtri" in sender.actions


def test_a_page_beyond_the_last_does_not_say_that_there_are_no_messages(cast: factories.Cast, sender: Visitor) -> None:
    row = factories.message(instance=cast.instance)
    assert listed(sender, prima=1) == []
    assert "Ancora nessun messaggio" not in sender.main.text
    sender.open(next(one for one in sender.main.all("a") if one.text == "Vai ai più recenti").attributes["href"])
    assert shown(sender) == [row.pk]


class TestDrafts:
    def recipient(self, visitor: Visitor, typed: str, *, instance: Any) -> str:
        draft = start(visitor, instance)
        write(visitor, draft, button="salva", codice_fiscale=typed)
        visitor.get("messages")
        return visitor.main.one("tbody").all("td")[0].text

    def test_show_the_typed_code_masked_who_wrote_it_and_when(self, cast: factories.Cast, sender: Visitor) -> None:
        assert "RSSMRA••••••501U" in self.recipient(sender, "rss mra 80a01 h501u", instance=cast.instance)
        assert f"bozza di {cast.sender.full_name}, oggi alle" in sender.main.text

    @pytest.mark.parametrize("typed", ["RSSMRA80A", "RSSMRA80A01H501UX"])
    def test_of_a_code_not_yet_whole_nothing_is_shown(self, cast: factories.Cast, sender: Visitor, typed: str) -> None:
        assert self.recipient(sender, typed, instance=cast.instance) == "codice incompleto"

    def test_without_a_code_there_is_none(self, cast: factories.Cast, sender: Visitor) -> None:
        assert self.recipient(sender, "", instance=cast.instance) == "–"


@pytest.mark.parametrize("value", ["x", "-1", "9" * 40, "١٢"])
def test_a_page_number_that_is_none_shows_the_first_page(cast: factories.Cast, sender: Visitor, value: str) -> None:
    row = factories.message(instance=cast.instance)
    assert listed(sender, prima=value) == [row.pk]


def test_pages_follow_each_other_and_come_back(
    cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    rows = [factories.message(instance=cast.instance).pk for _ in range(5)][::-1]

    def link(words: str) -> str:
        return next(one for one in sender.main.all("a") if one.text == words).attributes["href"]

    assert listed(sender, titolo="cie") == rows[:2]
    sender.open(link("Meno recenti"))
    assert shown(sender) == rows[2:4]
    assert "titolo=cie" in link("Meno recenti")
    sender.open(link("Meno recenti"))
    assert shown(sender) == rows[4:]
    assert "Meno recenti" not in sender.actions
    sender.open(link("Più recenti"))
    assert shown(sender) == rows[2:4]
    sender.open(link("Più recenti"))
    assert shown(sender) == rows[:2]
    assert "Più recenti" not in sender.actions


def test_the_count_stops_at_its_bound(cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNTED", 2)
    for _ in range(3):
        factories.message(instance=cast.instance)
    sender.get("messages")
    assert "Oltre 2 messaggi" in sender.main.text


def test_a_waiting_message_says_why(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance, waiting_reason=WaitingReason.THROTTLED)
    sender.get("messages")
    assert str(WaitingReason.THROTTLED.label) in sender.main.text


def test_htmx_gets_the_content_without_the_frame(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance)
    sender.get("messages", HX_Request="true")
    assert sender.page.one(id="risultati").all("table")
    sender.get("messages", HX_Request="true", HX_History_Restore_Request="true")
    assert sender.page.all("footer")


def test_a_long_list_costs_as_many_queries_as_a_short_one(
    cast: factories.Cast, sender: Visitor, django_assert_max_num_queries: Any
) -> None:
    def queries() -> int:
        with django_assert_max_num_queries(40) as counted:
            sender.get("messages")
        return len(counted)

    def one_in_each_state() -> None:
        for state in Delivery:
            factories.message_in(state, instance=cast.instance)

    one_in_each_state()
    few = queries()
    one_in_each_state()
    assert queries() <= few
