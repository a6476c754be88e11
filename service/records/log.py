"""Takes records from requests and writes them in the background: bounded, and never at a request's expense.

A record becomes a line where it is made (a microsecond), waits in memory, and is appended to a file by one
thread at each flush. What does not fit into memory, because the disk is slow or full, is dropped and counted.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from common.schedule import keep_running

SCHEMA = 1
CLOSE_SECONDS = 4.0

log = logging.getLogger(__name__)


class RecordLog(Protocol):
    """Where records go."""

    def record(self, record: dict[str, Any]) -> None:
        """Log `record`, which has at least a `kind`. Never raises, never waits."""

    def close(self) -> None:
        """Write what waits, in bounded time. Records that come later are dropped."""


class Sink(Protocol):
    """What lines are written to; see service.records.files.LogFiles."""

    fault: OSError | None

    def write(self, lines: Sequence[bytes]) -> int: ...

    def close(self) -> None: ...


class Limits(NamedTuple):
    """How much may wait in memory, that being written included."""

    records: int
    bytes: int


class _Line(NamedTuple):
    kind: str
    text: bytes


class NoLog:
    """The log that is off."""

    def record(self, record: dict[str, Any]) -> None:
        """Forget `record`."""

    def close(self) -> None:
        """Nothing waits."""


class PredictionLog:
    """A log with one writer thread. Make it after the fork of a worker; threads may share it.

    Args:
        sink: where lines go.
        limits: how much may wait.
        flush_seconds: how often lines are written; a process that is killed loses no more than this.
        on_written: called by the writer with a kind and how many of its records were written.
        on_dropped: called with the reason and how many records were dropped: `full` (the disk is slower than
            the records come), `disk` (it fails), `invalid` (no JSON), `closed`.
    """

    def __init__(
        self,
        sink: Sink,
        limits: Limits,
        flush_seconds: float = 1.0,
        on_written: Callable[[str, int], None] = lambda _kind, _count: None,
        on_dropped: Callable[[str, int], None] = lambda _reason, _count: None,
    ) -> None:
        self._sink, self._limits, self._flush_seconds = sink, limits, flush_seconds
        self._on_written, self._on_dropped = on_written, on_dropped
        self._lock = threading.Lock()  # held for moments only, never while the disk works
        self._waiting: list[_Line] = []
        self._taken: list[_Line] = []  # the writer's own
        self._count = self._bytes = 0  # of both
        self._closed = self._failing = False
        self._wake = threading.Event()
        self._writer = keep_running(
            "prediction-log", self._write, again_after=flush_seconds, until=lambda: self._closed
        )

    def record(self, record: dict[str, Any]) -> None:
        """Log `record`, adding `schema` and, where it has none, `time`. Never raises, never waits."""
        try:
            if "time" not in record:
                record = {"time": stamp(time.time()), **record}
            text = orjson.dumps({"schema": SCHEMA, **record}, option=orjson.OPT_APPEND_NEWLINE)
            line = _Line(str(record["kind"]), text)
        except (TypeError, KeyError):  # orjson's own error is a TypeError
            self._on_dropped("invalid", 1)
            return
        size = len(text)
        with self._lock:
            refused = self._reason_to_refuse(size)
            if refused is None:
                self._waiting.append(line)
                self._count += 1
                self._bytes += size
            is_filling = 2 * self._bytes >= self._limits.bytes or 2 * self._count >= self._limits.records
        if refused is not None:
            self._on_dropped(refused, 1)
        elif is_filling and not self._failing and not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits. What a disk does not take within `seconds` is dropped and counted."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._writer.join(seconds)
        with self._lock:
            left, self._count = self._count, 0
        if left:
            self._on_dropped("disk" if self._failing else "full", left)
            log.warning("records of the prediction log were lost at the end", extra={"records": left})

    def _reason_to_refuse(self, size: int) -> str | None:
        if self._closed:
            return "closed"
        if self._count >= self._limits.records or self._bytes + size > self._limits.bytes:
            return "disk" if self._failing else "full"
        return None

    def _write(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            is_last = self._closed  # read before the flush: what is accepted before it is set, is flushed
            try:
                self._flush()
            except Exception:  # a bug must not end the log
                log.exception("the prediction log fails")
                self._forget(len(self._taken))
        self._sink.close()

    def _flush(self) -> None:
        with self._lock:
            self._taken += self._waiting
            self._waiting = []
        if not self._taken:
            return
        written = self._sink.write([line.text for line in self._taken])
        self._tell(self._sink.fault)
        for kind, count in Counter(line.kind for line in self._taken[:written]).items():
            self._on_written(kind, count)
        self._release(written)

    def _release(self, count: int) -> None:
        """Make room for as many new records as have left the front of the writer's own."""
        size = sum(len(line.text) for line in self._taken[:count])
        del self._taken[:count]
        with self._lock:
            self._count -= count
            self._bytes -= size

    def _forget(self, count: int) -> None:
        self._release(count)
        self._on_dropped("disk", count)

    def _tell(self, fault: OSError | None) -> None:
        if fault and not self._failing:
            log.warning("the prediction log cannot be written, keeping what fits into memory: %s", fault)
        elif self._failing and not fault:
            log.info("the prediction log is written again")
        self._failing = fault is not None


_kept = (0, "")  # one name, so that threads never see the second of one and the text of another


def stamp(moment: float) -> str:
    """Unix time as ISO 8601 in UTC with milliseconds; the part to the second is kept, for it costs most."""
    global _kept  # noqa: PLW0603
    second, text = _kept
    if second != int(moment):
        second = int(moment)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _kept = (second, text)
    return f"{text}.{int((moment - second) * 1000):03d}Z"
