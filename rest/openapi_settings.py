"""What settings.py names SPECTACULAR_SETTINGS. Apart, since settings may import nothing that needs settings."""

from typing import Any

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "GovIO Portal",
    "DESCRIPTION": "Sends messages of Italian public bodies to citizens through the IO app. Compatible with GovIO.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/"}],
    "LICENSE": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
    "COMPONENT_SPLIT_REQUEST": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["rest.schema.without_enum_ids"],
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "TAGS": [{"name": "messages", "description": "Sending messages and following them."}],
}
