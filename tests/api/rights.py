"""Rights on one place, as tests give them."""

from messaging.models import ServiceInstance
from registry.models import Grant, Role, User
from tests import factories


def give(to: User, role: Role, on: ServiceInstance) -> Grant:
    """This role on the ente and the service of this service instance, and on nothing else."""
    return factories.grant(to, role, organizations=(on.organization,), services=(on.service,))
