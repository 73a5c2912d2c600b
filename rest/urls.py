"""Routes of the conventions. `urlpatterns` of the API end with `rest.urls.last`."""

from django.urls import re_path

from rest.docs import DocsView
from rest.schema import SchemaView
from rest.views import UnknownPath

schema = re_path(r"^schema/?$", SchemaView.as_view(), name="schema")
docs = re_path(r"^docs/?$", DocsView.as_view(), name="docs")
last = re_path(r"", UnknownPath.as_view(), name="unknown")
