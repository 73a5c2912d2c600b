"""IO, played over HTTP: its services API for who sends, and an inbox where one reads as the citizen would.

A program of its own with its own data; it imports none of our apps and none imports it. See README.md.
"""
