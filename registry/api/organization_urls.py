from django.urls import URLPattern, path

from registry.api.logos import OrganizationLogo, OrganizationLogoMiniature, ServiceLogo, ServiceLogoMiniature
from registry.api.organizations import OrganizationDetail, Organizations
from registry.api.services import ServiceDetail, Services
from registry.api.status import Status

urlpatterns: list[URLPattern] = [
    path("status", Status.as_view(), name="status"),
    path("organizations", Organizations.as_view(), name="organizations"),
    path("organizations/<int:pk>", OrganizationDetail.as_view(), name="organization"),
    path("organizations/<int:pk>/logo", OrganizationLogo.as_view(), name="organization-logo"),
    path(
        "organizations/<int:pk>/logo-miniature", OrganizationLogoMiniature.as_view(), name="organization-logo-miniature"
    ),
    path("services", Services.as_view(), name="services"),
    path("services/<int:pk>", ServiceDetail.as_view(), name="service"),
    path("services/<int:pk>/logo", ServiceLogo.as_view(), name="service-logo"),
    path("services/<int:pk>/logo-miniature", ServiceLogoMiniature.as_view(), name="service-logo-miniature"),
]
