"""When the Unleash SDK polls: by the monotonic clock, which nobody sets.

The SDK's own scheduler waits until a time of the wall clock. Where that is set back by an hour, it does not
poll for an hour, and a flag that is turned off goes on as it was.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apscheduler.schedulers.base import STATE_RUNNING, STATE_STOPPED

from common.schedule import seconds_to_next

log = logging.getLogger(__name__)

EXECUTOR = "threads"  # the SDK wants a name beside a scheduler that is not its own
END_SECONDS = 5.0  # for a job that is at its work when the SDK is ended


class Interval(Protocol):
    """What is read of APScheduler's IntervalTrigger."""

    @property
    def interval_length(self) -> float: ...


class Job:
    """Work that is done every `seconds`, in a thread of its own; what it raises is logged."""

    def __init__(
        self, work: Callable[..., Any], kwargs: Mapping[str, Any], seconds: float, after: Callable[[], None]
    ) -> None:
        self._work, self._kwargs, self._seconds, self._after = work, kwargs, seconds, after
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unleash-job", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def remove(self) -> None:
        """Do it no more; where it is being done, it is done to the end."""
        self._ended.set()

    def join(self) -> None:
        """Wait until it has ended, but not for long."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)

    def _run(self) -> None:
        start = time.monotonic()
        while not self._ended.wait(seconds_to_next(time.monotonic() - start, self._seconds)):
            try:
                self._work(**self._kwargs)
                self._after()
            except Exception as error:
                log.error("a job of the Unleash SDK failed, and is tried again: %r", error)


class MonotonicScheduler:
    """What UnleashClient uses of an APScheduler. `after` is called when a job is done, in its thread."""

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after
        self._jobs: list[Job] = []
        self.state = STATE_STOPPED

    def add_job(
        self,
        func: Callable[..., Any],
        trigger: Interval,
        executor: str,  # noqa: ARG002 - each job has a thread
        kwargs: Mapping[str, Any] | None,
    ) -> Job:
        job = Job(func, kwargs or {}, trigger.interval_length, self._after)
        self._jobs.append(job)
        if self.state == STATE_RUNNING:
            job.start()
        return job

    def start(self) -> None:
        self.state = STATE_RUNNING
        for job in self._jobs:
            job.start()

    def remove_all_jobs(self) -> None:
        for job in self._jobs:
            job.remove()

    def shutdown(self, wait: bool) -> None:
        self.state = STATE_STOPPED
        if wait:
            for job in self._jobs:
                job.join()
