"""An integrator at the door: a service instance with our user's own template, people with fixed rights, keys.

Models are imported inside the fixtures: pytest may read this file before Django is set up.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

if TYPE_CHECKING:
    from messaging.models import ServiceInstance
    from registry.models import Consumer, User
    from tests import factories
    from tests.api.integrator import Integrator
    from tests.api.place import Place


@pytest.fixture
def instance(db: None) -> "ServiceInstance":
    from tests import factories

    return factories.service_instance()


@pytest.fixture
def elsewhere(db: None) -> "ServiceInstance":
    """A service instance of another ente and another service."""
    from tests import factories

    return factories.service_instance()


@pytest.fixture
def cast(instance: "ServiceInstance", elsewhere: "ServiceInstance") -> "factories.Cast":
    from tests import factories

    return factories.Cast.of(instance, stranger_on=elsewhere)


@pytest.fixture
def sender(instance: "ServiceInstance") -> "User":
    """Somebody who may send through the service instance, where the whole cast would be too many."""
    from registry.models import Role
    from tests import factories

    person = factories.user()
    factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    return person


@pytest.fixture
def consumer(sender: "User") -> "Consumer":
    from tests import factories

    return factories.consumer(user=sender)


@pytest.fixture
def api(consumer: "Consumer", instance: "ServiceInstance") -> "Integrator":
    """Their program, in euro."""
    from tests import factories
    from tests.api.integrator import Integrator

    return Integrator(factories.consumer_key(consumer), instance)


@pytest.fixture
def in_cents(sender: "User", instance: "ServiceInstance") -> "Integrator":
    from registry.models import AmountUnit
    from tests.api.integrator import program_of

    return program_of(sender, instance, unit=AmountUnit.CENTS)


@pytest.fixture(scope="module")
def standing_place(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> "Iterator[Place]":
    """Made once for a file that asks hundreds of questions about it. Ask for `place` instead."""
    from django.db import transaction

    from tests.api import place

    with django_db_blocker.unblock(), transaction.atomic():
        yield place.make()
        transaction.set_rollback(True)


@pytest.fixture
def place(standing_place: "Place", db: None) -> "Place":
    """The place of `tests.api.place`; what a test does to it is undone."""
    return standing_place
