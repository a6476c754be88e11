"""Takes records from requests and writes them in the background: bounded, and never at a request's expense.

A record becomes a line where it is made (a microsecond), waits in memory, and is appended to a file by one
thread at each flush. What does not fit into memory, because the disk is slow or full, is dropped and counted.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from common.schedule import keep_running
from service.metrics.service import ServiceMetrics
from service.prediction_log.files import LogFiles
from service.settings import Settings

SCHEMA = 1
CLOSE_SECONDS = 4.0
MEBIBYTE = 1024 * 1024
REMEMBERED_USERS = 4096

UserKey = Callable[[str], str | None]

log = logging.getLogger(__name__)


class RecordLog(Protocol):
    """Where records go.

    Attributes:
        is_on: whether records are kept; where they are not, nobody need make any.
    """

    is_on: bool

    def user_key(self, user_id: str, /) -> str | None:
        """What a record says of `user_id`."""

    def record(self, record: dict[str, Any]) -> None:
        """Log `record`, which has at least a `kind`. Never raises, never waits."""

    def close(self) -> None:
        """Write what waits, in bounded time. Records that come later are dropped."""


class Sink(Protocol):
    """What lines are written to; see service.prediction_log.files.LogFiles."""

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

    is_on = False

    def user_key(self, _user_id: str, /) -> str | None:
        """Nothing is said of anybody."""

    def record(self, record: dict[str, Any]) -> None:
        """Forget `record`."""

    def close(self) -> None:
        """Nothing waits."""


class PredictionLog:
    """A log with one writer thread. Make it after the fork of a worker; threads may share it.

    Args:
        sink: where lines go.
        limits: how much may wait.
        user_key: what records say of a user's id.
        flush_seconds: how often lines are written; a process that is killed loses no more than this.
        on_written: called by the writer with a kind and how many of its records were written.
        on_dropped: called with the reason and how many records were dropped: `full` (the disk is slower than
            the records come), `disk` (it fails), `invalid` (no JSON), `closed`.
    """

    is_on = True

    def __init__(  # noqa: PLR0913, PLR0917 - those with defaults are for tests to leave out
        self,
        sink: Sink,
        limits: Limits,
        flush_seconds: float = 1.0,
        on_written: Callable[[str, int], None] = lambda _kind, _count: None,
        on_dropped: Callable[[str, int], None] = lambda _reason, _count: None,
        user_key: UserKey = lambda _: None,
    ) -> None:
        self._sink, self._limits, self._flush_seconds = sink, limits, flush_seconds
        self.user_key = user_key
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
        self._report(self._sink.fault)
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

    def _report(self, fault: OSError | None) -> None:
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


def open_log(settings: Settings, secret: bytes, metrics: ServiceMetrics) -> RecordLog:
    """The log, or one that forgets. Call it after the fork of a worker.

    Args:
        secret: of the hashes of users.
    """
    if not settings.log_predictions:
        return NoLog()
    folder = settings.log_dir or settings.state_dir / "log"
    return PredictionLog(
        LogFiles(folder, settings.log_file_mb * MEBIBYTE, settings.log_files),
        Limits(settings.log_queue_records, settings.log_queue_mb * MEBIBYTE),
        settings.log_flush_seconds,
        on_written=lambda kind, count: metrics.log_records.labels(kind).inc(count),
        on_dropped=lambda reason, count: metrics.log_drops.labels(reason).inc(count),
        user_key=user_keys(settings.log_users, secret),
    )


def user_keys(mode: Literal["hashed", "plain", "off"], salt: bytes) -> UserKey:
    """What records say of a user: a keyed hash, the id as it is, or nothing."""
    if mode == "hashed":
        # A request is recorded twice where it is shadowed, and some users come all the time.
        return lru_cache(maxsize=REMEMBERED_USERS)(partial(user_key, salt=salt))
    return str if mode == "plain" else lambda _: None


def user_key(user_id: str, salt: bytes) -> str:
    """A hash of `user_id`, 32 hexadecimal digits: the same for the same salt, not to be guessed without it.

    Args:
        salt: a secret of at most 64 bytes. It must be one: ids are few, and whoever has it can try them all.
    """
    return blake2b(user_id.encode(), key=salt, digest_size=16, person=b"canario-user").hexdigest()
