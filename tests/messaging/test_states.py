"""The table of delivery moves, and what each state means to people and to the API."""

import pytest
from django.utils import translation

from messaging.states import (
    API_STATUS,
    CANCELLABLE,
    EXPLANATION,
    FINAL,
    FOLLOWED,
    GROUP_OF,
    MOVES,
    SOURCES,
    STATES_FOR_API_STATUS,
    WAITING,
    Delivery,
    Group,
    Payment,
    Priority,
    Reading,
    WaitingReason,
)

# docs/states.md tells people the same.
TABLE = {
    "draft": {"pending_approval", "scheduled", "cancelled"},
    "pending_approval": {"scheduled", "draft", "cancelled"},
    "scheduled": {
        *("recipient_allowed", "profile_not_exists", "sender_not_allowed", "forbidden", "bad_request"),
        # Sent: a person asked to send it again, and the first attempt proves to have arrived before this one left.
        *("cancelled", "expired", "sent"),
    },
    "recipient_allowed": {"sending", "scheduled", "cancelled", "expired", "sent"},
    "sending": {"sent", "recipient_allowed", "scheduled", "bad_request", "forbidden", "uncertain"},
    "uncertain": {"sent", "recipient_allowed", "scheduled", "bad_request", "forbidden"},
    # Uncertain: a person took it as arrived, and its request proves not to have arrived.
    "sent": {"accepted", "throttled", "processed", "rejected", "failed", "uncertain"},
    "accepted": {"accepted", "throttled", "processed", "rejected", "failed"},
    "throttled": {"accepted", "throttled", "processed", "rejected", "failed"},
    "processed": set(),
    "rejected": set(),
    "failed": set(),
    "profile_not_exists": set(),
    "sender_not_allowed": set(),
    "forbidden": set(),
    "bad_request": set(),
    "cancelled": set(),
    "expired": set(),
}

GROUPS = {
    "draft": Group.ONGOING,
    "pending_approval": Group.ONGOING,
    "scheduled": Group.ONGOING,
    "recipient_allowed": Group.ONGOING,
    "sending": Group.ONGOING,
    "sent": Group.ONGOING,
    "accepted": Group.ONGOING,
    "throttled": Group.ONGOING,
    "processed": Group.DELIVERED,
    "profile_not_exists": Group.UNDELIVERABLE,
    "sender_not_allowed": Group.UNDELIVERABLE,
    "rejected": Group.UNDELIVERABLE,
    "bad_request": Group.TO_FIX,
    "forbidden": Group.TO_FIX,
    "failed": Group.TO_FIX,
    "uncertain": Group.TO_FIX,
    "cancelled": Group.CLOSED,
    "expired": Group.CLOSED,
}

API_NAMES = {
    "draft": "created",
    "pending_approval": "created",
    "cancelled": "discarded",
    "expired": "discarded",
    "sending": "recipient_allowed",
}


class TestMoves:
    def test_every_state_is_listed(self) -> None:
        assert set(MOVES) == set(Delivery) == {Delivery(name) for name in TABLE}

    @pytest.mark.parametrize("state", Delivery)
    def test_allows_what_the_design_allows_and_nothing_else(self, state: Delivery) -> None:
        assert MOVES[state] == {Delivery(name) for name in TABLE[state.value]}

    @pytest.mark.parametrize("state", Delivery)
    def test_sources_are_the_same_table_read_backwards(self, state: Delivery) -> None:
        assert SOURCES[state] == {Delivery(source) for source, targets in TABLE.items() if state.value in targets}

    def test_every_state_but_the_first_three_is_reached_from_another(self) -> None:
        # A message is born as one of these, which may also be reached later.
        assert {state for state in Delivery if not SOURCES[state]} == set()

    def test_a_message_in_the_hands_of_io_cannot_be_cancelled(self) -> None:
        assert {state.value for state in CANCELLABLE} == {"draft", "pending_approval", "scheduled", "recipient_allowed"}

    def test_no_move_leads_out_of_a_final_state(self) -> None:
        assert {state.value for state in FINAL} == {name for name, targets in TABLE.items() if not targets}

    def test_a_doubt_is_never_an_end(self) -> None:
        assert Delivery.UNCERTAIN not in FINAL

    def test_waiting_and_followed(self) -> None:
        assert {state.value for state in WAITING} == {"scheduled", "recipient_allowed"}
        assert {state.value for state in FOLLOWED} == {"sent", "accepted", "throttled"}


class TestWords:
    @pytest.mark.parametrize("state", Delivery)
    def test_every_state_has_its_group(self, state: Delivery) -> None:
        assert GROUP_OF[state] is GROUPS[state.value]

    @pytest.mark.parametrize("group", Group)
    def test_every_group_has_a_name(self, group: Group) -> None:
        assert str(group.label)

    @pytest.mark.parametrize("state", Delivery)
    def test_every_state_is_explained_in_a_sentence(self, state: Delivery) -> None:
        with translation.override("it"):
            assert str(state.label)
            assert str(EXPLANATION[state]).endswith(".")

    def test_labels_do_not_repeat(self) -> None:
        for states in (Delivery, Reading, Payment, WaitingReason):
            labels = [str(label) for label in states.labels]
            assert len(labels) == len(set(labels))

    def test_the_axes_of_reading_and_payment(self) -> None:
        assert set(Reading.values) == {"unknown", "unread", "read", "unavailable"}
        assert set(Payment.values) == {"unknown", "not_paid", "paid"}

    def test_interactive_goes_before_scheduled_before_bulk(self) -> None:
        assert Priority.INTERACTIVE < Priority.SCHEDULED < Priority.BULK < Priority.LAST


class TestApiNames:
    @pytest.mark.parametrize("state", Delivery)
    def test_are_those_of_govio_in_lower_case(self, state: Delivery) -> None:
        assert API_STATUS[state] == API_NAMES.get(state.value, state.value)

    @pytest.mark.parametrize("state", Delivery)
    def test_a_filter_by_the_name_shown_finds_the_state(self, state: Delivery) -> None:
        assert state in STATES_FOR_API_STATUS[API_STATUS[state]]

    @pytest.mark.parametrize("state", Delivery)
    def test_a_filter_by_our_own_name_finds_the_state(self, state: Delivery) -> None:
        assert state in STATES_FOR_API_STATUS[state.value]

    def test_one_name_may_stand_for_many_states(self) -> None:
        assert STATES_FOR_API_STATUS["created"] == {Delivery.DRAFT, Delivery.PENDING_APPROVAL}
        assert STATES_FOR_API_STATUS["discarded"] == {Delivery.CANCELLED, Delivery.EXPIRED}
        assert STATES_FOR_API_STATUS["recipient_allowed"] == {Delivery.RECIPIENT_ALLOWED, Delivery.SENDING}

    def test_denied_exists_in_govio_and_finds_nothing(self) -> None:
        assert STATES_FOR_API_STATUS["denied"] == frozenset()
