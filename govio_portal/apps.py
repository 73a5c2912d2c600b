from django.apps import AppConfig


class GovioPortalConfig(AppConfig):
    name = "govio_portal"

    def ready(self) -> None:
        from govio_portal import checks  # noqa: F401  (registers the system checks)
