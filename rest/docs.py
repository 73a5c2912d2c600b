"""The OpenAPI document as a page to read and to try: Swagger UI from our own static files, under the site's policy.

Nothing comes from elsewhere and nothing is inline, so it works without the Internet and with the strict policy of every
other page. A key typed under "Authorize" stays in the page and is forgotten with it.
"""

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from rest.views import Resource


class DocsView(Resource):
    """The page, for anybody: it says no more than the document does."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        # The address of the document is told by the page, since a script of its own cannot know where it is mounted.
        page = render_to_string("rest/docs.html", {"document": reverse("schema")})
        return HttpResponse(page)
