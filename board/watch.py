"""Sources that are read when somebody looks, however many they are, and never otherwise.

A page waits a moment for a source, not for as long as that takes: it gets the last reading, with its age and
what went wrong since. So a hundred open pages ask Unleash and Prometheus hardly more often than one does.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from common.errors import CanarioError

MOMENT_SECONDS = 1.0  # that a page waits for a reading
FIRST_SECONDS = 4.0  # that it waits where nothing is known, or only what is old
OLD_SECONDS = 30.0
LATE_SECONDS = 5.0  # after which an answer that is still to come counts as none
NEVER = float("-inf")

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What is known of one source.

    Attributes:
        value: the last that could be read; None before the first.
        at: when that was.
        fault: why the last attempt failed, in a sentence; None where it did not.
    """

    value: T | None = None
    at: datetime | None = None
    fault: str | None = None

    def fresh(self, now: datetime, seconds: float) -> T | None:
        """The value, unless it is older than that, or from a time to come: then the clock was set back."""
        return self.value if self.at and abs((now - self.at).total_seconds()) <= seconds else None


class Source(Generic[T]):
    """One thing that a thread of its own reads when somebody looks, and not more often than it may."""

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        *,
        every: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`read` raises CanarioError for what can be foreseen; `every`: seconds from one to the next."""
        self.name = name
        self._read = read
        self._every = every
        self._clock, self._sleep = clock, sleep
        self._reading: Reading[T] = Reading()
        # By the monotonic clock: the last look, and the beginning and end of the last reading.
        self._looked = self._began = self._ended = NEVER
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def look(self) -> None:
        """Begin to read, unless what is known is young enough. Does not wait."""
        with self._changed:
            self._looked = self._clock()
            if self._thread is None or not self._thread.is_alive():
                self._start()  # not in the constructor: a thread does not outlive a fork
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody looks any more: its thread ends, now or after what it is reading."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def known(self, seconds: float) -> Reading[T] | None:
        """What was read, without waiting, where that is no longer ago than so many seconds."""
        with self._changed:
            return self._reading if self._clock() - self._ended <= seconds else None

    def latest(self, most: float = FIRST_SECONDS) -> Reading[T]:
        """What is known now; waits a moment for a reading, longer for the first one after a while.

        Args:
            most: seconds that it waits at the longest.
        """
        if self._clock() - self._looked > self._every:  # or `look` was called for this very answer
            self.look()
        with self._changed:
            now = self._clock()
            if now - self._began > self._every or self._ended < self._began:
                wait = FIRST_SECONDS if now - self._ended > OLD_SECONDS else MOMENT_SECONDS
                self._changed.wait_for(lambda: self._ended > now, min(wait, max(most, 0.0)))
            waits = self._ended < self._began and self._clock() - self._began
            if waits and waits > LATE_SECONDS:
                return replace(self._reading, fault=f"it has not answered for {waits:.0f} s")
            return self._reading

    def _start(self) -> None:
        """Also in place of a thread that died; where none can be had, the next look tries again."""
        thread = threading.Thread(target=self._run, name=f"read {self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _log.error("%s is not read: %s", self.name, error)
            self._reading = replace(self._reading, fault=f"no thread to read it: {error}")
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._looked > self._began)
                if self._closed:
                    return
            self._sleep(max(0.0, self._began + self._every - self._clock()))
            with self._changed:
                self._began = self._clock()
            found = self._attempt()
            with self._changed:
                self._reading, self._ended = found, self._clock()
                self._changed.notify_all()

    def _attempt(self) -> Reading[T]:
        try:
            return Reading(self._read(), datetime.now(UTC))
        except CanarioError as error:
            fault = str(error)
        except Exception as error:  # one source must not take the others with it
            _log.exception("%s could not be read", self.name)
            fault = f"{type(error).__name__}: {error}"
        if self._reading.fault is None:
            _log.warning("%s cannot be read: %s", self.name, fault)
        return replace(self._reading, fault=fault)
