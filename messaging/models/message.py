from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from messaging.models.io_service import IOService
from messaging.models.service_instance import ServiceInstance
from messaging.querysets import MessageQuerySet
from messaging.states import (
    FINAL,
    FOLLOWED,
    GROUP_OF,
    LISTED_BY_STATE,
    WAITING,
    Delivery,
    Group,
    Payment,
    Priority,
    Reading,
    WaitingReason,
)
from registry.models import Consumer, IOAccount, User

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from messaging.models.content import MessageContent
    from messaging.models.event import MessageEvent


class FeatureLevel(models.TextChoices):
    """IO's feature_level_type."""

    STANDARD = "STANDARD", _("Standard")
    ADVANCED = "ADVANCED", _("Premium")


class Message(models.Model):
    """One message to one citizen: narrow, since the queue, the polls and the lists all read it.

    Texts and values are in `MessageContent`, history in `MessageEvent`. States move only through `messaging.moving`.
    """

    # No foreign key has an index of its own: every move writes one entry in each index, and the queries that there are
    # have theirs below.
    service_instance = models.ForeignKey(
        ServiceInstance,
        models.PROTECT,
        related_name="messages",
        verbose_name=_("collegamento a IO"),
        db_index=False,
    )
    sender = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("mittente"), db_index=False)
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, null=True, related_name="+", verbose_name=_("integrazione"), db_index=False
    )
    # Upper case; blank in a draft that has none yet.
    taxcode = models.CharField(_("codice fiscale"), max_length=16, blank=True)
    feature_level = models.CharField(max_length=16, choices=FeatureLevel.choices, default=FeatureLevel.STANDARD)

    delivery_state = models.CharField(_("stato"), max_length=32, choices=Delivery.choices)
    reading_state = models.CharField(_("lettura"), max_length=16, choices=Reading.choices, default=Reading.UNKNOWN)
    payment_state = models.CharField(_("pagamento"), max_length=16, choices=Payment.choices, default=Payment.UNKNOWN)
    # Why it is as it is, for people: IO's words on a refusal, what is not known about a doubt.
    status_detail = models.TextField(_("dettaglio"), blank=True)
    # The last status as IO wrote it; its enums are open, so an unknown word is kept here and shown.
    io_status = models.CharField(max_length=64, blank=True)

    created_at = models.DateTimeField(_("creato il"))
    updated_at = models.DateTimeField(_("ultimo cambio di stato"))
    scheduled_at = models.DateTimeField(_("spedizione pianificata"))
    due_date = models.DateTimeField(_("scadenza"), null=True)
    # The due date where it was ahead when the message was accepted: past it, a waiting message is not sent any more.
    expires_at = models.DateTimeField(null=True)
    expedition_date = models.DateTimeField(_("inviato il"), null=True)
    appio_message_id = models.CharField(_("ID messaggio su IO"), max_length=64, blank=True)
    # A person said that it arrived: there is no IO id, so it is not followed, and is counted apart.
    is_taken_as_arrived = models.BooleanField(default=False)

    # The queue.
    io_account = models.ForeignKey(IOAccount, models.PROTECT, related_name="+", db_index=False)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.SCHEDULED)
    # Not to be taken up before this instant: its date, or the end of a pause of its own.
    not_before = models.DateTimeField()
    waiting_reason = models.CharField(max_length=16, choices=WaitingReason.choices, blank=True)
    # Calls in a row that IO could not answer, for the backoff.
    retries = models.PositiveSmallIntegerField(default=0)
    # Times that IO refused it for something that is not clearly the recipient's.
    refusals = models.PositiveSmallIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)
    profile_checked_at = models.DateTimeField(null=True)

    # The attempt. Frozen by the mark, and kept afterwards: a late answer must find it.
    io_service = models.ForeignKey(IOService, models.PROTECT, null=True, related_name="+", db_index=False)
    attempt_id = models.UUIDField(null=True)
    marked_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    # The rule of its service instance sent it again after a doubt: it does so once.
    is_resent_by_rule = models.BooleanField(default=False)

    # Following: null when there is nothing more to ask.
    next_poll_at = models.DateTimeField(null=True)
    polls = models.PositiveSmallIntegerField(default=0)

    objects = MessageQuerySet.as_manager()

    if TYPE_CHECKING:
        content: MessageContent
        events: RelatedManager[MessageEvent]

    class Meta:
        verbose_name = _("messaggio")
        verbose_name_plural = _("messaggi")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(delivery_state__in=Delivery.values), name="message_delivery_known"),
            models.CheckConstraint(condition=Q(reading_state__in=Reading.values), name="message_reading_known"),
            models.CheckConstraint(condition=Q(payment_state__in=Payment.values), name="message_payment_known"),
            # No request may leave for a row that the sweep could not find again.
            models.CheckConstraint(
                condition=~Q(delivery_state=Delivery.SENDING)
                | Q(
                    attempt_id__isnull=False,
                    lease_until__isnull=False,
                    marked_at__isnull=False,
                    io_service__isnull=False,
                ),
                name="message_sending_has_attempt",
            ),
            models.CheckConstraint(
                condition=Q(delivery_state=Delivery.DRAFT) | ~Q(taxcode=""), name="message_has_recipient"
            ),
            models.CheckConstraint(
                condition=Q(next_poll_at=None) | ~Q(appio_message_id=""), name="message_followed_has_io_id"
            ),
        ]
        indexes = [
            # claiming: which streams of an account have something due, and the next rows of each.
            models.Index(
                F("io_account"),
                F("priority"),
                F("service_instance"),
                F("not_before"),
                F("id"),
                name="message_queue",
                condition=Q(delivery_state__in=sorted(WAITING)) & ~Q(waiting_reason=WaitingReason.SET_ASIDE),
            ),
            # dispatching.sweep: requests whose answer never came.
            models.Index(fields=["lease_until"], name="message_leases", condition=Q(delivery_state=Delivery.SENDING)),
            # dispatching.expire: waiting past its due date.
            models.Index(
                fields=["expires_at"],
                name="message_expiring",
                condition=Q(delivery_state__in=sorted(WAITING), expires_at__isnull=False),
            ),
            # polling.claim: whom to ask about next.
            models.Index(
                fields=["io_account", "next_poll_at"], name="message_polls", condition=Q(next_poll_at__isnull=False)
            ),
            # The list of doubts, and its count on every page.
            models.Index(fields=["id"], name="message_doubts", condition=Q(delivery_state=Delivery.UNCERTAIN)),
            # What waits for an approver, counted on every page.
            models.Index(
                fields=["service_instance"],
                name="message_pending",
                condition=Q(delivery_state=Delivery.PENDING_APPROVAL),
            ),
            # Set aside: resumed and counted by IO service.
            models.Index(
                fields=["service_instance"],
                name="message_set_aside",
                condition=Q(waiting_reason=WaitingReason.SET_ASIDE),
            ),
            # Taken by IO, not followed any more and never ended: counted in the operating view, listed for a person.
            models.Index(
                fields=["service_instance", "-id"],
                name="message_silent",
                condition=Q(delivery_state__in=sorted(FOLLOWED), next_poll_at__isnull=True, is_taken_as_arrived=False),
            ),
            # Lists.
            models.Index(fields=["service_instance", "-id"], name="message_by_instance"),
            models.Index(
                fields=["service_instance", "delivery_state", "-id"],
                name="message_by_state",
                include=["scheduled_at"],
                condition=Q(delivery_state__in=sorted(LISTED_BY_STATE)),
            ),
            models.Index(fields=["service_instance", "scheduled_at", "id"], name="message_by_date"),
            models.Index(
                fields=["service_instance", "expedition_date", "id"],
                name="message_by_expedition",
                condition=Q(expedition_date__isnull=False),
            ),
            # In the order of characters, or a code's beginning could not be looked up where the database sorts by a language.
            models.Index(
                fields=["taxcode", "-id"], name="message_by_recipient", opclasses=["varchar_pattern_ops", "int8_ops"]
            ),
            # Late acceptances are matched by IO's id when nothing else matches.
            models.Index(fields=["appio_message_id"], name="message_by_io_id", condition=~Q(appio_message_id="")),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"

    @property
    def delivery(self) -> Delivery:
        return Delivery(self.delivery_state)

    @property
    def group(self) -> Group:
        """The group of its state; one taken as arrived is delivered, as far as people are concerned."""
        return Group.DELIVERED if self.is_taken_as_arrived else GROUP_OF[self.delivery]

    @property
    def is_final(self) -> bool:
        return self.delivery in FINAL or self.is_taken_as_arrived

    # Permissions ask these two of anything that belongs to an ente and a service.
    @property
    def organization_id(self) -> int:
        return self.service_instance.organization_id

    @property
    def service_id(self) -> int:
        return self.service_instance.service_id
