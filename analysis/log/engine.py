"""What the rest needs of an engine; the modules in_duckdb, in_spark and in_database are the doors to them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.log.bad import BadLine

KINDS: Final = ("prediction", "shadow", "feedback")
Wanted = Mapping[str, Sequence[str]]
"""Kind of record -> the columns of its table that are wanted."""


class Engine(Protocol):
    """An engine that holds a log."""

    name: str
    backend: BaseBackend
    files: tuple[str, ...]
    bytes: int
    """Size of the files, where it is known; else 0."""

    @property
    def unusable(self) -> tuple[BadLine, ...]:
        """Files that were left out whole."""

    def records(self, wanted: Wanted) -> ir.Table:
        """What is wanted of the records, and what is wrong with them; see analysis.log.records.typed."""

    def loaded(self, wanted: Wanted) -> ir.Table:
        """The same, read once where the engine can keep it; contexts may be text, see columns.contexts."""

    def keep(self, table: ir.Table) -> ir.Table:
        """`table`, computed once where the engine can keep it."""

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table.

        Raises:
            LogError: the log cannot be read.
        """
