"""Lines of a log that say nothing usable: how many, and where the first of them are."""

from dataclasses import dataclass
from typing import NamedTuple


class BadLine(NamedTuple):
    """A line that was left out, or a whole file."""

    file: str
    line: int
    """From 1; 0 where a whole file cannot be read, or nobody knows."""
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}" if self.line else f"{self.file}: {self.why}"


@dataclass(frozen=True)
class BadLines:
    """What was left out of a log.

    Attributes:
        count: number of lines.
        first: the first few of them, by file and line, after the files that were left out whole.
        files: number of files that were left out whole.
    """

    count: int = 0
    first: tuple[BadLine, ...] = ()
    files: int = 0

    def __str__(self) -> str:
        if not self:
            return "no bad lines"
        said = [f"{self.count:,} bad lines"] if self.count else []
        said += [f"{self.files:,} unreadable files"] if self.files else []
        return " and ".join(said) + " were left out, such as " + "; ".join(str(line) for line in self.first)

    def __bool__(self) -> bool:
        return bool(self.count or self.files)
