from django.urls import path

from templates_app.api.placeholders import PlaceholderDetail, Placeholders
from templates_app.api.template_placeholders import TemplatePlaceholderDetail, TemplatePlaceholders
from templates_app.api.templates import TemplateDetail, Templates

urlpatterns = [
    path("templates", Templates.as_view(), name="templates"),
    path("templates/<int:pk>", TemplateDetail.as_view(), name="template"),
    path("templates/<int:pk>/placeholders", TemplatePlaceholders.as_view(), name="template-placeholders"),
    path(
        "templates/<int:template_id>/placeholders/<int:placeholder_id>",
        TemplatePlaceholderDetail.as_view(),
        name="template-placeholder",
    ),
    path("placeholders", Placeholders.as_view(), name="placeholders"),
    path("placeholders/<int:pk>", PlaceholderDetail.as_view(), name="placeholder"),
]
