"""SQL of DuckDB that Ibis cannot say: how records are read from JSON lines and from Parquet.

Converters to Parquet differ: a context becomes a struct, a map or text with JSON; times become timestamps
with or without a zone, or stay text; columns that were null in all lines are missing or have no type. The
same records come out of all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from analysis.log.columns import ANSWER, RAW, ROLES

_FIELDS: Final = ", ".join(f'"{name}" VARCHAR' for name in ANSWER)
READ: Final = (
    {name: "VARCHAR" for name in RAW if name != "file"}
    | {"time": "TIMESTAMPTZ", "context": "JSON"}
    | dict.fromkeys(ROLES, f"STRUCT({_FIELDS})")
)
"""What the reader of JSON lines makes of each field; text where null would hide what does not fit."""
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")


def quoted(texts: Iterable[str]) -> str:
    """Literals, separated by commas."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def select_lines(files: Sequence[str]) -> str:
    """Records of JSON lines, packed by gzip or not: a row of nulls for each line that is no object."""
    kept = ", ".join(f'"{name}"' for name in READ if name != "time")
    if not files:  # all were left out
        nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in READ.items())
        source = f"(SELECT NULL::VARCHAR AS filename, {nulls} LIMIT 0)"
    else:
        named = ", ".join(f"{quoted([name])}: {quoted([kind])}" for name, kind in READ.items())
        source = (
            f"read_json([{quoted(files)}], format = 'newline_delimited', ignore_errors = true, "
            f"filename = true, columns = {{{named}}})"
        )
    return f'SELECT filename AS file, {kept}, {_utc("time")} AS "time" FROM {source}'  # noqa: S608


def parquet_source(files: Sequence[str]) -> str:
    """What stands behind FROM for these files."""
    return f"read_parquet([{quoted(files)}], union_by_name = true, filename = 'file')"


def select_parquet(files: Sequence[str], columns: Mapping[str, str]) -> str:
    """Records of Parquet files with `columns` (name -> DuckDB's type)."""
    parts = [f'{_expression(name, columns.get(name), kind)} AS "{name}"' for name, kind in READ.items()]
    return f"SELECT file, {', '.join(parts)} FROM {parquet_source(files)}"  # noqa: S608 - quoted


def _expression(name: str, source: str | None, kind: str) -> str:
    if source is None or source == '"NULL"':
        column, source = "NULL", '"NULL"'
    else:
        column = f'"{name}"'
    if name == "time":
        return _time(column, source)
    if name == "context":
        return f"to_json({column})" if source.startswith(("STRUCT", "MAP")) else f"TRY_CAST({column} AS JSON)"
    if name in ROLES:
        return _answer(column, source)
    if name == "schema":
        return f"TRY_CAST({column} AS BIGINT)::VARCHAR"
    if source.startswith(_NUMBERS):
        return f"{column}::DOUBLE"
    return column if source == "BOOLEAN" else f"{column}::{kind}"


def _time(column: str, source: str) -> str:
    if source == "TIMESTAMP WITH TIME ZONE":
        return _utc(column)
    if source.startswith("TIMESTAMP"):  # without a zone it is UTC, as all of a log
        return f"{column}::TIMESTAMP"
    return _utc(f"TRY_CAST({column}::VARCHAR AS TIMESTAMPTZ)")


def _utc(time: str) -> str:
    """A time with a zone as UTC without one: what AT TIME ZONE says, in a tenth of its time."""
    return f"make_timestamp(epoch_us({time}))"


def _answer(column: str, source: str) -> str:
    if source.startswith("STRUCT") or column == "NULL":
        return f"TRY_CAST({column} AS STRUCT({_FIELDS}))"
    shape = ", ".join(f'"{name}": "VARCHAR"' for name in ANSWER)
    return f"from_json(TRY_CAST({column}::VARCHAR AS JSON), '{{{shape}}}')"
