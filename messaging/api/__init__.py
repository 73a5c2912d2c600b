"""The REST face of messages."""
