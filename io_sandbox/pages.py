"""The pages of the sandbox, in Italian: who received something, an inbox, a message. No scripts, one style sheet."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from io_sandbox.markup import NOTHING, Markup, fill, join
from io_sandbox.reading import Button, day, euro, in_fours, moment, read, short_day
from io_sandbox.store import Citizen, Message
from io_sandbox.stories import STORIES, Story

REFRESH_SECONDS: Final = 5

_LAYOUT: Final = """<!doctype html>
<html lang="it">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>{title} · Sandbox di IO</title>
<link rel="icon" type="image/svg+xml" href="/static/icon.svg">
<link rel="stylesheet" href="/static/sandbox.css">
</head>
<body>
<a class="skip" href="#contenuto">Vai al contenuto</a>
<header>
<p class="notice"><strong>Ambiente di prova:</strong> nessun messaggio arriva a cittadini veri.</p>
<p class="top"><a href="/">Sandbox di IO</a></p>
</header>
<main id="contenuto" class="{kind}">
{content}
</main>
<footer class="bottom">Una controfigura di IO per le prove: non è l’app IO e non è di PagoPA.</footer>
</body>
</html>
"""


def page(title: str, content: Markup, *, kind: str = "wide", refresh_to: str | None = None) -> str:
    refresh = NOTHING
    if refresh_to is not None:
        refresh = fill(
            '<meta http-equiv="refresh" content="{seconds}; url={url}">\n', seconds=REFRESH_SECONDS, url=refresh_to
        )
    return fill(_LAYOUT, title=title, content=content, kind=kind, refresh=refresh)


# Home

_HOME: Final = """<h1>Che cosa ricevono i cittadini</h1>
<p class="lead">Qui leggi i messaggi come li leggerebbe chi li riceve. Ogni codice fiscale valido è una persona che è
su IO e accetta i messaggi; fanno eccezione quelli della tabella più sotto.</p>
<section aria-labelledby="destinatari">
<div class="heading"><h2 id="destinatari">Destinatari</h2><a class="action" href="/">Aggiorna</a></div>
{citizens}
</section>
<section aria-labelledby="storie">
<h2 id="storie">Codici fiscali con una storia</h2>
<p>Sono persone inventate: usa questi codici per vedere come si comporta il portale quando qualcosa non va.</p>
<ul class="stories">
{stories}</ul>
</section>
"""
_STORY: Final = """<li><code>{code}</code><b>{name}</b><span>{happens}</span></li>
"""
_CITIZEN: Final = """<li><a href="/inbox/{id}">
<span class="who"><code>{code}</code>{story}</span>
<span class="count">{count}{unread}</span>
</a></li>
"""


def home(citizens: Sequence[Citizen], *, is_cut: bool) -> str:
    listed: Markup
    if citizens:
        rows = join(_citizen_row(citizen) for citizen in citizens)
        cut = Markup('<p class="hint">Sono mostrati i destinatari più recenti.</p>') if is_cut else NOTHING
        listed = fill('<ul class="citizens">\n{rows}</ul>\n{cut}', rows=rows, cut=cut)
    else:
        listed = Markup('<p class="empty">Nessuno ha ancora ricevuto messaggi. Inviane uno dal portale.</p>')
    stories = join(fill(_STORY, code=story.fiscal_code, name=story.name, happens=story.happens) for story in STORIES)
    return page("Destinatari", fill(_HOME, citizens=listed, stories=stories))


def _citizen_row(citizen: Citizen) -> Markup:
    story = _story_of(citizen.fiscal_code)
    return fill(
        _CITIZEN,
        id=citizen.id,
        code=citizen.fiscal_code,
        story=fill("<small>{name}</small>", name=story.name) if story else NOTHING,
        count="1 messaggio" if citizen.messages == 1 else f"{citizen.messages} messaggi",
        unread=fill('<b class="badge">{n} da leggere</b>', n=citizen.unread) if citizen.unread else NOTHING,
    )


def _story_of(fiscal_code: str) -> Story | None:
    return next((story for story in STORIES if story.fiscal_code == fiscal_code), None)


# Inbox

_INBOX: Final = """<div class="phone">
<div class="bar"><a href="/">‹ Destinatari</a><span>{code}</span></div>
<h1>Messaggi</h1>
{messages}
</div>
<p class="hint">{refresh}</p>
"""
_ROW: Final = """<li><a href="/inbox/{citizen}/{id}">
<span class="avatar" aria-hidden="true">{initials}</span>
<span class="text">
<span class="line"><b class="ente">{ente}</b><time>{date}</time></span>
<span class="what">{dot}{service} · {subject}</span>
{tag}</span>
</a></li>
"""
_DOT: Final = Markup('<i class="dot"></i><span class="only-heard">Da leggere: </span>')


def inbox(citizen: Citizen, messages: Sequence[Message], *, now: float, is_refreshing: bool) -> str:
    """`messages`: those that IO put in the inbox, newest first."""
    here = f"/inbox/{citizen.id}"
    content = fill(
        _INBOX,
        code=citizen.fiscal_code,
        messages=(
            fill('<ul class="messages">\n{rows}</ul>', rows=join(_message_row(m, now=now) for m in messages))
            if messages
            else Markup('<p class="empty">Non ci sono messaggi.</p>')
        ),
        refresh=(
            fill('La pagina si aggiorna da sola. <a href="{here}">Smetti</a>', here=here)
            if is_refreshing
            else fill(
                '<a href="{here}">Aggiorna</a> · <a href="{here}?aggiorna=1">Aggiorna da sola ogni {n} secondi</a>',
                here=here,
                n=REFRESH_SECONDS,
            )
        ),
    )
    refresh_to = f"{here}?aggiorna=1" if is_refreshing else None
    return page("Messaggi", content, kind="narrow", refresh_to=refresh_to)


def _message_row(message: Message, *, now: float) -> Markup:
    return fill(
        _ROW,
        citizen=message.citizen,
        id=message.io_id,
        initials=_initials(message.sender.organization),
        ente=message.sender.organization,
        date=short_day(message.accepted_at, now=now),
        dot=NOTHING if message.opened_at else _DOT,
        service=message.sender.service,
        subject=message.content["subject"],
        tag=_payment_tag(message, now=now),
    )


def _payment_tag(message: Message, *, now: float) -> Markup:
    if "payment_data" not in message.content:
        return NOTHING
    if message.paid_at is not None:
        return Markup('<span class="tag done">Pagato</span>')
    if _is_expired(message, at=now):
        return Markup('<span class="tag late">Scaduto</span>')
    return Markup('<span class="tag">Da pagare</span>')


def _is_expired(message: Message, *, at: float) -> bool:
    """Whether the notice can no longer be paid; a date that is only past does not stop a payment."""
    due_date = _due_date(message)
    is_invalid_after = message.content["payment_data"].get("invalid_after_due_date")
    return bool(is_invalid_after and due_date and due_date.timestamp() < at)


def _due_date(message: Message) -> datetime | None:
    return datetime.fromisoformat(message.content["due_date"]) if "due_date" in message.content else None


def _initials(name: str) -> str:
    words = [word for word in name.split() if word[:1].isupper()] or name.split()
    return "".join(word[0] for word in words[:2]).upper()


# Message

_MESSAGE: Final = """<div class="phone">
<div class="bar"><a href="/inbox/{citizen}">‹ Messaggi</a></div>
<article>
<p class="from"><span class="avatar" aria-hidden="true">{initials}</span>
<span><b>{ente}</b><span>{service}</span></span></p>
<h1>{subject}</h1>
<p class="date">{date}</p>
{due}{payment}{body}{buttons}
</article>
</div>
<details class="technical">
<summary>Dati tecnici dell’invio</summary>
<dl>
<dt>Identificativo</dt><dd><code>{id}</code></dd>
<dt>Servizio</dt><dd><code>{service_id}</code></dd>
<dt>Livello</dt><dd>{level}</dd>
<dt>Ricevuto</dt><dd>{received}</dd>
<dt>Canali sicuri</dt><dd>{secure}</dd>{remote}
</dl>
</details>
"""
_PAYMENT: Final = """<section class="payment" aria-labelledby="pagamento">
<h2 id="pagamento">Avviso di pagamento</h2>
<dl>
<dt>Importo</dt><dd class="amount">{amount}</dd>
<dt>Codice avviso</dt><dd>{notice}</dd>
<dt>Codice fiscale ente creditore</dt><dd>{payee}</dd>
</dl>
{state}
</section>
"""
_PAY: Final = """<form method="post" action="/inbox/{citizen}/{id}/paga"><button>Paga {amount}</button></form>
<p class="hint">È una prova: non si paga nulla.</p>"""
_HIDDEN: Final = """<p class="alert bad">L’app non riesce a leggere i pulsanti di questo messaggio e ne nasconde il testo.</p>
<details><summary>Mostra comunque</summary><div class="markdown">{body}</div></details>
"""


def message(message: Message, *, now: float) -> str:
    content = message.content
    body = read(content["markdown"])
    shown = fill(
        _MESSAGE,
        citizen=message.citizen,
        id=message.io_id,
        initials=_initials(message.sender.organization),
        ente=message.sender.organization,
        service=message.sender.service,
        subject=content["subject"],
        date=day(message.accepted_at),
        due=_due(_due_date(message), now=now),
        payment=_payment(message, now=now),
        body=fill(_HIDDEN if body.is_hidden else '<div class="markdown">{body}</div>\n', body=body.html),
        buttons=_buttons(body.buttons),
        service_id=message.service_id,
        level=message.feature_level,
        received=moment(message.accepted_at),
        secure="sì" if content.get("require_secure_channels") else "no",
        remote=_remote(content.get("third_party_data")),
    )
    return page(content["subject"], shown, kind="narrow")


def _due(due_date: datetime | None, *, now: float) -> Markup:
    if due_date is None:
        return NOTHING
    word, kind = ("Scaduto il", "bad") if due_date.timestamp() < now else ("Scade il", "warn")
    return fill('<p class="alert {kind}">{word} {when}</p>\n', kind=kind, word=word, when=moment(due_date))


def _payment(message: Message, *, now: float) -> Markup:
    payment = message.content.get("payment_data")
    if payment is None:
        return NOTHING
    amount = euro(payment["amount"])
    if message.paid_at is not None:
        state = fill('<p class="alert good">Pagato il {when}</p>', when=moment(message.paid_at))
    elif _is_expired(message, at=now):
        state = Markup('<p class="alert bad">Avviso scaduto: non si può più pagare.</p>')
    else:
        state = fill(_PAY, citizen=message.citizen, id=message.io_id, amount=amount)
    return fill(
        _PAYMENT,
        amount=amount,
        notice=in_fours(payment["notice_number"]),
        payee=payment["payee"]["fiscal_code"],
        state=state,
    )


def _buttons(buttons: Sequence[Button]) -> Markup:
    if not buttons:
        return NOTHING
    return fill('<div class="buttons">\n{buttons}</div>', buttons=join(_button(button) for button in buttons))


def _button(button: Button) -> Markup:
    if not button.href:
        return fill('<span class="button dead">{text} (non si apre)</span>\n', text=button.text)
    return fill(
        '<a class="button" href="{href}" rel="noopener noreferrer">{text}</a>\n', href=button.href, text=button.text
    )


def _remote(third_party: object) -> Markup:
    if third_party is None:
        return NOTHING
    return Markup("\n<dt>Contenuto remoto</dt><dd>richiesto; la sandbox mostra il testo inviato</dd>")


# Nothing there

_NOT_FOUND: Final = Markup("""<h1>Pagina non trovata</h1>
<p>L’indirizzo non esiste, o il messaggio non è (ancora) nella casella. <a href="/">Torna ai destinatari</a></p>
""")


def not_found() -> str:
    return page("Pagina non trovata", _NOT_FOUND)
