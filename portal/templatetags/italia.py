"""Components of the design system as template tags, so that a change of its markup is a change here."""

from datetime import date, datetime

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from messaging.models import Message
from messaging.states import GROUP_OF, Delivery
from portal import vendored, waiting, wording

register = template.Library()

CODE_LENGTH = 16
ALERT_ICONS = {"danger": "error", "warning": "warning-circle", "success": "check-circle", "info": "info-circle"}


@register.simple_tag
def bootstrap_italia(path: str) -> str:
    """The address of a file of the vendored Bootstrap Italia."""
    return static(f"{vendored.BOOTSTRAP_ITALIA}/{path}")


@register.simple_tag
def htmx(path: str) -> str:
    """The address of a file of the vendored htmx."""
    return static(f"{vendored.HTMX}/{path}")


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A sprite. Decorative, hence hidden from screen readers, unless it carries a label."""
    address = f"{static(vendored.BOOTSTRAP_ITALIA + '/svg/sprites.svg')}#it-{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, address)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', address)


@register.simple_tag
def state_tag(message: Message) -> SafeString:
    """The state as a word, in the colour and shape of its group."""
    label = _("Dato per arrivato") if message.is_taken_as_arrived else message.delivery.label
    return format_html('<span class="tag tag-{}">{}</span>', message.group.value, label)


@register.simple_tag
def delivery_tag(delivery: Delivery) -> SafeString:
    """The same tag for a state without a message, as in the help page."""
    return format_html('<span class="tag tag-{}">{}</span>', GROUP_OF[delivery].value, delivery.label)


@register.simple_block_tag
def alert(content: str, kind: str, role: str = "") -> SafeString:
    """A boxed remark: `danger`, `warning`, `success` or `info`. With `role="status"` it is read out when it appears."""
    return format_html(
        '<div class="alert alert-{}"{}>{}<div>{}</div></div>',
        kind,
        format_html(' role="{}"', role) if role else "",
        icon(ALERT_ICONS[kind]),
        content,
    )


@register.simple_tag
def masked_code(taxcode: str) -> SafeString:
    """A fiscal code with its middle hidden; a screen reader hears words, not a row of dots."""
    if not taxcode:
        return mark_safe('<span aria-hidden="true">–</span>')
    return format_html(
        '<span class="code nowrap" aria-hidden="true">{}</span><span class="visually-hidden">{}</span>',
        wording.masked(taxcode),
        _("%(start)s … %(end)s, in parte nascosto") % {"start": taxcode[:6], "end": taxcode[-4:]},
    )


@register.simple_tag
def draft_code(draft: Message) -> SafeString:
    """The recipient of a draft as far as it is typed, masked like any other; one not yet whole shows nothing of itself."""
    typed = draft.content.draft_form or {}
    code = "".join(str(typed.get("codice_fiscale", draft.taxcode)).split()).upper()
    if code and len(code) != CODE_LENGTH:
        return format_html('<span class="muted">{}</span>', _("codice incompleto"))
    return masked_code(code)


@register.simple_tag
def waiting_words(message: Message) -> str:
    """What holds a waiting message, empty for nothing but its date."""
    return str(waiting.short_reason(message))


def time_element(at: datetime, words: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', timezone.localtime(at).isoformat(timespec="seconds"), words)


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """A date as a person says it, with the exact one for machines: `<time>domani alle 9:00</time>`."""
    return "–" if at is None else time_element(at, wording.moment(at, now=timezone.now()))


@register.simple_tag
def full_moment(at: datetime) -> SafeString:
    return time_element(at, wording.full_moment(at))


@register.simple_tag
def exact_moment(at: datetime) -> SafeString:
    return time_element(at, wording.exact_moment(at))


@register.simple_tag
def weekday_and_date(day: date) -> str:
    """`martedì 8 dicembre 2026`, of a date without an hour."""
    return wording.long_date(day)


@register.filter
def euro(cents: int | None) -> str:
    return "" if cents is None else wording.euro(cents)


@register.filter
def thousands(number: int) -> str:
    return wording.count(number)
