"""Who holds a lane: one slice of one process. Its name tells the process, so that a process knows its own."""

import os
import secrets
import uuid

_BITS = 64
# Process id -> its name: a child of a forking worker is another process than the one that imported this.
_names: dict[int, int] = {}


def new_holder() -> uuid.UUID:
    """For one slice of this process."""
    return uuid.UUID(int=_name() << _BITS | secrets.randbits(_BITS))


def process_of(holder: uuid.UUID) -> uuid.UUID:
    """The process that a holder belongs to: the same for all its slices."""
    return uuid.UUID(int=holder.int >> _BITS << _BITS)


def this_process() -> uuid.UUID:
    return uuid.UUID(int=_name() << _BITS)


def _name() -> int:
    return _names.setdefault(os.getpid(), secrets.randbits(_BITS))
