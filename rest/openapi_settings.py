"""What settings.py names SPECTACULAR_SETTINGS. Apart, since settings may import nothing that needs settings."""

from typing import Any

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "GovIO Portal",
    "DESCRIPTION": (
        "Sends messages of Italian public bodies to citizens through the IO app. Compatible with GovIO.\n\n"
        "A consumer key comes from whoever administers the portal; what it may do is its scopes and its person's grants. "
        "Amounts are in the unit agreed for the consumer, euro (62.12) or cents (6212). Every refusal is a problem "
        "(RFC 9457) whose `errors` list everything found wrong, each with a code, a JSON Pointer and the cure."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/"}],
    "LICENSE": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
    "COMPONENT_SPLIT_REQUEST": False,
    # Bodies of PATCH are lists of operations, not documents with everything optional.
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["rest.schema.without_enum_ids"],
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "TAGS": [
        {"name": "messages", "description": "Sending messages and following them."},
        {"name": "service-instances", "description": "What one sends through: organization, service and template."},
        {"name": "templates", "description": "Texts with placeholders, kept in versions."},
        {"name": "organizations", "description": "The public bodies in whose name messages are sent."},
        {"name": "services", "description": "What the citizen sees on IO as the sender, beside the body's name."},
        {"name": "people", "description": "Users, what they may do, the programs that act for them, and their keys."},
        {"name": "system", "description": "Who one is, and whether the portal is well."},
    ],
}
