"""How the programs of a stack are."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psutil
from rich.table import Table

from stack.programs import Program
from stack.supervisor import UP, ProcessInfo


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
