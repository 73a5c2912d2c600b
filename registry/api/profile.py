"""Who the caller is, and what they may do."""

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import people_representations as representations
from registry.api.callers import Caller
from registry.api.people_schema import ProfileSerializer
from registry.api.permissions import ANY_SCOPE, HasScope, Scopes
from registry.models import Grant
from rest.hal import Links
from rest.schema import answers, problems
from rest.views import Resource


class Profile(Resource):
    """The person for whom the key acts."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": ANY_SCOPE}

    @extend_schema(
        operation_id="profile",
        tags=["people"],
        summary="Read one's own profile",
        description="Whoever shows a key may ask: it tells what the key is good for.",
        responses={**answers(ProfileSerializer, 200), **problems(401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        caller = Caller.of(request)
        live = Grant.objects.active(timezone.now()).filter(user=caller.user)
        grants = list(live.order_by("pk").prefetch_related("organizations", "services"))
        shown = representations.profile(caller.user, caller=caller, grants=grants, links=Links.of(request))
        return Response(shown)
