"""The registry's addresses."""

from registry.api import organization_urls, people_urls

urlpatterns = [*people_urls.urlpatterns, *organization_urls.urlpatterns]
