"""Fiscal codes as shown to whoever may know that there is a message, and not to whom."""

HIDDEN = "•"


def masked(taxcode: str) -> str:
    """`RSSMRA••••••501U`: enough to recognise a person one already knows, not enough to learn the code."""
    if len(taxcode) < 16:
        return HIDDEN * len(taxcode)
    return taxcode[:6] + HIDDEN * 6 + taxcode[-4:]
