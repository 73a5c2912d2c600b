"""The link with which a person chooses their password."""

from typing import ClassVar

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import inviting
from registry.api.callers import Caller
from registry.api.people_access import WRITES_PEOPLE, not_administered, visible_person
from registry.api.people_schema import InvitationSerializer
from registry.api.permissions import HasScope, Scopes
from registry.api.users import PERSON
from rest.hal import Links
from rest.problems import Problem
from rest.schema import answers, problems
from rest.views import Resource


class UserInvitation(Resource):
    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"POST": WRITES_PEOPLE}

    @extend_schema(
        operation_id="inviteUser",
        tags=["people"],
        summary="Make an invitation link",
        description=(
            "A link to hand over to the person, in private: whoever opens it first chooses the password. No body. For "
            "who administers every authorization of the person, as long as they have never signed in; for platform "
            "staff always. The link ends with its use, with time, and when whoever made it could not make it any more."
        ),
        parameters=[PERSON],
        request=None,
        responses={**answers(InvitationSerializer, 201), **problems(401, 403, 404, 409, 429, 500, 503)},
    )
    def post(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        person = visible_person(pk, caller=caller, at=at)
        try:
            invitation = inviting.invite(person, by=caller.user, at=at)
        except inviting.NotAllowed:
            raise not_administered() from None
        except inviting.SignedInAlready:
            detail = _("La persona è già entrata: per una nuova password rivolgiti al personale della piattaforma.")
            raise Problem(403, code="signed_in_already", detail=detail) from None
        except inviting.Disabled:
            detail = _("L'utente è disabilitato: prima va abilitato.")
            raise Problem(409, code="user_disabled", detail=detail) from None
        address = reverse("portal:invitation", args=[invitation.people, invitation.token])
        shown = {"url": Links.of(request).base + address, "expires_at": invitation.expires_at}
        return Response(shown, status=201)
