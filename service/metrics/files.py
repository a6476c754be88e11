"""The files that a worker counts in, such that a full disk costs counts for a while, and no worker.

prometheus_client maps files that it has made longer without writing to them. Where the disk is full, which
/dev/shm may be too, the first count into such a page ends the process (SIGBUS), and the next worker likewise.
Here room is reserved before it is used. Where there is none, a worker counts in memory of its own, which
nobody scrapes, and moves in when there is room again. Values are sums, so nothing is lost then.
"""

import logging
import mmap
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from prometheus_client import values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import Collector

from common.names import Metric
from service.metrics.merge import UNCOUNTED

log = logging.getLogger(__name__)

FIRST_BYTES = 1 << 16  # of a new file, as in prometheus_client
RETRY_SECONDS = 1.0


def reserve_room() -> None:
    """Let prometheus_client count in files of this kind; to be called in a worker, after the fork."""
    values.MmapedDict = CountFile  # type: ignore[attr-defined] # it offers no other way


class CountFile(MmapedDict):
    """A file that has the room that it says. Whoever calls holds prometheus_client's one lock."""

    _outside: ClassVar[list["CountFile"]] = []  # those of this process that count in memory
    _retry_at: ClassVar[float] = 0.0

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._place = Path(filename)
        try:
            self._reserve(FIRST_BYTES)
        except OSError as error:
            memory = self._move_out(error)
            super().__init__(f"/proc/self/fd/{memory}")  # type: ignore[no-untyped-call]
            os.close(memory)
        else:
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """As MmapedDict has it."""
        if CountFile._outside and time.monotonic() >= CountFile._retry_at:
            self._move_all_in()
        super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        most = self._used + len(key.encode()) + 28  # length, padding, value and time
        if most > self._capacity and self not in CountFile._outside:
            try:
                os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
            except OSError as error:
                memory = self._move_out(error)
                self._go_on_in(f"/proc/self/fd/{memory}")
                os.close(memory)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _reserve(self, size: int) -> None:
        """Give the file `size` bytes at least. It comes into being with them, or not at all."""
        if self._place.exists():
            with self._place.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            return
        new = self._place.with_suffix(".new")
        try:
            with new.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            new.replace(self._place)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def _move_out(self, error: OSError) -> int:
        """Count in memory from now on; the descriptor of it."""
        if not CountFile._outside:
            log.error("there is no room to count in, so what is counted is not seen: %s", error)
        CountFile._outside.append(self)
        CountFile._retry_at = time.monotonic() + RETRY_SECONDS
        with suppress(OSError):
            self._mark.touch()
        return os.memfd_create(self._place.name)

    @property
    def _mark(self) -> Path:
        return self._place.with_name(f"{UNCOUNTED}{self._place.stem}")  # ends with the worker's number

    @staticmethod
    def _move_all_in() -> None:
        CountFile._retry_at = time.monotonic() + RETRY_SECONDS
        for each in [*CountFile._outside]:
            try:
                each._reserve(each._capacity)
                each._go_on_in(str(each._place))
            except OSError:
                return
            CountFile._outside.remove(each)
            each._mark.unlink(missing_ok=True)
        log.warning("there is room to count in again, and all is seen")

    def _go_on_in(self, filename: str) -> None:
        file = Path(filename).open("r+b")  # noqa: SIM115 - closed with the object, as MmapedDict has it
        if os.fstat(file.fileno()).st_size < self._capacity:
            file.truncate(self._capacity)
        memory = mmap.mmap(file.fileno(), self._capacity)
        memory[8 : self._used] = self._m[8 : self._used]
        memory[:8] = self._m[:8]  # how much there is to read comes last
        self._m.close()
        self._f.close()
        self._f, self._m = file, memory


class UncountedWorkers(Collector):
    """Tells at each scrape how many workers count where nobody sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One gauge."""
        workers = {file.name.rpartition("_")[2] for file in self._folder.glob(f"{UNCOUNTED}*")}
        yield GaugeMetricFamily(
            Metric.UNCOUNTED_WORKERS,
            "Workers that have no room to count in: what they do is not seen in the other metrics.",
            len(workers),
        )
