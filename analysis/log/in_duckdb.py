"""DuckDB, embedded in this process: files of a log as records."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import ibis
from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError, LogError
from analysis.log import duckdb_sql, records
from analysis.log.columns import KINDS, ROLES, contexts
from analysis.log.duckdb_sql import quoted
from analysis.log.engine import BadLine, Engine, Wanted, brief
from analysis.log.places import Place

Result = TypeVar("Result")
SMALL: Final = {
    "kind": f"ENUM({quoted(KINDS)})",
    "assigned": f"ENUM({quoted(ROLES)})",
    "model": f"ENUM({quoted(ROLES)})",
    "context": "VARCHAR",
}
"""What takes less room: roles as numbers, contexts as text until somebody asks for them."""
REPOSITORY_OF_EXTENSIONS: Final = "http://extensions.duckdb.org"
TRIES: Final = 20
"""Files that may turn out to be unreadable before it is given up."""


class InDuckDB(Engine):
    """The files of `place` in a DuckDB of this process's own, with at most about `memory` (such as 1GB).

    What does not fit into memory goes to the folder for temporary files. A file that turns out to be no log
    (cut short while it was packed, removed since it was listed) is left out, and named.
    """

    name = "duckdb"

    def __init__(self, place: Place, memory: str) -> None:
        self.files, self.bytes = place.files, place.bytes
        self._lines, self._parquet = list(place.lines), list(place.parquet)
        self.unusable = place.unusable
        self._numbers = count(1)
        overflow = tempfile.mkdtemp(prefix="canario-analysis-")  # two processes cannot share one
        try:
            self.backend: BaseBackend = ibis.duckdb.connect(
                memory_limit=memory,
                temp_directory=overflow,
                threads=len(os.sched_getaffinity(0)),  # DuckDB itself asks for all that the machine has
                preserve_insertion_order=False,
            )
            weakref.finalize(self.backend, shutil.rmtree, overflow, ignore_errors=True)
            self._run("SET TimeZone = 'UTC'")
        except duckdb.Error as error:
            raise EngineError(f"DuckDB does not start: {brief(error)}") from error
        if place.is_remote:
            self._reach_out()
        self._raw = self._mending(self._views)

    def records(self, wanted: Wanted) -> ir.Table:
        """See analysis.log.records.typed; lines and Parquet together."""
        return _opened(self._typed(wanted))

    def loaded(self, wanted: Wanted) -> ir.Table:
        """The same, computed once: contexts stay text, and what has two or three values takes one byte."""
        query = self.backend.compile(self._typed(wanted))
        names = {name for names in wanted.values() for name in names} | {"kind"}
        small = [f'TRY_CAST("{name}" AS {kind}) AS "{name}"' for name, kind in SMALL.items() if name in names]
        name = f"kept_{next(self._numbers)}"

        def read() -> ir.Table:
            self._run(f"CREATE TEMP TABLE {name} AS SELECT * REPLACE ({', '.join(small)}) FROM ({query})")  # noqa: S608
            return self.backend.table(name)

        return self._mending(read)

    def _typed(self, wanted: Wanted) -> ir.Table:
        return records.typed(self._raw, wanted)

    def keep(self, table: ir.Table) -> ir.Table:
        """`table`, computed once, in memory as far as there is room."""
        name = f"kept_{next(self._numbers)}"
        return self._mending(lambda: self.backend.create_table(name, table, temp=True))

    def named(self, table: ir.Table) -> ir.Table:
        """See Engine."""
        name = f"named_{next(self._numbers)}"
        self._run(f"CREATE TEMP VIEW {name} AS {self.backend.compile(table)}")
        return self.backend.table(name)

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table."""
        return self._mending(lambda: self.backend.to_pyarrow(table).to_pylist(maps_as_pydicts="lossy"))

    def write_parquet(self, path: Path) -> int:
        """See Engine; the file appears when it is whole."""
        part = path.with_name(f".{path.name}.part")  # names that begin with a dot are no part of a log

        def write() -> int:
            query = self.backend.compile(ibis.union(*[_opened(records.as_logged(raw)) for raw in self._raw]))
            answer = self._run(f"COPY ({query}) TO {quoted([str(part)])} (FORMAT parquet, COMPRESSION zstd)")
            return int(answer.fetchone()[0])

        try:
            written = self._mending(write)
            part.replace(path)
        except OSError as error:
            raise LogError(f"{path}: cannot be written: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return written

    def _views(self) -> list[ir.Table]:
        """A view of the lines and one of the Parquet files, which may be left out of it later."""
        made = []
        if self._lines or not self._parquet:
            self._run(f"CREATE OR REPLACE TEMP VIEW lines AS {duckdb_sql.select_lines(self._lines)}")
            made.append(self.backend.table("lines"))
        if self._parquet:
            listed = duckdb_sql.parquet_source(self._parquet)
            columns = self._run(f"DESCRIBE SELECT * FROM {listed}").fetchall()  # noqa: S608 - quoted
            selected = duckdb_sql.select_parquet(self._parquet, {name: kind for name, kind, *_ in columns})
            self._run(f"CREATE OR REPLACE TEMP VIEW parquet AS {selected}")
            made.append(self.backend.table("parquet"))
        return made

    def _mending(self, ask: Callable[[], Result]) -> Result:
        """What `ask` says; where a file stands in the way, it is left out, and `ask` asked again."""
        for number in range(TRIES):
            try:
                if number:
                    self._views()
                return ask()
            except duckdb.OutOfMemoryException as error:
                raise EngineError(
                    f"DuckDB needs more memory than it may take (--memory): {brief(error)}"
                ) from error
            except (duckdb.Error, FileNotFoundError) as error:
                is_about_files = isinstance(error, duckdb.IOException | duckdb.InvalidInputException)
                if not (is_about_files and self._leave_out(brief(error))):
                    raise LogError(f"the log cannot be read: {brief(error)}") from error
                if not (self._lines or self._parquet):
                    raise LogError(f"nothing of the log can be read: {self.unusable[-1]}") from error
        raise LogError(f"over {TRIES} files cannot be read, the last: {self.unusable[-1]}")

    def _leave_out(self, message: str) -> bool:
        """Leave out the local file that an error names; False where it names none."""
        for files in (self._lines, self._parquet):
            # The longest name first: an error about "a.jsonl.gz" names "a.jsonl" too.
            for file in sorted(files, key=len, reverse=True):
                if file in message:
                    files.remove(file)
                    self.unusable += (BadLine(file, 0, f"the whole file: {_plain(message, file)}"),)
                    return True
        return False

    def _reach_out(self) -> None:
        """Load what reads addresses; it takes keys from the environment, or from DuckDB's kept secrets.

        Raises:
            EngineError: DuckDB's extension httpfs is not installed, and cannot be.
        """
        try:
            try:
                self._run("LOAD httpfs")
            except duckdb.Error:
                self._run(f"INSTALL httpfs FROM {quoted([REPOSITORY_OF_EXTENSIONS])}")
                self._run("LOAD httpfs")
        except duckdb.Error as error:
            raise EngineError(
                f"{self.files[0]}: addresses are read by DuckDB's extension httpfs, which cannot be loaded. "
                "Where extensions.duckdb.org can be reached, DuckDB installs it by itself; else copy it into "
                f"~/.duckdb/extensions, or copy the log into a folder. DuckDB says: {brief(error)}"
            ) from error

    def _run(self, sql: str) -> Any:
        return self.backend.raw_sql(sql)


def _opened(table: ir.Table) -> ir.Table:
    """With contexts as maps, where they are among the columns."""
    return table.mutate(context=contexts(table)) if "context" in table.columns else table


def _plain(message: str, file: str) -> str:
    if "maximum_object_size" in message:
        return "a line longer than 16 MiB"
    if "GZIP" in message:
        return "it cannot be unpacked, or was not written to its end"
    if "No files found" in message or "Cannot open" in message:
        return "it is gone"
    return message.replace(file, "it")
