"""The message as the citizen will see it, drawn generically: the same for composing, approving and looking back."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.safestring import SafeString

from messaging.models import Message, MessageContent, ServiceInstance
from templates_app.markdown import preview_html


@dataclass(frozen=True, slots=True)
class Preview:
    """What the phone shows. `body` is safe HTML of the Markdown; `buttons` are labels only, nothing can be pressed."""

    subject: str
    body: SafeString
    buttons: tuple[str, ...]
    entity: str
    service: str
    due_date: datetime | None
    is_overdue: bool
    amount_cents: int | None
    notice_number: str

    @property
    def initials(self) -> str:
        """Stands for the ente's logo: the initials of the first and the last name in its name."""
        names = [word[0] for word in self.entity.split() if word[0].isupper()]
        return "".join(names[:1] + names[1:][-1:])


def preview_from(
    *,
    subject: str,
    markdown: str,
    instance: ServiceInstance,
    due_date: datetime | None,
    amount_cents: int | None,
    notice_number: str,
    at: datetime,
) -> Preview:
    """Draw a finished text of this service instance; amount in euro cents."""
    shown = preview_html(markdown)
    return Preview(
        subject=subject,
        body=shown.html,
        buttons=tuple(button.text for button in shown.buttons),
        entity=instance.organization.legal_name,
        service=instance.service.service_name,
        due_date=due_date,
        is_overdue=due_date is not None and due_date <= at,
        amount_cents=amount_cents,
        notice_number=notice_number,
    )


def preview_of(message: Message) -> Preview | None:
    """The frozen text of a message; None for a draft never confirmed, and once retention deleted the text."""
    try:
        content = message.content
    except MessageContent.DoesNotExist:
        return None
    if not content.markdown:
        return None
    return preview_from(
        subject=content.subject,
        markdown=content.markdown,
        instance=message.service_instance,
        due_date=message.due_date,
        amount_cents=content.amount_cents,
        notice_number=content.notice_number,
        at=timezone.now(),
    )
