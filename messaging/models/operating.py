from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.models import IOAccount


class CallTally(models.Model):
    """How many calls to IO of one kind ended one way, since the installation began. Only ever grows."""

    # No constraint in the database: what a worker counted for an account deleted meanwhile must not stop the others'.
    io_account = models.ForeignKey(IOAccount, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    # `io_client.outcomes.Call`, and a word of `messaging.tallies`.
    call = models.CharField(max_length=16)
    outcome = models.CharField(max_length=32)
    count = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("conteggio delle chiamate")
        verbose_name_plural = _("conteggi delle chiamate")
        constraints = [
            models.UniqueConstraint(fields=["io_account", "call", "outcome"], name="call_tally_once"),
        ]

    def __str__(self) -> str:
        return f"{self.call} {self.outcome}: {self.count}"


class TokenTally(models.Model):
    """How many calls an account's bucket was spent on, since the installation began. Only ever grows."""

    io_account = models.OneToOneField(
        IOAccount, models.CASCADE, related_name="+", db_constraint=False, primary_key=True
    )
    count = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("conteggio dei gettoni")
        verbose_name_plural = _("conteggi dei gettoni")

    def __str__(self) -> str:
        return f"{self.pk}: {self.count}"


class MinuteTally(models.Model):
    """The calls of one minute of the database's clock, for a person who asks how fast it goes. Kept for a day."""

    minute = models.DateTimeField()
    io_account = models.ForeignKey(IOAccount, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    # Requests that left for IO, whatever became of them.
    calls = models.BigIntegerField(default=0)
    # Messages that IO took.
    accepted = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("conteggio al minuto")
        verbose_name_plural = _("conteggi al minuto")
        constraints = [
            # The minute first: what is asked for, and what is deleted, are the minutes before or after one.
            models.UniqueConstraint(fields=["minute", "io_account"], name="minute_tally_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%H:%M}: {self.accepted}"


class Heartbeat(models.Model):
    """When a worker last handled a tick to its end: how any other process knows that somebody is at work."""

    name = models.CharField(max_length=16, primary_key=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("ultimo giro")
        verbose_name_plural = _("ultimi giri")

    def __str__(self) -> str:
        return f"{self.name}: {self.at}"
