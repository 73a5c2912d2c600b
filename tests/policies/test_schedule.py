"""The table of periodic tasks points at tasks that exist, and no wake-up outlives its use."""

import pytest

from govio_portal.celery import app
from govio_portal.schedule import SCHEDULE


@pytest.mark.parametrize("name", sorted(SCHEDULE))
def test_every_entry_names_a_registered_task(name: str) -> None:
    app.loader.import_default_modules()
    assert SCHEDULE[name]["task"] in app.tasks


@pytest.mark.parametrize("name", sorted(SCHEDULE))
def test_every_wake_up_expires_but_not_before_any_clock_could_be_wrong(name: str) -> None:
    assert 600 <= SCHEDULE[name]["options"]["expires"] <= 3600


def test_beat_uses_this_table_and_no_other() -> None:
    assert app.conf.beat_schedule == SCHEDULE


@pytest.mark.parametrize("name", sorted(SCHEDULE))
def test_no_task_waits_in_the_broker(name: str) -> None:
    """Waiting is a column of ours: a countdown would die with the broker."""
    assert not {"countdown", "eta"} & SCHEDULE[name]["options"].keys()
