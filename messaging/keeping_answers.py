"""Answers of IO exist nowhere else until they are written down: kept in memory, tried again, and at worst one by one."""

import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime

from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError, connection
from django.db import Error as DatabaseFailed

from messaging.answers import Answer, ProfileAnswer, SendAnswer
from messaging.recording import record_profiles, record_sends

log = logging.getLogger(__name__)

# Answers are recorded from memory for this long while the database is away; then the sweep shows the doubt.
RECORD_FOR_SECONDS = 600.0
# Faults of one row or of ours: trying again would not help. Any other means that the database is away.
FAULT_OF_A_ROW = (DataError, IntegrityError, ProgrammingError, NotSupportedError)


def keep(answers: Collection[Answer], *, until: float | None = None) -> Exception | None:
    """Write these answers down, trying again while the database is away; what stopped it in the end, if anything did."""
    profiles = [answer for answer in answers if isinstance(answer, ProfileAnswer)]
    sends = [answer for answer in answers if isinstance(answer, SendAnswer)]
    patience = until or time.monotonic() + RECORD_FOR_SECONDS
    pause = 0.1
    while True:
        try:
            if profiles:
                record_profiles(profiles, at=datetime.now(UTC))
                profiles = []
            if sends:
                record_sends(sends, at=datetime.now(UTC))
            return None
        except Exception as error:  # noqa: BLE001  (an answer of IO must not be lost by a fault of ours either)
            connection.close()
            if isinstance(error, FAULT_OF_A_ROW) or not isinstance(error, DatabaseFailed):
                # Something is wrong with one of them, not with the database: the others must not suffer.
                return _keep_singly([*profiles, *sends], error, until=patience)
            if time.monotonic() > patience:
                log.error("%d answers of IO could not be recorded: the sweep will show them in doubt", len(sends))
                return error
            log.warning("the database failed while recording (%s): trying again", type(error).__name__)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)


def _keep_singly(answers: Collection[Answer], error: Exception, *, until: float) -> Exception | None:
    """The fault is of one of them: found by trying each alone, with the same patience for a database that is away."""
    if len(answers) == 1:
        for answer in answers:
            # The sweep shows this one in doubt; the others are recorded.
            log.error("message %s: its answer could not be recorded: %s", answer.message, type(error).__name__)
        return None
    log.error("%s while recording: trying one by one", type(error).__name__)
    failed = [keep([answer], until=until) for answer in answers]
    return next((each for each in failed if each is not None), None)
