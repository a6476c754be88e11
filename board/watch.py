"""Sources that are read in the background while somebody looks, however many they are, and never otherwise.

A page never waits for a source, but for the first reading: it gets the last one, with its age and what went
wrong since. So a hundred open pages ask Unleash and Prometheus as often as one does.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from common.errors import CanarioError

LOOKED_AT_SECONDS = 30.0  # after which nobody is thought to look any more
LATE_SECONDS = 10.0  # after which an answer that is still to come counts as none
FIRST_SECONDS = 4.0  # that a page waits for a reading that is not too old

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
        """The value, unless it is older than that."""
        return self.value if self.at and (now - self.at).total_seconds() <= seconds else None


class Source(Generic[T]):
    """One thing that is read every so often by a thread of its own."""

    def __init__(self, name: str, read: Callable[[], T], *, every: float) -> None:
        """`read` raises CanarioError for what can be foreseen; `every` in seconds."""
        self.name = name
        self._read = read
        self._every = every
        self._reading: Reading[T] = Reading()
        self._tried = 0.0
        self._asked: float | None = None  # since when an answer is waited for
        self._looked = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def latest(self, *, wait: float = FIRST_SECONDS) -> Reading[T]:
        """What is known now. Waits `wait` seconds at most, and only where nobody has looked for a while."""
        with self._changed:
            began = self._looked = time.monotonic()
            self._ensure_thread()
            self._changed.notify_all()
            if began - self._tried > LOOKED_AT_SECONDS or not self._tried:
                self._changed.wait_for(lambda: self._tried >= began, wait)
            late = time.monotonic() - self._asked if self._asked else 0.0
            if late > LATE_SECONDS:
                return replace(self._reading, fault=f"it has not answered for {late:.0f} s")
            return self._reading

    def peek(self) -> Reading[T]:
        """What is known, for other sources: nobody waits, and nothing is read for it."""
        return self._reading

    def _ensure_thread(self) -> None:
        if self._thread is None:  # not in the constructor: a thread does not outlive a fork
            self._thread = threading.Thread(target=self._run, name=f"read {self.name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: time.monotonic() - self._looked < LOOKED_AT_SECONDS)
            began = self._asked = time.monotonic()
            found = self._attempt()
            with self._changed:
                self._reading, self._tried, self._asked = found, time.monotonic(), None
                self._changed.notify_all()
            time.sleep(max(0.1, self._every - (time.monotonic() - began)))

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
