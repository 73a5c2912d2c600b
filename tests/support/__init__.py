"""What several test packages share: stand-ins for the outside, and nothing that decides an outcome."""
