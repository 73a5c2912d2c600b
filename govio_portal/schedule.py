"""The one table of periodic tasks.

Celery writes a wake-up's expiry with beat's clock and reads it with the worker's, so a short one would stop everything
where the two differ: ten minutes outlive any difference worth having, and the tasks themselves drop what piled up.
"""

from typing import Any

EXPIRES_SECONDS = 600


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": EXPIRES_SECONDS}}


SCHEDULE: dict[str, dict[str, Any]] = {
    # A message leaves within a second or so of its date; composing also nudges.
    "dispatch": _every(1.0, "messaging.dispatch"),
    # Delivery is news for people who watch: asked as soon as it is due and the pace allows.
    "poll": _every(1.0, "messaging.poll"),
    # A request whose process died is shown in doubt soon after its lease.
    "sweep": _every(2.0, "messaging.sweep"),
    # Sessions hold what was searched for: over is gone. Hourly, since the embedded clock forgets when it last did.
    "clear_sessions": _every(3600.0, "govio_portal.clear_sessions"),
    # Who failed to sign in is forgotten as soon as it no longer locks anything.
    "forget_failures": _every(900.0, "govio_portal.forget_failures"),
}
