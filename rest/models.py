from django.db import models


class RequestCount(models.Model):
    """A counter of one window of time (`rest.counts`), where there is no Redis. Its name says nothing of a person."""

    name = models.CharField(max_length=96, primary_key=True)
    # Seconds since 1970.
    ends_at = models.BigIntegerField()
    count = models.BigIntegerField()

    class Meta:
        default_permissions = ()
