"""GovIO Portal: composition of the parts. Importing it makes the Celery app current, as Celery's Django page asks."""

from govio_portal.celery import app as celery_app

__all__ = ["celery_app"]
