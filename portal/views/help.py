"""Pages anybody may read: the guide, the states in plain words, accessibility, privacy."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from messaging.states import EXPLANATION, GROUP_OF, Delivery, Group, WaitingReason


def guide(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/help/guide.html")


def states(request: HttpRequest) -> HttpResponse:
    """Every state by group, with the sentence that the message pages show too."""
    groups = [
        (group, [(state, EXPLANATION[state]) for state in Delivery if GROUP_OF[state] is group]) for group in Group
    ]
    reasons = [reason for reason in WaitingReason if reason is not WaitingReason.NONE]
    return render(request, "portal/help/states.html", {"groups": groups, "reasons": reasons})


def accessibility(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "portal/help/accessibility.html",
        {"statement_url": getattr(settings, "ACCESSIBILITY_STATEMENT_URL", "")},
    )


def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/help/privacy.html", {"notice_url": getattr(settings, "PRIVACY_NOTICE_URL", "")})
