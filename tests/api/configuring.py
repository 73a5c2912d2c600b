"""A program that configures sending, as tests drive one."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from messaging.models import IOService, ServiceInstance
from registry.models import Scope, User
from tests import factories
from tests.api.integrator import HEADER

JSON_PATCH = "application/json-patch+json"
PRIMARY, SECONDARY, NEW = "the-primary-key-in-clear", "the-secondary-key-in-clear", "a-brand-new-key-in-clear"


@dataclass
class Program:
    """A consumer of somebody's, with a key that has every scope unless told otherwise."""

    key: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=True))

    @classmethod
    def of(cls, user: User, *, scopes: tuple[Scope, ...] = tuple(Scope)) -> "Program":
        return cls(factories.consumer_key(factories.consumer(user=user), scopes=[scope.value for scope in scopes]))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.generic(
            method,
            f"/api/v1/{path}",
            data,
            content_type=content_type or (JSON_PATCH if method == "PATCH" else "application/json"),
            query_params=query,
            headers={HEADER: self.key, **(headers or {})},
        )

    def get(self, path: str, query: dict[str, Any] | None = None, **options: Any) -> Any:
        return self.ask("GET", path, query=query, **options)

    def post(self, path: str, body: Any = None) -> Any:
        return self.ask("POST", path, body)

    def patch(self, path: str, *operations: Any) -> Any:
        return self.ask("PATCH", path, list(operations))

    def replace(self, path: str, **members: Any) -> Any:
        """A PATCH that replaces these members."""
        return self.patch(path, *(replacing(name, value) for name, value in members.items()))


def replacing(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


def keys_of(io_service: IOService | int) -> tuple[str, str, str]:
    """Which one is in use, the primary and the secondary in clear."""
    found = IOService.objects.get(pk=io_service if isinstance(io_service, int) else io_service.pk)
    return found.active_key, found.primary_key.open(), found.secondary_key.open()


def asked_for(instance: ServiceInstance, **changes: Any) -> dict[str, Any]:
    """The body of a POST that makes another service instance beside this one, with a template of its own."""
    return {
        "organization_id": instance.organization_id,
        "service_id": instance.service_id,
        "template_id": factories.template().pk,
        "enabled": True,
        "io_service_id": "01NEWSERVICE",
        "apiKey": NEW,
        **changes,
    }
