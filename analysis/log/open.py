"""`open_log`: where a log lies and which engine reads it, to three tables."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import in_duckdb, records
from analysis.log.bad import BadLine, BadLines

_numbers: Final = count(1)


class Survey(NamedTuple):
    """What a log holds: records by kind, from when to when (UTC, without a zone), and what is bad."""

    records: dict[str, int]
    first: datetime | None
    last: datetime | None
    bad: BadLines


@dataclass(frozen=True)
class Log:
    """A prediction log as tables of an engine; nothing is read before it is asked for.

    Attributes:
        predictions, shadow, feedback: see analysis.log.columns.
        engine: its name.
        backend: its connection.
        files: what is read.
        bytes: their size, where it is known.
    """

    predictions: ir.Table
    shadow: ir.Table
    feedback: ir.Table
    engine: str
    backend: BaseBackend
    files: tuple[str, ...] = ()
    bytes: int = 0
    _records: ir.Table | None = field(default=None, repr=False)

    @cached_property
    def survey(self) -> Survey:
        """What the log holds; reads all of it once."""
        if self._records is None:
            return Survey({}, None, None, BadLines())
        rows = self.rows(records.survey(self._records))
        good = [row for row in rows if row["fault"] is None]
        counts = dict.fromkeys(records.KINDS, 0)
        for row in good:
            counts[row["kind"]] = counts.get(row["kind"], 0) + row["records"]
        times = [row for row in good if row["first"] is not None]
        faults = [row for row in rows if row["fault"] is not None]
        return Survey(
            counts,
            min((row["first"] for row in times), default=None),
            max((row["last"] for row in times), default=None),
            BadLines(
                sum(row["records"] for row in faults),
                tuple(BadLine(row["file"], 0, row["fault"]) for row in faults[:5]),
            ),
        )

    @property
    def bad(self) -> BadLines:
        """Lines that were left out."""
        return self.survey.bad

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table (an aggregation), as dictionaries of Python's own types."""
        return self.backend.to_pyarrow(table).to_pylist()  # type: ignore[no-any-return]

    def keep(self, table: ir.Table) -> ir.Table:
        """`table` computed once and kept by the engine, where several queries follow."""
        return self.backend.create_table(f"kept_{next(_numbers)}", table, temp=True)


def open_log(location: str, *, engine: str = "duckdb", memory: str = "1GB") -> Log:
    """The log at `location`: a folder, a file or a glob of JSON lines.

    Raises:
        LogError: it cannot be read, or there is nothing in it.
    """
    if engine != "duckdb":
        raise LogError(f"{engine} is no engine that is known")
    place = Path(location)
    found = sorted(place.glob("*.jsonl*")) if place.is_dir() else [place]
    files = [path for path in found if path.is_file()]
    if not files:
        raise LogError(f"{location}: no *.jsonl there")
    backend = in_duckdb.connect(memory)
    raw = in_duckdb.json_lines(backend, [str(path) for path in files])
    return Log(
        predictions=records.predictions(raw),
        shadow=records.shadow(raw),
        feedback=records.feedback(raw),
        engine=engine,
        backend=backend,
        files=tuple(str(path) for path in files),
        bytes=sum(path.stat().st_size for path in files),
        _records=raw,
    )
