from django.db import models
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _

from registry.models.logo import WithLogos, delete_logos_of
from registry.querysets import ServiceQuerySet


class Service(WithLogos):
    """A service as the citizen sees it on IO. Its id and keys at IO are an `IOService`, per ente."""

    service_name = models.CharField(_("nome"), max_length=256, unique=True)
    description = models.CharField(_("descrizione"), max_length=4096, blank=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        verbose_name = _("servizio")
        verbose_name_plural = _("servizi")
        ordering = ["service_name", "id"]

    def __str__(self) -> str:
        return self.service_name


post_delete.connect(delete_logos_of, sender=Service)
