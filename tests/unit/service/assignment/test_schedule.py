"""Jobs of the Unleash SDK, by the monotonic clock."""

import threading
from typing import NamedTuple

import pytest
from apscheduler.schedulers.base import STATE_RUNNING

from service.assignment.schedule import EXECUTOR, MonotonicScheduler
from tests.unit.waiting import never


class Every(NamedTuple):
    interval_length: float


def wait_for(event: threading.Event) -> None:
    assert event.wait(10), "it was not done"


def test_a_job_that_fails_or_hangs_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    done, release, twice = threading.Event(), threading.Event(), threading.Event()
    failed = []

    def fail() -> None:
        failed.append(1)
        if len(failed) == 2:
            twice.set()
        raise ValueError("a bug")

    scheduler = MonotonicScheduler(done.set)
    scheduler.add_job(release.wait, Every(0.01), EXECUTOR, {"timeout": 10})
    scheduler.add_job(fail, Every(0.01), EXECUTOR, None)
    assert not failed
    scheduler.start()
    wait_for(twice)
    assert not done.is_set()
    assert "ValueError('a bug')" in caplog.text
    release.set()
    wait_for(done)
    scheduler.remove_all_jobs()
    scheduler.shutdown(wait=True)
    assert not [each for each in threading.enumerate() if each.name == "unleash-job"]


def test_a_job_may_be_added_and_removed_while_others_run() -> None:
    scheduler, done = MonotonicScheduler(lambda: None), threading.Event()
    scheduler.start()
    assert scheduler.state == STATE_RUNNING
    job = scheduler.add_job(done.set, Every(0.01), EXECUTOR, None)
    wait_for(done)
    job.remove()
    job.join()
    done.clear()
    never(done.is_set)
    scheduler.shutdown(wait=True)
