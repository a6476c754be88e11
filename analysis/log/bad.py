"""Lines of a log that say nothing usable: how many, and where the first of them are."""

from dataclasses import dataclass
from typing import NamedTuple


class BadLine(NamedTuple):
    """A line that was left out."""

    file: str
    line: int
    """From 1; 0 where a whole file cannot be read."""
    why: str


@dataclass(frozen=True)
class BadLines:
    """What was left out of a log.

    Attributes:
        count: number of lines.
        first: the first few of them, by file and line.
    """

    count: int = 0
    first: tuple[BadLine, ...] = ()
