from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "messaging"
    verbose_name = "Messaggi"

    def ready(self) -> None:
        from messaging.models import ServiceInstance  # models are there only now
        from templates_app import sharing

        # Whoever changes a template changes what these send.
        sharing.register(ServiceInstance.objects.all)
