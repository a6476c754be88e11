"""What an engine that holds a log has to do, and the lines of it that say nothing usable.

in_duckdb, in_spark and in_database have one engine each; nothing else knows which it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError

Wanted = Mapping[str, Sequence[str]]
"""Kind of record -> the columns of its table that are wanted."""


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

    @property
    def counted(self) -> str:
        """2 bad lines and 1 unreadable files were left out."""
        said = [f"{self.count:,} bad lines"] if self.count else []
        said += [f"{self.files:,} unreadable files"] if self.files else []
        return f"{' and '.join(said)} were left out" if said else "no bad lines"

    def __str__(self) -> str:
        return f"{self.counted}, such as {'; '.join(map(str, self.first))}" if self else self.counted

    def __bool__(self) -> bool:
        return bool(self.count or self.files)


class Engine(ABC):
    """An engine that holds a log.

    Attributes:
        files: what is read; `bytes`: their size, where it is known; else 0.
        unusable: files that were left out whole.
    """

    name: str
    backend: BaseBackend
    files: tuple[str, ...]
    bytes: int = 0
    unusable: tuple[BadLine, ...] = ()

    @abstractmethod
    def records(self, wanted: Wanted) -> ir.Table:
        """What is wanted of the records, and what is wrong with them; see analysis.log.records.typed."""

    @abstractmethod
    def keep(self, table: ir.Table) -> ir.Table:
        """`table`, computed once where the engine can keep it."""

    def named(self, table: ir.Table) -> ir.Table:
        """`table` under a name of its own where the engine has views, so that queries of it are short."""
        return table

    @abstractmethod
    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table.

        Raises:
            LogError: the log cannot be read.
        """

    def loaded(self, wanted: Wanted) -> ir.Table:
        """`records`, read once where the engine can keep them; contexts may be text, see columns.contexts."""
        return self.keep(self.records(wanted))

    def write_parquet(self, _path: Path) -> int:
        """Write the good records to a file, whole or not at all; how many they were.

        Raises:
            EngineError: this engine writes no files.
            LogError: the log cannot be read, or the file cannot be written.
        """
        raise EngineError(f"{self.name} writes no Parquet here; DuckDB does")


def brief(error: Exception) -> str:
    """Its first line: further ones quote the statement, and with it all files."""
    return str(error).strip().split("\n", 1)[0]
