"""The registry's REST face: who is calling, and with which scopes."""
