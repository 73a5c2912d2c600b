"""The Celery app. Its tasks are wake-ups; what there is to do is in the database."""

import os

from celery import Celery

from govio_portal.schedule import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "govio_portal.settings")
app = Celery("govio_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = SCHEDULE
