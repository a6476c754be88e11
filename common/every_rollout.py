"""Every rollout of the folder at once, each in a thread of its own, for as long as the process lives.

A slow query, an error of Unleash or a bug in one holds up no other, and their runs are spread over the
period. Files are picked up, changed and dropped while it runs. One that does not fit stops only its own:
where its rollout is at work already, it goes on by what the file said before.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Final, Generic, NoReturn, Protocol, TypeVar
from zlib import crc32

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.registry import Collector

from common.config import ConfigError
from common.metrics_port import serve
from common.schedule import seconds_to_next

FOLLOW_SECONDS: Final = 5.0
FINISH_SECONDS: Final = 30.0  # that what must not be disturbed may take at the end

T = TypeVar("T")

_log = logging.getLogger(__name__)


class LabelledRegistry(CollectorRegistry):
    """A registry whose series all say whose they are: several jobs may be on one Prometheus."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._labels = dict(labels)

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [
                sample._replace(labels={**self._labels, **sample.labels}) for sample in metric.samples
            ]
            yield metric


def broken_gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """Which files do not fit, by the rollout's name."""
    told = "1 where a rollout's file does not fit: nothing is done for it, or what the file said before."
    return Gauge(name, told, ["rollout"], registry=registry)


class Work(Protocol):
    """What is done for one rollout."""

    @property
    def registry(self) -> CollectorRegistry | None:
        """What it tells Prometheus."""

    def run(self) -> object:
        """Once. What it raises is logged, and the next time comes all the same."""

    def close(self) -> None:
        """It is not done any more: see through what is under way."""


class Undisturbed:
    """What must not be cut off, as a rollback that is under way: the end of the process waits for it."""

    def __init__(self) -> None:
        self._busy = 0
        self._changed = Condition()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off the end until the block is done."""
        with self._changed:
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Until none is under way; tells whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)


@dataclass
class _Rollout(Generic[T]):
    """One, and its thread."""

    name: str
    said: T
    work: Work
    period: float
    thread: Thread | None = None
    ended: Event = field(default_factory=Event)

    def start(self) -> None:
        """Begin, also again after a thread that died."""
        self.thread = Thread(target=self._repeat, name=f"rollout {self.name}", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.ended.set()
        self.work.close()

    def _repeat(self) -> None:
        start = phase(self.name) * self.period
        while not self.ended.is_set():
            try:
                self.work.run()
            except Exception as error:
                told = {"rollout": self.name, "error": f"{type(error).__name__}: {error}"}
                _log.exception("the pass failed", extra=told)
            self.ended.wait(seconds_to_next(time.monotonic() - start, self.period))


class EveryRollout(Collector, Generic[T]):
    """All of them, and what they tell Prometheus as one."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, T | ConfigError]],
        begin: Callable[[str, T], Work],
        every: timedelta,
        *,
        stamp: Callable[[], object],
        broken: str,
    ) -> None:
        """Nothing is read yet.

        Args:
            read: the rollouts, by what their files say, or what is wrong with one. Raises ConfigError.
            begin: makes the work of one; raises ConfigError.
            every: from one run to the next, of each.
            stamp: differs once a file has changed, so that it is read again.
            broken: name of the metric that is 1 where a file does not fit.
        """
        self._read, self._begin, self._every = read, begin, every
        self._stamp, self._seen = stamp, object()
        self._rollouts: dict[str, _Rollout[T]] = {}
        self._faults: dict[str, str] = {}
        self._own = CollectorRegistry()
        self._broken = broken_gauge(broken, self._own)

    def follow(self) -> NoReturn:
        """Do the work of what the folder holds, for ever."""
        while True:
            try:
                self.look()
            except Exception as error:  # also of the folder: what is at work goes on
                _log.exception("the rollouts were not read", extra={"error": str(error)})
            time.sleep(FOLLOW_SECONDS)

    def look(self) -> None:
        """Begin, change and end by the files as they are now. Raises ConfigError: of the folder."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._take(self._read())
            self._seen = stamp
        for one in self._rollouts.values():
            if one.thread is None or not one.thread.is_alive():
                one.start()

    def serve(self, bind: str) -> None:
        """Tell Prometheus at this address and port."""
        registry = CollectorRegistry()
        registry.register(self)
        serve(bind, registry)

    def close(self) -> None:
        """End all of them."""
        for one in self._rollouts.values():
            one.ended.set()
        for one in self._rollouts.values():
            one.close()

    def collect(self) -> Iterator[Metric]:
        """The metrics of all rollouts, each family once."""
        families: dict[str, Metric] = {}
        theirs = [one.work.registry for one in [*self._rollouts.values()]]
        for registry in (self._own, *filter(None, theirs)):
            for metric in registry.collect():
                known = families.setdefault(metric.name, metric)
                if known is not metric:
                    known.samples += metric.samples
        yield from families.values()

    def _take(self, found: Mapping[str, T | ConfigError]) -> None:
        for name in set(self._rollouts) - set(found):
            _log.warning("the rollout has ended: its file is gone", extra={"rollout": name})
            self._rollouts.pop(name).close()
        for name in set(self._faults) - set(found):
            del self._faults[name]
        self._broken.clear()
        for name, said in found.items():
            fault = str(said) if isinstance(said, ConfigError) else self._change(name, said)
            self._broken.labels(name).set(int(fault is not None))
            if fault and self._faults.get(name) != fault:
                so = "it goes by what it said before" if name in self._rollouts else "nothing is done for it"
                told = {"rollout": name, "error": fault, "so": so}
                _log.error("a rollout's file does not fit", extra=told)
            if fault:
                self._faults[name] = fault
            else:
                self._faults.pop(name, None)

    def _change(self, name: str, said: T) -> str | None:
        """Begin a rollout, or begin it anew where its file says something else; why that cannot be."""
        before = self._rollouts.get(name)
        if before and before.said == said:
            return None
        try:
            work = self._begin(name, said)
        except ConfigError as error:
            return str(error)
        self._rollouts[name] = _Rollout(name, said, work, self._every.total_seconds())
        if before:
            before.close()
        return None


def phase(name: str) -> float:
    """When in each period a rollout's runs begin, from 0 to 1: a hundred at one moment would wait in line.

    The first run is at once all the same.
    """
    return crc32(name.encode()) / 2**32


def stamp_of(folder: Path) -> Callable[[], object]:
    """Tells by names, sizes and times whether a file of the folder's rollouts has changed."""

    def stamp() -> object:
        return sorted(_stamps(folder, 2))

    return stamp


def _stamps(folder: str | Path, depth: int) -> Iterator[tuple[str, int, int, int]]:
    """Of what lies so many folders deep. What cannot be read has none."""
    with suppress(OSError), os.scandir(folder) as found:
        for one in found:
            if depth > 1:
                yield from _stamps(one.path, depth - 1)
                continue
            with suppress(OSError):
                stat = one.stat()
                yield one.path, stat.st_mtime_ns, stat.st_size, stat.st_ino
