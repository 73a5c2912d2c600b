"""The doubts: found by service, cause and time, chosen one by one or all together, and settled with an exact account."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from messaging import settling
from messaging.attempts import NOT_ARRIVED_AFTER_ALL
from messaging.models import EventKind, Message, OnDoubt, ServiceInstance
from messaging.moving import record
from messaging.states import Delivery, Priority
from portal import paging
from portal.doubts import causes_of
from portal.selections import packed
from portal.views import doubts as views
from registry.models import Role
from tests import factories
from tests.portal.test_decisions import close, suspended
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db

PAYMENT = {"amount_cents": 14550, "notice_number": "300012548634478200"}


def doubt(instance: ServiceInstance, *, reason: str = "", **fields: Any) -> Message:
    row = factories.message_in(Delivery.UNCERTAIN, instance=instance, **fields)
    if reason:
        data = {"reason": reason}
        record([row.pk], kind=EventKind.OUTCOME_UNKNOWN, at=timezone.now(), state=Delivery.UNCERTAIN, data=data)
    return row


def doubts(instance: ServiceInstance, number: int, **fields: Any) -> list[Message]:
    return [doubt(instance, **fields) for _ in range(number)]


def listed(visitor: Visitor, **query: Any) -> set[int]:
    """The messages that the list shows."""
    visitor.get("uncertain", query=query)
    links = [link.attributes["href"] for link in visitor.main.all("a", class_="title")]
    return {int(link.strip("/").rpartition("/")[2]) for link in links}


def told(visitor: Visitor) -> str:
    """What the page says about what was just done."""
    return " ".join(box.text for box in visitor.page.all(class_="alert"))


@pytest.fixture
def both(cast: factories.Cast, elsewhere: ServiceInstance) -> Visitor:
    """Sees both enti, and settles the doubts of the first alone."""
    person = factories.user()
    factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
    factories.grant(person, Role.SENDER, organizations=(cast.instance.organization,), services=(cast.instance.service,))
    return Visitor(person)


class TestList:
    def test_is_usually_empty_and_says_so(self, sender: Visitor) -> None:
        sender.get("uncertain")
        assert "Nessun messaggio da decidere" in sender.main.text

    def test_tells_exactly_when_each_request_left(self, cast: factories.Cast, sender: Visitor) -> None:
        row = doubt(cast.instance, marked_at=datetime(2026, 7, 7, 7, 0, 3, tzinfo=UTC))
        factories.message(instance=cast.instance)
        assert listed(sender) == {row.pk}
        (line,) = sender.main.one("tbody").all("tr")
        assert line.one("time").text == "7 luglio 2026, 9:00:03 (CEST)"
        assert line.one("time").attributes["datetime"] == "2026-07-07T09:00:03+02:00"
        assert row.taxcode not in sender.main.text
        assert "RSSMRA••••••501U" in line.text

    def test_who_may_not_settle_has_nothing_to_tick(self, cast: factories.Cast) -> None:
        doubt(cast.instance)
        viewer = Visitor(cast.viewer)
        viewer.get("uncertain")
        assert "Per decidere serve il ruolo Invio" in viewer.main.text
        assert not viewer.main.all(type="checkbox")
        assert not viewer.main.all(class_="settle-bar")

    def test_only_what_is_theirs_to_settle_can_be_ticked(
        self, cast: factories.Cast, elsewhere: ServiceInstance, both: Visitor
    ) -> None:
        mine, theirs = doubt(cast.instance), doubt(elsewhere)
        assert listed(both) == {mine.pk, theirs.pk}
        assert [box.attributes["value"] for box in both.main.all("input", name="messaggio")] == [str(mine.pk)]

    def test_with_none_to_settle_on_the_only_page_there_is_nothing_to_press(
        self, elsewhere: ServiceInstance, both: Visitor
    ) -> None:
        doubt(elsewhere)
        both.get("uncertain")
        assert not both.main.all(class_="settle-bar")

    def test_a_stranger_sees_none(self, cast: factories.Cast) -> None:
        doubt(cast.instance)
        assert listed(Visitor(cast.stranger)) == set()

    def test_says_what_will_be_sent_again_by_itself_and_when(self, cast: factories.Cast, sender: Visitor) -> None:
        ServiceInstance.objects.filter(pk=cast.instance.pk).update(on_doubt=OnDoubt.RESEND)
        since = timezone.now()
        doubt(cast.instance, marked_at=since, updated_at=since, content=PAYMENT)
        sender.get("uncertain")
        assert "riparte da solo" not in sender.main.text
        doubt(cast.instance, marked_at=since - timedelta(minutes=1), updated_at=since)
        sender.get("uncertain")
        after = timezone.localtime(since + timedelta(minutes=10)).strftime("%H:%M").removeprefix("0")
        assert re.search(rf"Se nessuno decide, riparte da solo (oggi|domani) alle {after}", sender.main.text)

    def test_so_does_its_own_page(self, cast: factories.Cast, sender: Visitor) -> None:
        row = doubt(cast.instance)
        sender.get("message", row.pk)
        assert "riparte da solo" not in sender.main.text
        ServiceInstance.objects.filter(pk=cast.instance.pk).update(on_doubt=OnDoubt.RESEND)
        sender.get("message", row.pk)
        assert "Se nessuno decide, riparte da solo" in sender.main.one(class_="state-explanation").text

    def test_costs_the_same_for_many_as_for_a_few(
        self, cast: factories.Cast, sender: Visitor, django_assert_max_num_queries: Any
    ) -> None:
        def queries() -> int:
            with django_assert_max_num_queries(40) as counted:
                sender.get("uncertain")
            return len(counted)

        doubt(cast.instance, reason="HTTP 500")
        few = queries()
        doubts(cast.instance, 6, reason="HTTP 500")
        assert queries() == few


class TestFilters:
    def test_by_service(self, cast: factories.Cast, elsewhere: ServiceInstance, both: Visitor) -> None:
        mine, theirs = doubt(cast.instance), doubt(elsewhere)
        assert listed(both, servizio=cast.instance.service_id) == {mine.pk}
        assert listed(both, servizio=elsewhere.service_id) == {theirs.pk}

    def test_by_cause(self, cast: factories.Cast, sender: Visitor) -> None:
        by_reason = {
            reason: doubt(cast.instance, reason=reason).pk
            for reason in ("HTTP 500", "HTTP 408", "HTTP 302", "HTTP 204", "no answer: ServerTimeoutError", "")
        }
        assert listed(sender, causa="errore") == {by_reason["HTTP 500"], by_reason["HTTP 408"]}
        assert listed(sender, causa="inattesa") == {by_reason["HTTP 302"], by_reason["HTTP 204"]}
        assert listed(sender, causa="silenzio") == {by_reason["no answer: ServerTimeoutError"], by_reason[""]}
        assert listed(sender) == set(by_reason.values())

    def test_of_several_doubts_the_last_is_the_cause(self, cast: factories.Cast, sender: Visitor) -> None:
        row = doubt(cast.instance, reason="HTTP 500")
        record([row.pk], kind=EventKind.OUTCOME_UNKNOWN, at=timezone.now(), data={"reason": "no answer recorded"})
        assert listed(sender, causa="errore") == set()
        assert listed(sender, causa="silenzio") == {row.pk}

    def test_an_end_before_the_beginning_is_told(self, cast: factories.Cast, sender: Visitor) -> None:
        doubt(cast.instance)
        assert listed(sender, dal="2026-07-07T09:01", al="2026-07-07T09:00") == set()
        assert any("“fino al” viene prima di “dal”" in words for words in sender.errors)
        assert "Nessun messaggio" not in sender.main.text

    def test_by_minutes_in_rome_both_included(self, cast: factories.Cast, sender: Visitor) -> None:
        at = [datetime(2026, 7, 7, 7, minute, second, tzinfo=UTC) for minute, second in ((0, 0), (12, 59), (13, 0))]
        first, second, third = (doubt(cast.instance, marked_at=each).pk for each in at)
        assert listed(sender, dal="2026-07-07T09:00", al="2026-07-07T09:12") == {first, second}
        assert listed(sender, dal="07/07/2026 9:01") == {second, third}
        assert listed(sender, al="2026-07-07T08:59") == set()
        assert "Nessun messaggio da decidere con questi filtri" in sender.main.text

    def test_an_hour_that_comes_twice_is_taken_whole(self, cast: factories.Cast, sender: Visitor) -> None:
        """On the autumn night 2:30 is 0:30 and 1:30 UTC."""
        rows = {doubt(cast.instance, marked_at=datetime(2026, 10, 25, hour, 30, tzinfo=UTC)).pk for hour in (0, 1)}
        assert listed(sender, dal="2026-10-25T02:30", al="2026-10-25T02:30") == rows

    @pytest.mark.parametrize(
        "query", [{"dal": "boh"}, {"al": "2026-03-29T02:30"}, {"dal": "0001-01-01T00:00"}, {"servizio": "x"}]
    )
    def test_one_that_cannot_be_read_is_told_and_nothing_is_listed(
        self, cast: factories.Cast, sender: Visitor, query: dict[str, str]
    ) -> None:
        doubt(cast.instance)
        assert listed(sender, **query) == set()
        assert sender.errors
        sender.get("many_arrived", query={**query, "tutti": "1"}, expect=302)

    def test_stay_on_the_next_page_and_in_what_is_chosen(
        self, cast: factories.Cast, sender: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "PAGE_SIZE", 2)
        rows = doubts(cast.instance, 3, reason="HTTP 500")
        assert listed(sender, causa="errore") == {rows[1].pk, rows[2].pk}
        hidden = {box.attributes["name"]: box.attributes["value"] for box in sender.main.all("input", type="hidden")}
        assert hidden == {"causa": "errore"}
        assert "Seleziona tutti i 3 che corrispondono ai filtri" in sender.main.text
        sender.open(sender.main.one(class_="pager").one("a").attributes["href"])
        assert [link.attributes["href"] for link in sender.main.all("a", class_="title")] == [
            address("message", rows[0].pk)
        ]


class TestTakenAsArrivedAndNot:
    """A person took it as arrived, and IO's late answer proved that it had not."""

    def back(self, cast: factories.Cast) -> Message:
        row = doubt(cast.instance, reason="HTTP 500", status_detail=NOT_ARRIVED_AFTER_ALL)
        for kind in (EventKind.SETTLED_ARRIVED, EventKind.LATE_ANSWER):
            record([row.pk], kind=kind, at=timezone.now())
        return row

    def test_the_list_tells_the_proof_instead_of_the_old_cause(self, cast: factories.Cast, sender: Visitor) -> None:
        row = self.back(cast)
        assert listed(sender) == {row.pk}
        assert NOT_ARRIVED_AFTER_ALL in sender.main.text
        assert "IO ha risposto con un errore (500)" not in sender.main.text

    def test_is_found_by_what_happened_to_it(self, cast: factories.Cast, sender: Visitor) -> None:
        row, other = self.back(cast), doubt(cast.instance, reason="HTTP 500")
        assert listed(sender, causa="non-arrivato") == {row.pk}
        assert listed(sender, causa="errore") == {other.pk}

    def test_its_page_tells_it_and_offers_to_send_it_again(self, cast: factories.Cast, sender: Visitor) -> None:
        row = self.back(cast)
        sender.get("message", row.pk)
        assert sender.main.one(class_="status-detail").text == f"Dettaglio: {NOT_ARRIVED_AFTER_ALL}"
        assert "Potrebbe essere arrivato" not in sender.main.one(class_="state-explanation").text
        assert "Invia di nuovo" in sender.actions

    def test_sent_again_it_cannot_come_twice_and_its_detail_is_gone(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        row = self.back(cast)
        sender.get("resend", row.pk)
        assert NOT_ARRIVED_AFTER_ALL in sender.main.text
        assert "potrebbe averlo già" not in sender.main.text
        sender.post("resend", row.pk, data={"motivo": "Non era arrivato"})
        row.refresh_from_db()
        assert (row.delivery_state, row.status_detail) == (Delivery.SCHEDULED, "")
        assert row.events.latest("pk").kind == EventKind.SETTLED_RESEND

    def test_where_an_earlier_sending_may_have_arrived_it_still_warns(
        self, cast: factories.Cast, sender: Visitor
    ) -> None:
        row = doubt(cast.instance, status_detail=NOT_ARRIVED_AFTER_ALL)
        for kind in (EventKind.OUTCOME_UNKNOWN, EventKind.SETTLED_RESEND, EventKind.OUTCOME_UNKNOWN):
            record([row.pk], kind=kind, at=timezone.now())
        record([row.pk], kind=EventKind.LATE_ANSWER, at=timezone.now())
        sender.get("resend", row.pk)
        assert "Il cittadino potrebbe averlo già." in sender.main.text
        sender.post("resend", row.pk, data={"motivo": "Non era arrivato"}, expect=422)

    def test_is_told_in_english_too(self, cast: factories.Cast, sender: Visitor) -> None:
        row = self.back(cast)
        with translation.override("en"):
            assert causes_of([row])[row.pk].startswith("It had been marked as arrived")


ROUTES = ["many_arrived", "many_resend"]
YES = {"motivo": "Lo dice il back office di IO", "consapevole": "on"}


def chosen(visitor: Visitor) -> dict[str, str]:
    """What the confirmation would send, without what a person fills in."""
    return visitor.typed_in(visitor.main.one("form"))


class TestQuestion:
    @pytest.mark.parametrize("route", ROUTES)
    def test_says_exactly_how_many_since_when_and_how_many_with_a_payment(
        self, cast: factories.Cast, sender: Visitor, route: str
    ) -> None:
        at = datetime(2026, 7, 7, 7, 0, 3, tzinfo=UTC)
        rows = [doubt(cast.instance, marked_at=at + timedelta(minutes=index)) for index in range(2)]
        rows.append(doubt(cast.instance, marked_at=at, content=PAYMENT))
        sender.get(route, query={"messaggio": [row.pk for row in rows]})
        text = sender.main.text
        assert "7 luglio 2026, 9:00:03 (CEST)" in text
        assert "7 luglio 2026, 9:01:03 (CEST)" in text
        assert f"{cast.instance.service.service_name}3 messaggi" in text
        assert "Di questi, con un avviso di pagamento1" in text
        assert any("3 messaggi" in words for words in sender.actions)
        assert {row.pk for row in Message.objects.uncertain()} == {row.pk for row in rows}

    def test_sending_again_says_what_it_may_come_to(self, cast: factories.Cast, sender: Visitor) -> None:
        past = timezone.now() - timedelta(minutes=1)
        rows = [*doubts(cast.instance, 2), doubt(cast.instance, expires_at=past)]
        sender.get("many_resend", query={"messaggio": [row.pk for row in rows]})
        assert "I cittadini potrebbero averli già." in sender.main.text
        assert "1 ha la scadenza già passata: non partirà" in sender.main.text
        assert "dopo i messaggi singoli e quelli pianificati" in sender.main.text
        assert "So che fino a 3 cittadini potrebbero riceverlo due volte" in sender.main.text

    @pytest.mark.parametrize("route", ROUTES)
    def test_of_all_that_match_the_filters_it_takes_no_other(
        self, cast: factories.Cast, sender: Visitor, route: str
    ) -> None:
        doubt(cast.instance)
        rows = doubts(cast.instance, 3, reason="HTTP 500")
        sender.get(route, query={"tutti": "1", "causa": "errore"})
        assert chosen(sender)["scelti"] == packed([row.pk for row in rows])

    @pytest.mark.parametrize("route", ROUTES)
    def test_a_single_one_has_its_own_page(self, cast: factories.Cast, sender: Visitor, route: str) -> None:
        row = doubt(cast.instance)
        response = sender.get(route, query={"messaggio": row.pk}, expect=302)
        assert response["Location"] == address(route.removeprefix("many_"), row.pk)

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("query", [{}, {"messaggio": "x"}, {"messaggio": "9" * 19}])
    def test_with_nothing_chosen_goes_back_and_says_so(
        self, sender: Visitor, route: str, query: dict[str, str]
    ) -> None:
        sender.follow(sender.get(route, query=query, expect=302))
        assert "Seleziona almeno un messaggio" in told(sender)

    @pytest.mark.parametrize("route", ROUTES)
    def test_those_of_others_are_left_out_and_told(
        self, cast: factories.Cast, elsewhere: ServiceInstance, both: Visitor, route: str
    ) -> None:
        mine, theirs = doubts(cast.instance, 2), doubt(elsewhere)
        both.get(route, query={"messaggio": [*(row.pk for row in mine), theirs.pk]})
        assert chosen(both)["scelti"] == packed([row.pk for row in mine])
        assert "Un altro messaggio fra quelli scelti resta com’è" in both.main.text

    @pytest.mark.parametrize("route", ROUTES)
    def test_what_one_may_not_even_see_is_as_good_as_gone(
        self, cast: factories.Cast, elsewhere: ServiceInstance, sender: Visitor, route: str
    ) -> None:
        mine, hidden, settled = (
            doubts(cast.instance, 2),
            doubt(elsewhere),
            factories.message_in(Delivery.SENT, instance=cast.instance),
        )
        sender.get(route, query={"messaggio": [*(row.pk for row in mine), hidden.pk, settled.pk]})
        assert chosen(sender)["scelti"] == packed([row.pk for row in mine])
        assert "2 di quelli scelti non sono più da decidere" in sender.main.text

    @pytest.mark.parametrize("route", ROUTES)
    def test_of_one_left_of_several_the_others_are_told(
        self, cast: factories.Cast, sender: Visitor, route: str
    ) -> None:
        rows = doubts(cast.instance, 4)
        Message.objects.filter(pk__in=[row.pk for row in rows[1:]]).update(delivery_state=Delivery.SENT)
        sender.get(route, query={"messaggio": [row.pk for row in rows]})
        assert "3 di quelli scelti non sono più da decidere" in sender.main.text
        assert chosen(sender)["scelti"] == packed([rows[0].pk])

    @pytest.mark.parametrize("route", ROUTES)
    def test_the_filter_stays_on_the_way_back_and_after_settling(
        self, cast: factories.Cast, sender: Visitor, route: str
    ) -> None:
        doubts(cast.instance, 2, reason="HTTP 500")
        back = f"{address('uncertain')}?causa=errore"
        sender.get(route, query={"tutti": "1", "causa": "errore"})
        assert back in [link.attributes["href"] for link in sender.main.all("a", class_="btn-quiet")]
        form = chosen(sender)
        sender.post(route, data=form, expect=422)
        assert back in [link.attributes["href"] for link in sender.main.all("a", class_="btn-quiet")]
        for _ in range(2):  # The second time there is nothing left to settle.
            assert sender.post(route, data={**form, **YES})["Location"] == back
        assert sender.post(route, data={**YES, "filtro": "causa=errore&next=//evil"})["Location"] == back

    def test_sending_again_says_how_many_would_not_leave_now(
        self, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        factories.grant(person, Role.SENDER, all_organizations=True, all_services=True)
        off = factories.service_instance()
        rows = [*doubts(cast.instance, 2), doubt(elsewhere), *doubts(off, 3)]
        visitor = Visitor(person)
        query = {"messaggio": [row.pk for row in rows]}
        visitor.get("many_resend", query=query)
        assert "partirann" not in visitor.main.text
        suspended(cast.instance.io_service).save()
        close(elsewhere)
        ServiceInstance.objects.filter(pk=off.pk).update(enabled=False)
        visitor.get("many_resend", query=query)
        assert "2 sono di un servizio IO sospeso: partiranno dopo che" in visitor.main.text
        assert "1 è di un ente ora fuori dal suo orario di invio: partirà quando riapre." in visitor.main.text
        assert "3 hanno il collegamento a IO disabilitato: partiranno dopo che" in visitor.main.text
        visitor.get("many_arrived", query=query)
        assert "sospeso" not in visitor.main.text

    @pytest.mark.parametrize("route", ROUTES)
    def test_with_none_that_is_theirs_goes_back(self, elsewhere: ServiceInstance, both: Visitor, route: str) -> None:
        both.follow(both.get(route, query={"messaggio": doubt(elsewhere).pk}, expect=302))
        assert "non abbiamo fatto nulla" in told(both)

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("role", ["viewer", "editor", "approver", "configurator", "administrator"])
    def test_needs_the_sending_role(self, cast: factories.Cast, route: str, role: str) -> None:
        row = doubt(cast.instance)
        visitor = Visitor(getattr(cast, role))
        visitor.get(route, query={"messaggio": row.pk}, expect=403)
        visitor.post(route, data={**YES, "scelti": packed([row.pk])}, expect=403)
        assert not row.events.exists()

    @pytest.mark.parametrize("route", ROUTES)
    def test_needs_signing_in(self, cast: factories.Cast, route: str) -> None:
        row = doubt(cast.instance)
        response = Visitor().post(route, data={**YES, "scelti": packed([row.pk])}, expect=302)
        assert response["Location"].startswith(address("login"))
        assert not row.events.exists()


class TestAnswer:
    def test_many_arrived_at_once(self, cast: factories.Cast, sender: Visitor) -> None:
        rows = doubts(cast.instance, 3)
        sender.get("many_arrived", query={"tutti": "1"})
        sender.follow(sender.post("many_arrived", data={**chosen(sender), **YES}))
        assert "3 messaggi segnati come arrivati." in told(sender)
        for row in rows:
            row.refresh_from_db()
            assert (row.is_taken_as_arrived, row.expedition_date) == (True, row.marked_at)
            event = row.events.get()
            assert (event.kind, event.actor, event.data["reason"]) == (
                EventKind.SETTLED_ARRIVED,
                cast.sender,
                YES["motivo"],
            )

    def test_many_sent_again_at_once(self, cast: factories.Cast, sender: Visitor) -> None:
        rows = doubts(cast.instance, 3)
        sender.get("many_resend", query={"messaggio": [row.pk for row in rows]})
        sender.follow(sender.post("many_resend", data={**chosen(sender), **YES}))
        assert "3 messaggi rimessi in coda, dopo i messaggi singoli e quelli pianificati." in told(sender)
        for row in rows:
            row.refresh_from_db()
            assert (row.delivery_state, row.priority) == (Delivery.SCHEDULED, Priority.BULK)
            assert row.events.get().data["reason"] == YES["motivo"]

    @pytest.mark.parametrize("route", ROUTES)
    def test_tells_what_had_become_of_the_others(self, cast: factories.Cast, sender: Visitor, route: str) -> None:
        rows = doubts(cast.instance, 7)
        sender.get(route, query={"tutti": "1"})
        form = chosen(sender)
        meanwhile: list[dict[str, Any]] = [
            {"delivery_state": Delivery.SENT},
            {"delivery_state": Delivery.PROCESSED},
            {"delivery_state": Delivery.SENT, "is_taken_as_arrived": True},
            {"delivery_state": Delivery.SCHEDULED},
            {"delivery_state": Delivery.EXPIRED},
        ]
        for row, changes in zip(rows[:5], meanwhile, strict=True):
            Message.objects.filter(pk=row.pk).update(**changes)
        sender.follow(sender.post(route, data={**form, **YES}))
        said = told(sender)
        assert (
            "2 messaggi segnati come arrivati." if route == "many_arrived" else "2 messaggi rimessi in coda"
        ) in said
        for words in (
            "2 nel frattempo avevano già una risposta di IO.",
            "1 nel frattempo era già stato segnato come arrivato.",
            "1 nel frattempo era già tornato in coda.",
            "1 nel frattempo era già stato chiuso.",
        ):
            assert words in said
        assert sum(row.events.count() for row in rows) == 2

    @pytest.mark.parametrize("route", ROUTES)
    def test_a_doubt_that_came_after_the_question_is_not_settled(
        self, cast: factories.Cast, sender: Visitor, route: str
    ) -> None:
        doubts(cast.instance, 2)
        sender.get(route, query={"tutti": "1"})
        late = doubt(cast.instance)
        sender.post(route, data={**chosen(sender), **YES})
        late.refresh_from_db()
        assert late.delivery_state == Delivery.UNCERTAIN

    @pytest.mark.parametrize("route", ROUTES)
    def test_forged_ids_settle_nothing_of_others(
        self, cast: factories.Cast, elsewhere: ServiceInstance, sender: Visitor, both: Visitor, route: str
    ) -> None:
        mine, theirs = doubts(cast.instance, 2), doubt(elsewhere)
        ids = [*(row.pk for row in mine), theirs.pk]
        for visitor in (sender, both):
            visitor.follow(visitor.post(route, data={**YES, "scelti": packed(ids)}))
            assert "1 non è fra quelli che puoi decidere." in told(visitor)
            theirs.refresh_from_db()
            assert theirs.delivery_state == Delivery.UNCERTAIN
            assert not theirs.events.exists()

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("scelti", ["", "x", "!!!", packed([10**30]), packed([10**15])])
    def test_what_is_no_choice_settles_nothing(
        self, cast: factories.Cast, sender: Visitor, route: str, scelti: str
    ) -> None:
        row = doubt(cast.instance)
        sender.follow(sender.post(route, data={**YES, "scelti": scelti}))
        assert "non abbiamo fatto nulla" in told(sender) or "non è fra quelli" in told(sender)
        assert not row.events.exists()

    @pytest.mark.parametrize(
        ("route", "data"),
        [
            ("many_arrived", {}),
            ("many_arrived", {"motivo": "  "}),
            ("many_arrived", {"motivo": "x" * 501}),
            ("many_resend", {"motivo": "Non risulta"}),
            ("many_resend", {"consapevole": "on"}),
        ],
    )
    def test_without_a_reason_or_the_tick_nothing_happens_and_the_choice_stays(
        self, cast: factories.Cast, sender: Visitor, route: str, data: dict[str, str]
    ) -> None:
        doubts(cast.instance, 2)
        sender.get(route, query={"tutti": "1"})
        form = chosen(sender)
        sender.post(route, data={**form, **data}, expect=422)
        assert sender.errors
        assert sender.title.startswith("Errore:")
        assert chosen(sender)["scelti"] == form["scelti"]
        assert Message.objects.uncertain().count() == 2

    @pytest.mark.parametrize("route", ROUTES)
    def test_when_its_time_is_over_it_asks_about_the_rest(
        self, cast: factories.Cast, sender: Visitor, route: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(views, "SETTLING_SECONDS", -1.0)
        monkeypatch.setattr(settling, "GROUP", 2)
        doubts(cast.instance, 5)
        sender.get(route, query={"tutti": "1"})
        for left in (3, 1):
            sender.post(route, data={**chosen(sender), **YES}, expect=200)
            assert f"Ne restano {left}: conferma di nuovo per continuare." in told(sender)
            assert Message.objects.uncertain().count() == left
            assert not sender.errors
            assert YES["motivo"] in sender.main.one("textarea").text
        sender.follow(sender.post(route, data={**chosen(sender), **YES}))
        assert Message.objects.uncertain().count() == 0

    @pytest.mark.parametrize("route", ROUTES)
    def test_no_address_on_the_way_tells_a_fiscal_code(self, cast: factories.Cast, sender: Visitor, route: str) -> None:
        rows = doubts(cast.instance, 2)
        sender.get(route, query={"tutti": "1"})
        assert rows[0].taxcode not in sender.main.text
        for element in sender.page.inside:
            assert rows[0].taxcode not in "".join(element.attributes.values())


class TestHistory:
    def test_says_who_settled_it_why_and_when_the_request_had_left(self, cast: factories.Cast, sender: Visitor) -> None:
        row = doubt(cast.instance, marked_at=datetime(2026, 7, 7, 7, 0, 3, tzinfo=UTC))
        sender.post("resend", row.pk, data={"motivo": "Non risulta su IO", "consapevole": "on"})
        sender.get("message", row.pk)
        (line,) = sender.main.one("ol", class_="timeline").all("li")
        assert "Una persona ha chiesto di inviarlo di nuovo" in line.text
        assert cast.sender.full_name in line.text
        assert "“Non risulta su IO”" in line.text
        assert "La richiesta era partita: 7 luglio 2026, 9:00:03 (CEST)" in line.text
        assert not line.all("details")


class TestSilent:
    def stuck(self, cast: factories.Cast) -> Message:
        return factories.message_in(Delivery.ACCEPTED, instance=cast.instance, next_poll_at=None)

    def test_those_of_which_io_gives_no_more_news_have_a_tab(self, cast: factories.Cast, sender: Visitor) -> None:
        row = self.stuck(cast)
        for state in Delivery:
            factories.message_in(state, instance=cast.instance, next_poll_at=None if state not in FOLLOWED else SOON)
        factories.message_in(Delivery.SENT, instance=cast.instance, is_taken_as_arrived=True, appio_message_id="")
        sender.get("messages")
        (tab,) = [link for link in sender.main.one("ul", class_="tabs").all("a") if "Fermi su IO" in link.text]
        assert tab.text == "Fermi su IO 1"
        sender.open(tab.attributes["href"])
        assert [link.attributes["href"] for link in sender.main.all("a", class_="title")] == [
            address("message", row.pk)
        ]
        assert "IO li ha presi in carico e non ne dà più notizie" in sender.main.text
        assert [link.text for link in sender.main.one("ul", class_="tabs").all("a", aria_current="true")] == [
            "Fermi su IO 1"
        ]

    def test_without_any_there_is_no_tab(self, sender: Visitor) -> None:
        sender.get("messages")
        assert "Fermi su IO" not in sender.main.text

    def test_those_of_another_ente_are_not_counted(self, cast: factories.Cast) -> None:
        self.stuck(cast)
        stranger = Visitor(cast.stranger)
        stranger.get("messages")
        assert "Fermi su IO" not in stranger.main.text


FOLLOWED = {Delivery.SENT, Delivery.ACCEPTED, Delivery.THROTTLED}
SOON = datetime(2099, 1, 1, tzinfo=UTC)


class TestRule:
    def test_is_reached_from_the_io_service(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.configurator)
        visitor.get("io_service", cast.instance.io_service_id)
        assert address("doubt_rule", cast.instance.pk) in [
            link.attributes.get("href") for link in visitor.main.all("a")
        ]

    def test_switching_it_on_says_what_it_means_and_asks(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.configurator)
        visitor.get("doubt_rule", cast.instance.pk)
        assert "Il cittadino può riceverlo due volte." in visitor.main.text
        assert "con un avviso di pagamento" in visitor.main.text
        form = visitor.typed_in(visitor.main.one("form"))
        visitor.post("doubt_rule", cast.instance.pk, data=form, expect=422)
        assert visitor.errors
        cast.instance.refresh_from_db()
        assert cast.instance.on_doubt == OnDoubt.ASK

        visitor.follow(visitor.post("doubt_rule", cast.instance.pk, data={**form, "consapevole": "on"}))
        cast.instance.refresh_from_db()
        assert cast.instance.on_doubt == OnDoubt.RESEND
        assert "Esito incerto: reinvia da solo una volta, dopo 10 minuti" in visitor.main.text
        assert cast.configurator.full_name in visitor.main.text

    def test_switching_it_off_needs_no_warning_and_is_kept_too(self, cast: factories.Cast) -> None:
        ServiceInstance.objects.filter(pk=cast.instance.pk).update(on_doubt=OnDoubt.RESEND)
        visitor = Visitor(cast.configurator)
        visitor.get("doubt_rule", cast.instance.pk)
        form = visitor.typed_in(visitor.main.one("form"))
        visitor.follow(visitor.post("doubt_rule", cast.instance.pk, data=form))
        cast.instance.refresh_from_db()
        assert cast.instance.on_doubt == OnDoubt.ASK
        assert "Esito incerto: decide una persona" in visitor.main.text

    def test_a_page_that_somebody_overtook_switches_nothing_back(self, cast: factories.Cast) -> None:
        ServiceInstance.objects.filter(pk=cast.instance.pk).update(on_doubt=OnDoubt.RESEND)
        visitor = Visitor(cast.configurator)
        form = {"regola": "resend", "consapevole": "on"}
        visitor.follow(visitor.post("doubt_rule", cast.instance.pk, data=form))
        assert "Nel frattempo la regola è cambiata" in told(visitor)
        cast.instance.refresh_from_db()
        assert cast.instance.on_doubt == OnDoubt.RESEND

    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver", "administrator"])
    def test_needs_the_configuring_role(self, cast: factories.Cast, role: str) -> None:
        visitor = Visitor(getattr(cast, role))
        form = {"regola": "resend", "consapevole": "on"}
        visitor.get("doubt_rule", cast.instance.pk, expect=403)
        visitor.post("doubt_rule", cast.instance.pk, data=form, expect=403)
        cast.instance.refresh_from_db()
        assert cast.instance.on_doubt == OnDoubt.ASK

    def test_that_of_another_ente_does_not_exist(self, cast: factories.Cast) -> None:
        visitor = Visitor(cast.stranger)
        visitor.get("doubt_rule", cast.instance.pk, expect=404)
        visitor.post("doubt_rule", cast.instance.pk, data={"regola": "resend", "consapevole": "on"}, expect=404)

    def test_the_back_office_shows_it_and_does_not_change_it(self, cast: factories.Cast) -> None:
        visitor = Visitor(factories.user(is_staff=True, is_superuser=True))
        page = visitor.client.get(f"/admin/messaging/serviceinstance/{cast.instance.pk}/change/").content.decode()
        assert "Decide una persona" in page
        assert 'name="on_doubt"' not in page
