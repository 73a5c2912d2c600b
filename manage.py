#!/usr/bin/env python
"""Entry point of every command: `python manage.py help`."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "govio_portal.settings")
    if sys.argv[1:2] == ["serve"]:
        # What settings read when they are imported must exist by then: secrets, and the address of IO.
        from govio_portal import embedded

        embedded.prepare(os.environ)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
