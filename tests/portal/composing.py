"""Writing a message as an operator does: a draft, its form, what the pages say."""

from typing import Any

from messaging.models import Message, ServiceInstance
from tests.portal.visitor import Visitor, address

MISTAKES = 422

# A future due date, the amount with a comma, the notice number as it is printed.
TYPED = {
    "codice_fiscale": "RSSMRA80A01H501U",
    "s_cie": "ca000000aa",
    "scadenza_data": "2099-12-31",
    "codice_avviso": "3000 1254 8634 4782 00",
    "importo": "62,12",
    "quando": "subito",
}


def start(visitor: Visitor, instance: ServiceInstance) -> Message:
    """Step 1: a draft through this service instance."""
    visitor.post("compose", data={"collegamento": instance.pk})
    return Message.objects.latest("pk")


def write(visitor: Visitor, draft: Message, *, button: str = "continua", expect: int = 302, **typed: Any) -> Any:
    """Step 2: the whole form with these fields changed (None leaves one out), and a button.

    Mistakes (`expect` 422) are shown by the page that "Continua" redirects to.
    """
    form = {name: value for name, value in {**TYPED, **typed}.items() if value is not None}
    data = {**form, "azione": button}
    if expect != MISTAKES:
        return visitor.post("compose_content", draft.pk, data=data, expect=expect)
    response = visitor.post("compose_content", draft.pk, data=data)
    assert response["Location"] == f"{address('compose_content', draft.pk)}?controlla=1"
    return visitor.get("compose_content", draft.pk, query={"controlla": 1}, expect=MISTAKES)


def confirm(visitor: Visitor, draft: Message, *, expect: int = 302, **ticked: Any) -> Any:
    """Step 3: read the page, press its button."""
    visitor.get("compose_confirm", draft.pk)
    seen = visitor.main.one("input", name="visto").attributes["value"]
    return visitor.post("compose_confirm", draft.pk, data={"visto": seen, **ticked}, expect=expect)
