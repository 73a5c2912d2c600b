"""The REST face of templates."""
