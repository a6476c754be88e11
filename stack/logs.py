"""Shows the logs of programs: the end of each, and what comes after it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stack.shell import tail

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
