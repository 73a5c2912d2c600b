"""Two who configure the same thing in the same instant: one wins, the other is told, and nothing breaks."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection, transaction

from messaging.models import IOService, ServiceInstance, SuspensionReason
from messaging.suspending import suspend
from sealed.boxes import Sealed
from tests import factories
from tests.api.configuring import NEW, PRIMARY, SECONDARY, Program, asked_for, keys_of, replacing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def instance(transactional_db: None) -> ServiceInstance:
    ente = factories.organization(io_account=factories.io_account())
    return factories.service_instance(
        organization=ente,
        io_service=factories.io_service(
            of=ente, io_account=ente.io_account, key=PRIMARY, secondary_key=Sealed.close(SECONDARY)
        ),
    )


@pytest.fixture
def program(cast: factories.Cast) -> Program:
    return Program.of(cast.configurator)


def volley(program: Program, calls: Sequence[tuple[str, str, Any]]) -> list[Any]:
    """Real threads with connections of their own, let go at the same instant."""
    gate = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def shoot(index: int) -> None:
        try:
            gate.wait(10)
            answers[index] = Program(program.key).ask(*calls[index])
        finally:
            connection.close()

    threads = [threading.Thread(target=shoot, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def while_uncommitted(change: Callable[[], object], program: Program, call: tuple[str, str, Any]) -> Any:
    """The answer to a call that arrives while the change is made and not committed yet: it waits, then sees it."""
    answers: list[Any] = []

    def shoot() -> None:
        try:
            answers.append(Program(program.key).ask(*call))
        finally:
            connection.close()

    thread = threading.Thread(target=shoot)
    with transaction.atomic():
        change()
        thread.start()
        until = time.monotonic() + 20
        while not _somebody_waits():
            assert time.monotonic() < until
            time.sleep(0.01)
    thread.join(60)
    return answers[0]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        # Within a transaction the view is read once and remembered.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def codes(answer: Any) -> list[str]:
    return [error["code"] for error in answer.json()["errors"]]


class TestPosting:
    def test_the_same_instance_makes_one(self, instance: ServiceInstance, program: Program) -> None:
        body = asked_for(instance)
        answers = volley(program, [("POST", "service-instances", body)] * 5)
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4
        assert {code for answer in answers if answer.status_code == 409 for code in codes(answer)} == {
            "service_instance_exists"
        }
        assert ServiceInstance.objects.filter(template=body["template_id"]).count() == 1
        assert IOService.objects.filter(io_service_id=body["io_service_id"]).count() == 1

    def test_the_same_io_service_with_the_same_key_makes_one_that_both_use(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        answers = volley(program, [("POST", "service-instances", asked_for(instance)) for _ in range(4)])
        assert [answer.status_code for answer in answers] == [201] * 4
        made = IOService.objects.get(io_service_id="01NEWSERVICE")
        assert made.service_instances.count() == 4

    def test_the_same_io_service_with_different_keys_keeps_one_key(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        calls = [("POST", "service-instances", asked_for(instance, apiKey=f"key-{number}")) for number in range(4)]
        answers = volley(program, calls)
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        assert {code for answer in answers if answer.status_code == 409 for code in codes(answer)} == {
            "api_key_differs"
        }
        assert IOService.objects.filter(io_service_id="01NEWSERVICE").count() == 1

    @pytest.mark.postgresql
    @pytest.mark.parametrize(("key", "status"), [(NEW, 201), ("another", 409)])
    def test_one_that_somebody_is_just_making(
        self, instance: ServiceInstance, program: Program, key: str, status: int
    ) -> None:
        def make() -> None:
            factories.io_service(
                of=instance.organization,
                io_account=instance.organization.io_account,
                io_service_id="01NEWSERVICE",
                key=key,
            )

        answer = while_uncommitted(make, program, ("POST", "service-instances", asked_for(instance)))
        assert answer.status_code == status, answer.content.decode()

    @pytest.mark.postgresql
    def test_one_that_another_ente_is_just_making(self, instance: ServiceInstance, program: Program) -> None:
        def make() -> None:
            factories.io_service(io_account=instance.organization.io_account, io_service_id="01NEWSERVICE", key=NEW)

        answer = while_uncommitted(make, program, ("POST", "service-instances", asked_for(instance)))
        assert (answer.status_code, codes(answer)) == (409, ["io_service_taken"])

    @pytest.mark.postgresql
    def test_an_instance_that_somebody_is_just_making(self, instance: ServiceInstance, program: Program) -> None:
        body = asked_for(instance)

        def make() -> None:
            ServiceInstance.objects.create(
                organization=instance.organization,
                service=instance.service,
                template_id=body["template_id"],
                io_service=instance.io_service,
            )

        answer = while_uncommitted(make, program, ("POST", "service-instances", body))
        assert (answer.status_code, codes(answer)) == (409, ["service_instance_exists"])
        assert not IOService.objects.filter(io_service_id="01NEWSERVICE").exists()


class TestPatching:
    def test_keys_one_after_the_other(self, instance: ServiceInstance, program: Program) -> None:
        path = f"service-instances/{instance.pk}"
        answers = volley(program, [("PATCH", path, [replacing("apiKey", f"key-{number}")]) for number in range(4)])
        assert [answer.status_code for answer in answers] == [200] * 4
        active, *stored = keys_of(instance.io_service)
        # Each took the place of the one not in use, so the last two are there.
        assert all(key.startswith("key-") for key in stored)
        assert active in ("primary", "secondary")

    def test_different_members_lose_nothing(self, instance: ServiceInstance, program: Program) -> None:
        path = f"service-instances/{instance.pk}"
        calls = [
            ("PATCH", path, [replacing("enabled", False)]),
            ("PATCH", path, [replacing("io_service_id", "01CORRECTED")]),
        ]
        assert [answer.status_code for answer in volley(program, calls)] == [200, 200]
        found = ServiceInstance.objects.select_related("io_service").get(pk=instance.pk)
        assert (found.enabled, found.io_service.io_service_id) == (False, "01CORRECTED")

    @pytest.mark.postgresql
    def test_one_whose_io_service_is_just_changing(self, instance: ServiceInstance, program: Program) -> None:
        there = factories.io_service(of=instance.organization, io_account=instance.organization.io_account)

        def move() -> None:
            ServiceInstance.objects.filter(pk=instance.pk).update(io_service=there)

        call = ("PATCH", f"service-instances/{instance.pk}", [replacing("enabled", False)])
        answer = while_uncommitted(move, program, call)
        assert (answer.status_code, answer.json()["io_service_id"]) == (200, there.io_service_id)

    def test_towards_the_same_new_io_service_makes_one(self, instance: ServiceInstance, program: Program) -> None:
        other = factories.service_instance(
            organization=instance.organization, service=instance.service, io_service=instance.io_service
        )
        calls = [
            ("PATCH", f"service-instances/{one.pk}", [replacing("io_service_id", "01CORRECTED")])
            for one in (instance, other)
        ]
        assert [answer.status_code for answer in volley(program, calls)] == [200, 200]
        assert IOService.objects.get(io_service_id="01CORRECTED").service_instances.count() == 2


def test_of_two_who_resume_one_is_told_that_it_was_done(instance: ServiceInstance, program: Program) -> None:
    suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="", at=factories.NOW)
    answers = volley(program, [("POST", f"io-services/{instance.io_service_id}/resume", None)] * 3)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
