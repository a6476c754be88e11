"""How the programs of a stack are: the table of `status`, the end of their logs, and what comes after it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil
from rich.table import Table

from stack.processes.programs import Program
from stack.processes.supervisor import UP, ProcessInfo
from stack.shell import tail


@dataclass(frozen=True)
class ProgramStatus:
    """A program now. `state` is `ready`, `not ready`, or supervisord's word for one that does not run.

    `uptime_seconds` and `memory_bytes` (of the process and all that it started) are 0 where it does not run.
    """

    name: str
    state: str
    pid: int
    uptime_seconds: float
    memory_bytes: int
    address: str
    description: str

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


def inspect(programs: Iterable[Program], processes: Mapping[str, ProcessInfo]) -> tuple[ProgramStatus, ...]:
    """Probe every program at once."""
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda program: _inspect(program, processes.get(program.name)), programs))


def render(statuses: Iterable[ProgramStatus]) -> Table:
    """The table that `status` prints."""
    table = Table("program", "state", "pid", "up for", "memory", box=None, pad_edge=False)
    table.add_column("address", overflow="fold")
    for status in statuses:
        style = "green" if status.is_ready else "red"
        table.add_row(
            status.name,
            f"[{style}]{status.state}[/]",
            str(status.pid or ""),
            duration(status.uptime_seconds) if status.pid else "",
            f"{status.memory_bytes / 2**20:.0f} MB" if status.pid else "",
            status.address,
        )
    return table


def duration(seconds: float) -> str:
    """Two units at most: `12 s`, `3 min 4 s`, `2 h 5 min`, `3 d 4 h`."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _inspect(program: Program, info: ProcessInfo | None) -> ProgramStatus:
    if info is None or info.state not in UP:
        state, description = (info.state.lower(), info.description) if info else ("stopped", "")
        return ProgramStatus(program.name, state, 0, 0.0, 0, program.address, description)
    state = "ready" if program.ready is None or program.ready() else "not ready"
    up_for = max(0.0, time.time() - info.since)
    return ProgramStatus(
        program.name, state, info.pid, up_for, _memory(info.pid), program.address, info.description
    )


def _memory(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_full_info().pss  # memory that several share counts once
    return total


Write = Callable[[str, str], None]


def show(logs: Mapping[str, Path], lines: int, write: Write) -> None:
    """Write the last `lines` lines of each log, by `write(program, line)`."""
    for name, path in logs.items():
        if path.exists():
            for line in tail(path, lines) if lines else ():
                write(name, line)


def follow(logs: Mapping[str, Path], write: Write, poll_seconds: float = 0.25) -> Iterator[None]:
    """Write what is added to each log, also after it was rotated; yields after each look, for ever."""
    followers = [Follower(name, path) for name, path in logs.items()]
    try:
        while True:
            for follower in followers:
                for line in follower.read():
                    write(follower.name, line)
            yield
            time.sleep(poll_seconds)
    finally:
        for follower in followers:
            follower.close()


@dataclass
class Follower:
    """Reads a growing file from where it ends now."""

    name: str
    path: Path
    _file: BinaryIO | None = None
    _rest: bytes = b""

    def __post_init__(self) -> None:
        if self.path.exists():
            self._file = self.path.open("rb")
            self._file.seek(0, 2)

    def read(self) -> Sequence[str]:
        """The whole lines that came since the last call."""
        found = self._rest + (self._file.read() if self._file else b"")
        if self._was_replaced():
            found += self._reopen()
        *whole, self._rest = found.split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def close(self) -> None:
        """Give the file up."""
        if self._file:
            self._file.close()
            self._file = None

    def _was_replaced(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        return now.st_size < self._file.tell() or now.st_ino != os.fstat(self._file.fileno()).st_ino

    def _reopen(self) -> bytes:
        self.close()
        self._file = self.path.open("rb")
        return self._file.read()
