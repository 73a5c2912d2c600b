"""Tasks of the whole, not of one part of it."""

import time

from axes.models import AccessAttempt
from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from rest import counts


@shared_task(name="govio_portal.clear_sessions")
def clear_sessions() -> None:
    """Delete the sessions that are over, with what was searched for in them."""
    call_command("clearsessions")


@shared_task(name="govio_portal.forget_failures")
def forget_failures() -> None:
    """Delete the failed sign-ins that lock nothing any more, and the counters of windows that are over."""
    AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - settings.AXES_COOLOFF_TIME).delete()
    counts.forget_before(time.time())
