"""`open_log`: where a log lies and which engine reads it, to three tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import ibis
from ibis import _
from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError
from analysis.log import places
from analysis.log.columns import KINDS, TABLE_NAMES, TABLES
from analysis.log.engine import BadLine, BadLines, Engine
from analysis.log.records import bad_lines

NAMED: Final = 5
"""Bad lines that are named one by one."""
ALL: Final = ("*",)
"""All columns of a table."""


class Survey(NamedTuple):
    """What a log holds: records by kind, from when to when (UTC, without a zone), and what is bad."""

    records: dict[str, int]
    first: datetime | None
    last: datetime | None
    bad: BadLines


def open_log(location: str, *, engine: str = "duckdb", memory: str = "1GB") -> "Log":
    """The log at `location`, read by `engine`.

    Args:
        location: a folder, a file or a glob of JSON lines (*.jsonl, *.jsonl.gz) or Parquet, here or in an
            object store; for a database the name of the schema that holds the three tables.
        engine: "duckdb", "spark", or the URL of a database as Ibis takes it.
        memory: how much the engine may take, such as 1GB.

    Raises:
        LogError: it cannot be read, or there is nothing in it.
        EngineError: the engine cannot be used.
    """
    opened = _engine(engine, location, memory)
    tables = {
        kind: table_of(opened.records({kind: schema.names}), kind, schema.names)
        for kind, schema in TABLES.items()
    }
    return Log(
        predictions=tables["prediction"],
        shadow=tables["shadow"],
        feedback=once(tables["feedback"]),
        _engine=opened,
        _records=opened.records({kind: tuple(schema.names) for kind, schema in TABLES.items()}),
    )


def _engine(name: str, location: str, memory: str) -> Engine:
    # Each is imported where it is asked for: what Spark needs is not installed for the others.
    if name == "duckdb":
        from analysis.log.in_duckdb import InDuckDB  # noqa: PLC0415

        return InDuckDB(places.find(location), memory)
    if name == "spark":
        from analysis.log.in_spark import InSpark  # noqa: PLC0415

        return InSpark(places.find(location), memory)
    if "://" in name:
        from analysis.log.in_database import InDatabase  # noqa: PLC0415

        return InDatabase(name, location)
    raise EngineError(
        f"{name!r} is no engine: duckdb, spark, or the URL of a database such as clickhouse://host/"
    )


@dataclass(frozen=True)
class Log:
    """A prediction log as tables of an engine; nothing is read before it is asked for.

    The tables are read from the files anew by each query. Where several follow, `loaded` reads once.

    Attributes:
        predictions, shadow, feedback: see analysis.log.columns.
    """

    predictions: ir.Table
    shadow: ir.Table
    feedback: ir.Table
    _engine: Engine = field(repr=False)
    _records: ir.Table = field(repr=False)
    _kinds: tuple[str, ...] = KINDS
    _is_loaded: bool = False

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self._engine.name

    @property
    def backend(self) -> BaseBackend:
        """Connection of the engine."""
        return self._engine.backend

    @property
    def files(self) -> tuple[str, ...]:
        """What is read."""
        return self._engine.files

    @property
    def bytes(self) -> int:
        """Size of the files, where it is known; else 0."""
        return self._engine.bytes

    @cached_property
    def survey(self) -> Survey:
        """What the log holds: of a loaded log what was loaded, else all, for which all is read once."""
        rows = self.rows(counted(self._records))
        good = [row for row in rows if row["fault"] is None]
        counts = dict.fromkeys(self._kinds, 0)
        for row in good:
            counts[row["kind"]] += row["records"]
        return Survey(
            counts,
            min((row["first"] for row in good), default=None),
            max((row["last"] for row in good), default=None),
            self._bad([row for row in rows if row["fault"] is not None]),
        )

    @property
    def bad(self) -> BadLines:
        """Lines that were left out; of a loaded log those of the kinds that were loaded."""
        return self.survey.bad

    def loaded(
        self,
        *,
        predictions: Sequence[str] | None = None,
        shadow: Sequence[str] | None = None,
        feedback: Sequence[str] | None = None,
    ) -> "Log":
        """The same log with these columns of these tables read once, in one go, and kept by the engine.

        A log that has them already is returned as it is.

        Args:
            predictions, shadow, feedback: columns, or ALL; None: the table is not needed, and stays unread.
        """
        asked = dict(zip(KINDS, (predictions, shadow, feedback), strict=True))
        wanted = {
            kind: tuple(TABLES[kind].names) if tuple(names) == ALL else tuple(names)
            for kind, names in asked.items()
            if names is not None
        }
        if self._is_loaded and all(
            kind in self._kinds and set(names) <= set(getattr(self, TABLE_NAMES[kind]).columns)
            for kind, names in wanted.items()
        ):
            return self
        needed = {kind: _needed(kind, names) for kind, names in wanted.items()}
        kept = self._engine.loaded(needed)
        tables = {kind: table_of(kept, kind, names) for kind, names in needed.items()}
        if "feedback" in tables:
            tables["feedback"] = self._engine.keep(once(tables["feedback"]))
        return replace(
            self,
            **{TABLE_NAMES[kind]: table.select(*wanted[kind]) for kind, table in tables.items()},
            _records=kept,
            _kinds=tuple(wanted),
            _is_loaded=True,
        )

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table (an aggregation), as dictionaries of Python's own types.

        Raises:
            LogError: the log cannot be read.
        """
        return self._engine.rows(table)

    def keep(self, table: ir.Table) -> ir.Table:
        """`table` computed once and kept by the engine, where several queries follow."""
        return self._engine.keep(table)

    def named(self, table: ir.Table) -> ir.Table:
        """`table` under a name, where several queries follow that Ibis would else spell out in full."""
        return self._engine.named(table)

    def write_parquet(self, path: Path) -> int:
        """Write the good records to a file of Parquet; how many they were.

        Raises:
            EngineError: the engine writes no files.
            LogError: the log cannot be read, or the file cannot be written.
        """
        return self._engine.write_parquet(path)

    def _bad(self, rows: Sequence[dict[str, Any]]) -> BadLines:
        named: list[BadLine] = []
        for row in sorted(rows, key=lambda row: str(row["file"])):
            file = str(row["file"])
            if not any(each.file == file for each in named) and not places.is_remote(file):
                named += bad_lines(file, self._kinds, NAMED)
            if not any(each.file == file for each in named):
                named.append(BadLine(file, 0, row["fault"]))
            if len(named) >= NAMED:
                break
        unusable = self._engine.unusable
        return BadLines(sum(row["records"] for row in rows), (*unusable, *named)[:NAMED], len(unusable))


def _needed(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are asked for, and those by which records are told apart and put in order."""
    keys = {"feedback": ("request_id", "outcome", "time", "value", "user")}.get(kind, ("time",))
    return tuple(dict.fromkeys((*names, *keys)))


def table_of(records: ir.Table, kind: str, names: Sequence[str]) -> ir.Table:
    """The good records of one kind, of a table that `typed` made."""
    return records.filter(_.kind == kind, _.fault.isnull()).select(*names)


def once(feedback: ir.Table) -> ir.Table:
    """The same outcome of the same request once, the earliest."""
    by_user = feedback.filter(_.request_id.isnull())
    by_request = feedback.filter(_.request_id.notnull())
    order = ["time", ibis.asc("value", nulls_first=True), ibis.asc("user", nulls_first=True)]
    rank = ibis.row_number().over(ibis.window(group_by=["request_id", "outcome"], order_by=order))
    return by_user.union(by_request.mutate(rank=rank).filter(_.rank == 0).drop("rank"))


def counted(records: ir.Table) -> ir.Table:
    """How many records of which kind, with which fault and then in which file, from when to when."""
    return records.group_by("file", "kind", "fault").aggregate(
        records=_.count(), first=_.time.min(), last=_.time.max()
    )
