from django.urls import path

from messaging.api import action_urls, instance_urls
from messaging.api.bulk_view import MessagesInBulk
from messaging.api.views import MessageDetail, Messages

# Without a trailing slash, as GovIO: an address with one is another address, and does not exist.
urlpatterns = [
    path("messages", Messages.as_view(), name="messages"),
    path("messages/bulk", MessagesInBulk.as_view(), name="messages-in-bulk"),
    path("messages/<int:pk>", MessageDetail.as_view(), name="message"),
    *action_urls.urlpatterns,
    *instance_urls.urlpatterns,
]
