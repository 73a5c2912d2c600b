"""Who may send, in whose name, and through which account at IO."""

from registry.models.consumer import AmountUnit, Consumer, ConsumerKey, Scope
from registry.models.io_account import IOAccount, Lane
from registry.models.logo import Logo, LogoKind
from registry.models.organization import ApprovalRule, Organization
from registry.models.people import Grant, Role, User
from registry.models.sending_hours import ClosureDay, SendingHoursChange
from registry.models.service import Service

__all__ = [
    "AmountUnit",
    "ApprovalRule",
    "ClosureDay",
    "Consumer",
    "ConsumerKey",
    "Grant",
    "IOAccount",
    "Lane",
    "Logo",
    "LogoKind",
    "Organization",
    "Role",
    "Scope",
    "SendingHoursChange",
    "Service",
    "User",
]
