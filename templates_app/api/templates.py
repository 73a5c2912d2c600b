"""Templates over REST: make, list, read, change."""

from typing import Any, ClassVar, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.callers import Caller
from registry.api.permissions import READS_CONFIGURATION, HasScope, Scopes
from registry.models import Scope, User
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable, patched
from rest.schema import answers, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read
from templates_app import writing
from templates_app.api import listing, refusing, representations
from templates_app.api.owning import owner_of_new, require_still_owner, require_still_writable, require_writable
from templates_app.api.schema import CheckedTemplateSerializer, NewTemplateSerializer, TemplateListSerializer
from templates_app.models import Template
from templates_app.publishing import Text, Use, refusals, uses_of
from templates_app.turns import turn

ID: Final = path_id()
# Answers have them, nobody sets them.
_READ_ONLY: Final = ("version", "published", "warnings")
_TEXT: Final = ("subject", "message_body", "has_payment", "has_due_date")


class Templates(Resource):
    """The collection."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "POST": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="listTemplates",
        tags=["templates"],
        summary="List templates",
        description="Those of the organizations where the caller has any role, and the shared ones; by name.",
        parameters=listing.PARAMETERS,
        responses={**answers(TemplateListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        visible = Template.objects.visible_to(Caller.of(request).user).with_text()
        return Response(
            listing.listed(request, visible, show=lambda row, links: representations.checked_template(row, links=links))
        )

    @extend_schema(
        operation_id="createTemplate",
        tags=["templates"],
        summary="Make a template",
        description=(
            "A text that names placeholders is kept as a draft until they are assigned to the template; one that "
            "needs none is published at once. Whatever else is wrong with the text is refused here."
        ),
        request={"application/json": NewTemplateSerializer},
        responses={
            **answers(CheckedTemplateSerializer, 201),
            **problems(400, 401, 403, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "A reminder with a due date and a payment",
                request_only=True,
                value={
                    "name": "Avviso TARI",
                    "description": "Avviso di pagamento della tassa sui rifiuti.",
                    "subject": "TARI ${anno}: il tuo avviso di pagamento",
                    "message_body": (
                        "Ciao,\n\nè disponibile l'avviso **TARI ${anno}** per l'immobile in ${immobile}.\n\n"
                        "L'importo è di ${amount.currency}. Puoi pagare fino al ${due_date.date}, anche qui su IO."
                    ),
                    "has_payment": True,
                    "has_due_date": True,
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller, at = Caller.of(request), timezone.now()
        faults = Faults()
        asked = read(NewTemplateSerializer, body_of(request), faults=faults, ignored=_READ_ONLY)
        _check_text(asked, uses=[], faults=faults)
        organization_id = None
        if not faults.malformed:
            organization_id = owner_of_new(asked.get("organization_id"), user=caller.user, at=at, faults=faults)
        faults.check()
        with turn():
            require_still_owner(organization_id, user=caller.user)
            template = writing.create_template(
                organization_id=organization_id,
                name=asked["name"],
                description=asked.get("description") or "",
                text=_text(asked),
                by=caller.user,
                at=at,
            )
        shown = representations.checked_template(template, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class TemplateDetail(Patchable):
    """One template."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "PATCH": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="readTemplate",
        tags=["templates"],
        summary="Read a template",
        parameters=[ID],
        responses={**answers(CheckedTemplateSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        template = visible(pk, user=Caller.of(request).user)
        return Response(representations.checked_template(template, links=Links.of(request)))

    @extend_schema(
        operation_id="updateTemplate",
        tags=["templates"],
        summary="Change a template",
        description=(
            "JSON Patch. A changed text makes a new version, with the placeholders that the template has; messages "
            "already composed keep theirs. `organization_id` cannot change."
        ),
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={
            **answers(CheckedTemplateSerializer, 200),
            **problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Another description",
                request_only=True,
                value=[{"op": "replace", "path": "/description", "value": "Avvisa della scadenza della CIE."}],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        require_writable(visible(pk, user=caller.user), user=caller.user, at=at)
        operations = body_of(request)
        with turn():
            template = visible(pk, user=caller.user)
            require_still_writable(template, user=caller.user)
            faults = Faults()
            asked = read(
                NewTemplateSerializer,
                patched(_document(template), operations),
                faults=faults,
                ignored=_READ_ONLY,
                unchangeable={"organization_id": template.organization_id},
            )
            _check_text(asked, uses=uses_of(template.newest_version), faults=faults)
            faults.check()
            writing.change_template(
                template,
                name=asked["name"],
                description=asked.get("description") or "",
                text=_text(asked),
                by=caller.user,
                at=at,
            )
        return Response(representations.checked_template(template, links=Links.of(request)))


def visible(pk: int, *, user: User) -> Template:
    """With its text. Raises NotFound."""
    template = Template.objects.visible_to(user).with_text().filter(pk=pk).first()
    if template is None:
        raise NotFound
    return template


def _document(template: Template) -> dict[str, Any]:
    """What a patch is applied to: the members of a new template."""
    version = template.newest_version
    return {
        "id": template.pk,
        "name": template.name,
        "description": template.description or None,
        "organization_id": template.organization_id,
        "subject": version.subject if version else None,
        "message_body": version.body if version else None,
        "has_payment": version.has_payment if version else None,
        "has_due_date": version.has_due_date if version else None,
    }


def _check_text(asked: dict[str, Any], *, uses: list[Use], faults: Faults) -> None:
    """What the check says beyond the members themselves; nothing while one of them is missing."""
    if all(name in asked for name in _TEXT):
        faults.impossible.extend(refusing.in_text(refusals(_text(asked).declaring(uses))))


def _text(asked: dict[str, Any]) -> Text:
    return Text(
        subject=asked["subject"],
        body=asked["message_body"],
        has_payment=asked["has_payment"],
        has_due_date=asked["has_due_date"],
    )
