"""Tasks of the whole, not of one part of it."""

from celery import shared_task
from django.core.management import call_command


@shared_task(name="govio_portal.clear_sessions")
def clear_sessions() -> None:
    """Delete the sessions that are over, with what was searched for in them."""
    call_command("clearsessions")
