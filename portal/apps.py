"""The operator's portal: server-rendered pages over the verbs of the floors below."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Portale operatori"
