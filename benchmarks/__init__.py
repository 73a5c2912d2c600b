"""Measurements of the product against limits measured in the same run: `make bench`."""
