"""An ente with its cast, another one, and visitors of the portal.

Models are imported inside the fixtures: pytest may read this file before Django is set up.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from messaging.models import ServiceInstance
    from registry.models import User
    from tests import factories
    from tests.portal.visitor import Visitor


@pytest.fixture
def instance(db: None) -> "ServiceInstance":
    """The template of the foundation's example: one placeholder, a payment, a due date."""
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
def visit(db: None) -> "Callable[[User | None], Visitor]":
    """`visit(person)` is that person at a browser; `visit(None)` is nobody in particular."""
    from tests.portal.visitor import Visitor

    return Visitor


@pytest.fixture
def sender(cast: "factories.Cast", visit: "Callable[[User | None], Visitor]") -> "Visitor":
    return visit(cast.sender)
