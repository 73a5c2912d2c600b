"""The addresses of what one sends through."""

from django.urls import path

from messaging.api.instances_views import ServiceInstanceDetail, ServiceInstances
from messaging.api.io_services_views import (
    IOServiceActiveKey,
    IOServiceDetail,
    IOServiceKey,
    IOServiceResume,
    IOServices,
)

urlpatterns = [
    path("service-instances", ServiceInstances.as_view(), name="service-instances"),
    path("service-instances/<int:pk>", ServiceInstanceDetail.as_view(), name="service-instance"),
    path("io-services", IOServices.as_view(), name="io-services"),
    path("io-services/<int:pk>", IOServiceDetail.as_view(), name="io-service"),
    path("io-services/<int:pk>/keys/<str:slot>", IOServiceKey.as_view(), name="io-service-key"),
    path("io-services/<int:pk>/active-key", IOServiceActiveKey.as_view(), name="io-service-active-key"),
    path("io-services/<int:pk>/resume", IOServiceResume.as_view(), name="io-service-resume"),
]
