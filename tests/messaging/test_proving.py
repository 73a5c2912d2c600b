"""A key is proved with one question that changes no message; keys are changed without a stop."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry

from messaging import auditing, proving
from messaging.dispatching import dispatch
from messaging.marking import mark
from messaging.models import ActiveKey, IOService, Message, ServiceInstance, SuspensionReason
from messaging.moving import StateConflict
from messaging.pacing import pacer
from messaging.proving import Proof, Verdict, prove_key, prove_new_key
from messaging.rekeying import (
    KeyUnusable,
    is_same_as_other,
    is_well_formed,
    needs_a_second_yes,
    store_key,
    switch_key,
)
from messaging.states import Delivery
from messaging.suspending import digest_of_key, suspend
from registry.models import Lane, User
from sealed.boxes import Sealed
from tests import factories
from tests.messaging.lifecycle import at_once, fresh, seconds_from_now, service_of, with_a_token_in_hand
from tests.support.io_stand_in import Canned, Request, StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FICTITIOUS = "AAAAAA00A00A000A"
BROKEN = Sealed("deadbeef:not-a-token")
KEY_HEADER = "ocp-apim-subscription-key"


@pytest.fixture
def service() -> IOService:
    """Both slots filled, the primary in use."""
    return factories.io_service(key="the-primary", secondary_key=Sealed.close("the-secondary"))


@pytest.fixture
def instance(service: IOService) -> ServiceInstance:
    return factories.service_instance(organization=service.organization, io_service=service)


@pytest.fixture
def person() -> User:
    return factories.user()


def lane_of(service: IOService) -> Lane:
    return Lane.objects.get(pk=service.io_account_id)


def proved(service: IOService, person: User, which: ActiveKey = ActiveKey.PRIMARY) -> Proof:
    return prove_key(IOService.objects.get(pk=service.pk), which=which, by=person)


def with_a_full_bucket(service: IOService) -> None:
    """A new bucket starts empty, and the first token may take a moment."""
    until = time.monotonic() + 10
    while not pacer().take(service.io_account_id, want=1, rate=1000.0):
        assert time.monotonic() < until
        time.sleep(0.02)


def used_keys(io: StandIn) -> list[str]:
    return [request.headers[KEY_HEADER] for request in io.requests]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("answer", "verdict", "is_good"),
        [
            (Canned(200), Verdict.VALID, True),
            (Canned(200, body={"sender_allowed": False}), Verdict.VALID, True),
            (Canned(404), Verdict.VALID, True),
            (Canned(401), Verdict.REFUSED, False),
            (Canned(403, body={"title": "You are not allowed here", "detail": "IP"}), Verdict.NOT_ALLOWED, False),
            (Canned(403, body={"title": "Production call forbidden"}), Verdict.NOT_ALLOWED, False),
            (Canned(403, body={"title": "Recipient forbidden"}), Verdict.ON_TRIAL, True),
            (Canned(403, body={"title": "Something new"}), Verdict.UNCLEAR, False),
            (Canned(400), Verdict.UNCLEAR, False),
            (Canned(500), Verdict.UNREACHABLE, False),
            (Canned(fault="reset_before"), Verdict.UNREACHABLE, False),
            (Canned(404, body={"statusCode": 404, "message": "Resource not found"}), Verdict.UNREACHABLE, False),
            (Canned(429, headers={"Retry-After": "30"}), Verdict.THROTTLED, False),
        ],
    )
    def test_every_answer_of_io_has_its_own(
        self, service: IOService, person: User, io: StandIn, answer: Canned, verdict: Verdict, is_good: bool
    ) -> None:
        io.answer("profile", answer)
        proof = proved(service, person)
        assert (proof.verdict, proof.is_good) == (verdict, is_good)
        assert io.count("profile", fiscal_code=FICTITIOUS) == 1

    def test_with_no_key_there_is_nothing_to_ask(self, person: User, io: StandIn) -> None:
        proof = proved(factories.io_service(key=""), person)
        assert (proof.verdict, proof.is_usable) == (Verdict.NO_KEY, False)
        assert io.requests == []

    def test_a_key_that_no_sealing_key_opens_is_said_to_be_that(self, person: User, io: StandIn) -> None:
        proof = proved(factories.io_service(primary_key=BROKEN), person)
        assert (proof.verdict, proof.is_usable) == (Verdict.UNREADABLE, False)
        assert io.requests == []

    def test_io_away_altogether(self, service: IOService, person: User, io: StandIn) -> None:
        io.stop()
        assert proved(service, person).verdict is Verdict.UNREACHABLE

    def test_a_refusal_carries_io_s_words(self, service: IOService, person: User, io: StandIn) -> None:
        io.answer("profile", Canned(403, body={"title": "You are not allowed here", "detail": "10.0.0.1"}))
        assert proved(service, person).said == "You are not allowed here: 10.0.0.1"

    def test_every_verdict_has_words(self) -> None:
        assert all(str(verdict.words) for verdict in Verdict)

    def test_a_citizen_of_trial_that_is_none_is_told_and_teaches_nothing(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        IOService.objects.update(test_taxcode="NOBODY")
        assert proved(service, person).verdict is Verdict.NO_CITIZEN
        assert io.requests == []

    def test_without_a_citizen_of_its_own_io_s_is_asked_about(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        IOService.objects.update(test_taxcode="")
        assert proved(service, person).verdict is Verdict.VALID
        assert io.count("profile", fiscal_code=FICTITIOUS) == 1

    def test_the_ente_s_own_citizen_of_trial_is_asked_about(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        IOService.objects.update(test_taxcode="RSSMRA80A01H501U")
        proved(service, person)
        assert io.count("profile", fiscal_code="RSSMRA80A01H501U") == 1


class TestAsking:
    def test_uses_the_key_of_the_slot_and_not_the_one_in_use(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        proved(service, person, ActiveKey.SECONDARY)
        assert used_keys(io) == ["the-secondary"]

    def test_a_new_key_is_asked_with_before_it_is_stored(self, service: IOService, person: User, io: StandIn) -> None:
        prove_new_key(service, "brand-new", which=ActiveKey.SECONDARY, by=person)
        assert used_keys(io) == ["brand-new"]
        assert IOService.objects.get(pk=service.pk).secondary_key.open() == "the-secondary"

    @pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500])
    def test_changes_no_message_and_suspends_and_resumes_nothing(
        self, service: IOService, instance: ServiceInstance, person: User, io: StandIn, status: int
    ) -> None:
        row = factories.message(instance=instance)
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        other = factories.io_service(io_account=service.io_account)
        before = list(Message.objects.values()), list(IOService.objects.order_by("pk").values())
        io.answer("profile", Canned(status))
        for one in (service, other):
            proved(one, person)
        assert (list(Message.objects.values()), list(IOService.objects.order_by("pk").values())) == before
        assert not row.events.exists()

    def test_takes_a_token_and_says_so_when_none_comes(
        self, service: IOService, person: User, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Dry:
            def take(self, io_account: int, *, want: int, rate: float, polls_wait: bool = False) -> int:
                asked.append((io_account, want))
                return 0

        asked: list[tuple[int, int]] = []
        monkeypatch.setattr(proving, "pacer", Dry)
        monkeypatch.setattr(proving, "TOKEN_WITHIN_SECONDS", 0.1)
        assert proved(service, person).verdict is Verdict.NO_TOKEN
        assert set(asked) == {(service.io_account_id, 1)}
        assert io.requests == []

    def test_while_the_account_is_paused_nobody_calls(self, service: IOService, person: User, io: StandIn) -> None:
        until = datetime.now(UTC) + timedelta(minutes=10)
        Lane.objects.filter(pk=service.io_account_id).update(paused_until=until)
        proof = proved(service, person)
        assert (proof.verdict, proof.until) == (Verdict.THROTTLED, until)
        assert io.requests == []

    def test_a_429_pauses_the_account_and_says_until_when(self, service: IOService, person: User, io: StandIn) -> None:
        io.answer("profile", Canned(429, headers={"Retry-After": "30"}))
        proof = proved(service, person)
        lane = lane_of(service)
        assert 25 < seconds_from_now(lane.paused_until) <= 30
        assert proof.until == lane.paused_until

    def test_the_log_says_who_proved_what_and_tells_neither_key_nor_person(
        self, service: IOService, person: User, io: StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        proved(service, person)
        (line,) = [record.getMessage() for record in caplog.records if record.name == "messaging.proving"]
        assert line == f"IO service {service.pk}: user {person.pk} proved the primary key: valid"
        assert "the-primary" not in caplog.text
        assert FICTITIOUS not in caplog.text


class TestBreaker:
    @pytest.mark.parametrize("probe_in", [timedelta(hours=-1), timedelta(hours=1)])
    @pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500])
    def test_an_open_one_is_left_alone_whoever_asks_on_the_account(
        self, service: IOService, person: User, io: StandIn, status: int, probe_in: timedelta
    ) -> None:
        """Another ente of the account could otherwise let messages of all out, one for each press of the button."""
        probe_at = datetime.now(UTC) + probe_in
        Lane.objects.filter(pk=service.io_account_id).update(opened_at=AT, probe_at=probe_at, probes_failed=3)
        io.answer("profile", Canned(status))
        proved(factories.io_service(key="of-another", io_account=service.io_account), person)
        lane = lane_of(service)
        assert (lane.opened_at, lane.probe_at, lane.probes_failed, lane.is_half_open) == (AT, probe_at, 3, False)
        assert io.count("profile") == 1

    @pytest.mark.parametrize("status", [200, 401])
    def test_an_answer_closes_no_half_open_one(
        self, service: IOService, person: User, io: StandIn, status: int
    ) -> None:
        Lane.objects.filter(pk=service.io_account_id).update(is_half_open=True)
        io.answer("profile", Canned(status))
        proved(service, person)
        assert lane_of(service).is_half_open

    def test_no_answer_counts_as_one_of_the_failures_that_open_it(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        io.answer("profile", Canned(500))
        for _ in range(3):
            proved(service, person)
        assert lane_of(service).opened_at is not None

    def test_what_was_refused_before_any_call_teaches_nothing(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        Lane.objects.filter(pk=service.io_account_id).update(failures_in_row=2)
        IOService.objects.update(test_taxcode="NOBODY")
        proved(service, person)
        assert lane_of(service).failures_in_row == 2

    def test_what_we_did_not_wait_for_teaches_nothing(
        self, service: IOService, person: User, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proving, "ANSWER_WITHIN_SECONDS", 0.1)
        io.answer("profile", Canned(delay=5))
        Lane.objects.filter(pk=service.io_account_id).update(failures_in_row=2)
        assert proved(service, person).verdict is Verdict.SLOW
        assert (lane_of(service).failures_in_row, lane_of(service).opened_at) == (2, None)


@pytest.mark.django_db(transaction=True)
class TestWhileIOIsSilent:
    def test_an_account_has_one_under_way_and_the_process_two(
        self, service: IOService, person: User, io: StandIn
    ) -> None:
        """Each holds a thread that serves pages: the others answer at once."""
        others = [factories.io_service(key=f"key-{number}") for number in range(2)]
        of_the_same = factories.io_service(key="another", io_account=service.io_account)
        go_on, came = threading.Event(), threading.Semaphore(0)

        def answer(request: Request) -> Canned:
            came.release()
            return Canned(200, delay=2.0)

        def once_two_wait() -> list[Verdict]:
            assert came.acquire(timeout=10)
            found = [proved(of_the_same, person).verdict]
            go_on.set()
            assert came.acquire(timeout=10)
            begun = time.monotonic()
            found.append(proved(others[1], person).verdict)
            assert time.monotonic() - begun < 1
            return found

        def second() -> Proof:
            assert go_on.wait(10)
            return proved(others[0], person)

        io.answer("profile", answer)
        for one in (service, *others):
            with_a_full_bucket(one)
        first, other, refused = at_once(lambda: proved(service, person), second, once_two_wait)
        assert (first.verdict, other.verdict) == (Verdict.VALID, Verdict.VALID)
        assert refused == [Verdict.BUSY, Verdict.BUSY]
        assert proved(of_the_same, person).verdict is Verdict.VALID

    def test_one_is_given_up_after_seconds_and_makes_room(
        self, service: IOService, person: User, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proving, "ANSWER_WITHIN_SECONDS", 0.2)
        io.answer("profile", Canned(delay=30), times=1)
        with_a_full_bucket(service)
        begun = time.monotonic()
        assert proved(service, person).verdict is Verdict.SLOW
        assert time.monotonic() - begun < 3
        assert proved(service, person).verdict is Verdict.VALID


class TestHistory:
    @pytest.mark.parametrize(
        ("status", "words"),
        [(200, "IO la accetta"), (401, "IO non la accetta"), (500, "non sappiamo se IO la accetta")],
    )
    def test_a_proof_leaves_a_line(
        self, service: IOService, person: User, io: StandIn, status: int, words: str
    ) -> None:
        io.answer("profile", Canned(status))
        proved(service, person, ActiveKey.SECONDARY)
        prove_new_key(service, "brand-new", which=ActiveKey.PRIMARY, by=person)
        lines = auditing.history_of(service, limit=5)
        assert [line.user for line in lines] == [person, person]
        assert [auditing.deeds_of(line) for line in lines] == [
            ["Provata una nuova chiave primaria", words],
            ["Provata la chiave secondaria", words],
        ]
        assert {deed for line in lines for deed in auditing.deeds_of(line)} <= auditing.DEEDS

    def test_one_that_asked_nobody_leaves_none(self, person: User, io: StandIn) -> None:
        proved(factories.io_service(key=""), person)
        service = factories.io_service(key="a-key")
        Lane.objects.filter(pk=service.io_account_id).update(paused_until=datetime.now(UTC) + timedelta(hours=1))
        proved(service, person)
        assert not LogEntry.objects.exists()


class TestRekeyed:
    """Whether a suspended service has another key in use than the one it was suspended with."""

    @pytest.fixture
    def suspended(self, service: IOService) -> IOService:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=datetime.now(UTC))
        return IOService.objects.get(pk=service.pk)

    def told(self, service: IOService) -> bool:
        return service.pk in auditing.rekeyed_since_suspended([IOService.objects.get(pk=service.pk)])

    def test_after_passing_to_the_other_and_no_more_after_coming_back(self, suspended: IOService, person: User) -> None:
        assert not self.told(suspended)
        switch_key(suspended, to=ActiveKey.SECONDARY, by=person)
        assert self.told(suspended)
        switch_key(suspended, to=ActiveKey.PRIMARY, by=person)
        assert not self.told(suspended)

    @pytest.mark.parametrize("which", list(ActiveKey))
    def test_after_a_new_key_in_use_and_not_in_the_idle_slot(
        self, suspended: IOService, person: User, which: ActiveKey
    ) -> None:
        store_key(suspended, which=which, key="brand-new", seen_active=ActiveKey.PRIMARY, by=person)
        assert self.told(suspended) == (which is ActiveKey.PRIMARY)

    def test_what_was_done_before_does_not_count(self, service: IOService, person: User) -> None:
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        later = datetime.now(UTC) + timedelta(seconds=1)
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=later)
        assert not self.told(service)
        assert auditing.rekeyed_since_suspended([]) == frozenset()


class TestSwitch:
    def test_the_other_key_is_in_use_and_the_history_says_who(self, service: IOService, person: User) -> None:
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        assert IOService.objects.get(pk=service.pk).key.open() == "the-secondary"
        switch_key(service, to=ActiveKey.PRIMARY, by=person)
        lines = auditing.history_of(service, limit=5)
        assert [line.user for line in lines] == [person, person]
        assert "dalla secondaria alla primaria" in lines[0].change_message
        assert "dalla primaria alla secondaria" in lines[1].change_message

    def test_to_the_one_in_use_is_a_conflict_and_writes_nothing(self, service: IOService, person: User) -> None:
        with pytest.raises(StateConflict):
            switch_key(service, to=ActiveKey.PRIMARY, by=person)
        assert not LogEntry.objects.exists()

    def test_two_persons_at_once_switch_once(self, service: IOService, person: User) -> None:
        seen_by_both = IOService.objects.get(pk=service.pk), IOService.objects.get(pk=service.pk)
        switch_key(seen_by_both[0], to=ActiveKey.SECONDARY, by=person)
        with pytest.raises(StateConflict):
            switch_key(seen_by_both[1], to=ActiveKey.SECONDARY, by=person)
        assert LogEntry.objects.count() == 1

    @pytest.mark.parametrize("stored", [Sealed(), BROKEN])
    def test_never_to_a_slot_without_a_usable_key(self, person: User, stored: Sealed) -> None:
        service = factories.io_service(secondary_key=stored)
        with pytest.raises(KeyUnusable):
            switch_key(service, to=ActiveKey.SECONDARY, by=person)
        assert IOService.objects.get(pk=service.pk).active_key == ActiveKey.PRIMARY

    def test_does_not_resume_a_suspended_service(self, service: IOService, person: User) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        assert IOService.objects.get(pk=service.pk).suspended_at is not None

    def test_the_next_mark_uses_it(self, service: IOService, instance: ServiceInstance, person: User) -> None:
        rows = [factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance) for _ in range(2)]

        def marked(row: Message) -> list[str]:
            return [departure.key for departure in mark([row.pk], stayed=lambda ids, attempt, outcome: None)]

        assert marked(rows[0]) == ["the-primary"]
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        assert marked(rows[1]) == ["the-secondary"]


class TestTheOldKey:
    def test_its_late_refusal_does_not_suspend(self, service: IOService, person: User) -> None:
        old = digest_of_key("the-primary")
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        assert not suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT, only_with_key=old)
        assert IOService.objects.get(pk=service.pk).suspended_at is None

    def test_neither_when_it_was_replaced_in_its_slot(self, service: IOService, person: User) -> None:
        store_key(service, which=ActiveKey.PRIMARY, key="brand-new", seen_active=ActiveKey.PRIMARY, by=person)
        old = digest_of_key("the-primary")
        assert not suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT, only_with_key=old)

    def test_nor_when_it_goes_in_the_very_moment_of_looking(
        self, service: IOService, person: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from messaging import suspending

        def switched_meanwhile(found: IOService, digest: str) -> bool:
            switch_key(service, to=ActiveKey.SECONDARY, by=person)
            return True

        monkeypatch.setattr(suspending, "_is_in_use", switched_meanwhile)
        assert not suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT, only_with_key="any")
        assert IOService.objects.get(pk=service.pk).suspended_at is None

    def test_the_key_in_use_still_suspends(self, service: IOService) -> None:
        current = digest_of_key("the-primary")
        assert suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT, only_with_key=current)


@pytest.mark.django_db(transaction=True)
class TestWithoutAStop:
    def test_what_is_under_way_ends_with_the_old_key_and_the_next_leaves_with_the_new(
        self, service: IOService, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        """The old key is refused only after the switch: the service goes on, and the message leaves by the new one."""
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        arrived, switched = threading.Event(), threading.Event()

        def answer(request: Request) -> Canned:
            if request.headers[KEY_HEADER] == "the-primary":
                arrived.set()
                return Canned(401, delay=1.0)
            return Canned(201)

        def switch() -> None:
            assert arrived.wait(10)
            switch_key(IOService.objects.get(pk=service.pk), to=ActiveKey.SECONDARY, by=person)
            switched.set()

        io.answer("send", answer)
        with_a_token_in_hand(row)
        outcomes = at_once(dispatch, switch)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert switched.is_set()
        assert service_of(row).suspended_at is None
        until = time.monotonic() + 10
        while fresh(row).delivery_state != Delivery.SENT and time.monotonic() < until:
            dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        sends = [request.headers[KEY_HEADER] for request in io.requests if request.call == "send"]
        assert sends == ["the-primary", "the-secondary"]


class TestStore:
    def test_replaces_what_was_in_the_slot_and_the_history_says_who(self, service: IOService, person: User) -> None:
        store_key(service, which=ActiveKey.SECONDARY, key="brand-new", seen_active=ActiveKey.PRIMARY, by=person)
        found = IOService.objects.get(pk=service.pk)
        assert (found.primary_key.open(), found.secondary_key.open()) == ("the-primary", "brand-new")
        (line,) = auditing.history_of(service, limit=5)
        assert "Nuova chiave secondaria" in line.change_message
        assert "brand-new" not in line.change_message

    def test_is_a_conflict_when_the_key_in_use_changed_meanwhile(self, service: IOService, person: User) -> None:
        switch_key(service, to=ActiveKey.SECONDARY, by=person)
        with pytest.raises(StateConflict):
            store_key(service, which=ActiveKey.SECONDARY, key="new", seen_active=ActiveKey.PRIMARY, by=person)
        assert IOService.objects.get(pk=service.pk).secondary_key.open() == "the-secondary"

    @pytest.mark.parametrize("text", ["", " ", "two words", "tab\tbed", "new\nline", "chiàve", "\x7f", "x" * 257])
    def test_takes_nothing_that_cannot_be_a_key(self, service: IOService, person: User, text: str) -> None:
        assert not is_well_formed(text)
        with pytest.raises(ValueError):
            store_key(service, which=ActiveKey.PRIMARY, key=text, seen_active=ActiveKey.PRIMARY, by=person)
        assert not LogEntry.objects.exists()

    def test_the_same_key_in_both_slots_is_noticed(self, service: IOService) -> None:
        assert is_same_as_other(service, ActiveKey.PRIMARY, "the-secondary")
        assert not is_same_as_other(service, ActiveKey.PRIMARY, "the-primary")

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_only_the_loss_of_a_key_in_use_for_one_not_taken_needs_a_second_yes(
        self, service: IOService, verdict: Verdict
    ) -> None:
        proof = Proof(verdict)
        assert needs_a_second_yes(service, which=ActiveKey.PRIMARY, proof=proof) == (not proof.is_good)
        assert not needs_a_second_yes(service, which=ActiveKey.SECONDARY, proof=proof)
        empty = factories.io_service(key="")
        assert not needs_a_second_yes(empty, which=ActiveKey.PRIMARY, proof=proof)


def test_a_proof_of_a_malformed_stored_key_is_a_refusal(person: User, io: StandIn) -> None:
    """Typed in the back office with a character that no header carries."""
    proof = proved(factories.io_service(key="chiàve"), person)
    assert proof.verdict is Verdict.REFUSED
    assert io.requests == []
