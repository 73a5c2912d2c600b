from django.urls import URLPattern, path

from messaging.api.actions import Cancel, Resend, Settle
from messaging.api.events import Events
from messaging.api.export import Export

urlpatterns: list[URLPattern] = [
    # A word where a message has its number: neither can be taken for the other.
    path("messages/export", Export.as_view(), name="messages-export"),
    path("messages/<int:pk>/cancel", Cancel.as_view(), name="message-cancel"),
    path("messages/<int:pk>/resend", Resend.as_view(), name="message-resend"),
    path("messages/<int:pk>/settle", Settle.as_view(), name="message-settle"),
    path("messages/<int:pk>/events", Events.as_view(), name="message-events"),
]
