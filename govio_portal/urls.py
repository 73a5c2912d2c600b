"""Where each face is mounted."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from govio_portal import health, metrics
from messaging.api import urls as messages_api
from portal.views import errors
from registry.api import urls as registry_api
from rest import handlers
from rest import urls as conventions
from templates_app.api import urls as templates_api

api = [
    *messages_api.urlpatterns,
    *templates_api.urlpatterns,
    *registry_api.urlpatterns,
    conventions.schema,
    conventions.docs,
    conventions.last,
]

urlpatterns = [
    path(f"{settings.API_PREFIX}/", include(api)),
    path("admin/", admin.site.urls),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("readyz/workers", health.workers),
    path("metrics", metrics.metrics),
    path("", include("portal.urls")),
]

# Problems for programs, pages for people.
handler400 = handlers.bad_request(elsewhere=errors.bad_request)
handler403 = handlers.permission_denied(elsewhere=errors.forbidden)
handler404 = handlers.page_not_found(elsewhere=errors.not_found)
handler500 = handlers.server_error(elsewhere=errors.server_error)
