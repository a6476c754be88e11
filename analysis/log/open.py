"""`open_log`: where a log lies and which engine reads it, to three tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError
from analysis.log import lines, places, records
from analysis.log.bad import BadLine, BadLines
from analysis.log.engine import KINDS, Engine

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
        rows = self.rows(records.counted(self._records))
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
            kind: tuple(records.TABLES[kind].names) if tuple(names) == ALL else tuple(names)
            for kind, names in asked.items()
            if names is not None
        }
        tables = {"prediction": self.predictions, "shadow": self.shadow, "feedback": self.feedback}
        if self._is_loaded and all(
            kind in self._kinds and set(names) <= set(tables[kind].columns) for kind, names in wanted.items()
        ):
            return self
        kept = self._engine.loaded({kind: _needed(kind, names) for kind, names in wanted.items()})
        tables = {kind: records.table_of(kept, kind, _needed(kind, names)) for kind, names in wanted.items()}
        if "feedback" in tables:
            tables["feedback"] = self._engine.keep(records.once(tables["feedback"])).select(
                *wanted["feedback"]
            )
        return Log(
            predictions=tables.get("prediction", self.predictions).select(
                *wanted.get("prediction", self.predictions.columns)
            ),
            shadow=tables.get("shadow", self.shadow),
            feedback=tables.get("feedback", self.feedback),
            _engine=self._engine,
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

    def write_parquet(self, path: Path) -> int:
        """Write the good records to a file of Parquet; how many they were.

        Raises:
            EngineError: the engine writes no files.
            LogError: the log cannot be read, or the file cannot be written.
        """
        write = getattr(self._engine, "write_parquet", None)
        if write is None:
            raise EngineError(f"{self.engine} writes no Parquet here; DuckDB does")
        return int(write(path))

    def _bad(self, rows: Sequence[dict[str, Any]]) -> BadLines:
        named: list[BadLine] = []
        for row in sorted(rows, key=lambda row: str(row["file"])):
            if not any(each.file == row["file"] for each in named) and not places.is_remote(str(row["file"])):
                named += lines.bad_lines(str(row["file"]), self._kinds, NAMED)
            if not any(each.file == row["file"] for each in named):
                named.append(BadLine(str(row["file"]), 0, row["fault"]))
            if len(named) >= NAMED:
                break
        unusable = self._engine.unusable
        return BadLines(sum(row["records"] for row in rows), (*unusable, *named)[:NAMED], len(unusable))


def _needed(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are asked for, and those by which records are told apart and put in order."""
    keys = {"feedback": ("request_id", "outcome", "time", "value", "user")}.get(kind, ("time",))
    return tuple(dict.fromkeys((*names, *keys)))


def open_log(location: str, *, engine: str = "duckdb", memory: str = "1GB") -> Log:
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
    return _log_of(_engine_of(engine)(location, memory))


def _engine_of(name: str) -> Callable[[str, str], Engine]:
    # Each is imported where it is asked for: what Spark needs is not installed for the others.
    if name == "duckdb":
        from analysis.log.in_duckdb import InDuckDB  # noqa: PLC0415

        return lambda location, memory: InDuckDB(places.find(location), memory)
    if name == "spark":
        from analysis.log.in_spark import InSpark  # noqa: PLC0415

        return lambda location, memory: InSpark(places.find(location), memory)
    if "://" in name:
        from analysis.log.in_database import InDatabase  # noqa: PLC0415

        return lambda location, _memory: InDatabase(name, location)
    raise EngineError(
        f"{name!r} is no engine: duckdb, spark, or the URL of a database such as clickhouse://host/"
    )


def _log_of(engine: Engine) -> Log:
    tables = {
        kind: records.table_of(engine.records({kind: schema.names}), kind, schema.names)
        for kind, schema in records.TABLES.items()
    }
    everything = engine.records({kind: tuple(schema.names) for kind, schema in records.TABLES.items()})
    return Log(
        predictions=tables["prediction"],
        shadow=tables["shadow"],
        feedback=records.once(tables["feedback"]),
        _engine=engine,
        _records=everything,
    )
