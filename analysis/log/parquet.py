"""Parquet files that somebody made of a log: whatever the types of their columns, the same records come out.

Converters differ: a context becomes a struct, a map or text with JSON; times become timestamps with or
without a zone, or stay text; columns that were null in all lines are missing or have no type.
"""

from collections.abc import Mapping
from typing import Final

_ANSWER: Final = ("name", "version", "class_name", "prediction", "probability", "seconds")
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")


def select(columns: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """The list of a SELECT over Parquet files with `columns` (name -> DuckDB's type).

    Args:
        wanted: names of the records' columns, with the types that the reader of lines gives them.
    """
    parts = ["file"]
    for name, kind in wanted.items():
        source = columns.get(name, '"NULL"')
        parts.append(f'{_expression(name, source, kind)} AS "{name}"')
    return ", ".join(parts)


def _expression(name: str, source: str, kind: str) -> str:
    column = f'"{name}"'
    if source == '"NULL"':
        column = "NULL"
    if name == "time":
        return _time(column, source)
    if name == "context":
        return _context(column, source)
    if kind.startswith("STRUCT"):
        return _answer(column, source)
    if name == "schema":
        return f"TRY_CAST({column} AS BIGINT)::VARCHAR"
    if source.startswith(_NUMBERS):
        return f"{column}::DOUBLE"
    return column if source == "BOOLEAN" else f"{column}::VARCHAR"


def _time(column: str, source: str) -> str:
    if source == "TIMESTAMP WITH TIME ZONE":
        return utc(column)
    if source.startswith("TIMESTAMP"):  # without a zone it is UTC, as all of a log
        return f"{column}::TIMESTAMP"
    return utc(f"TRY_CAST({column}::VARCHAR AS TIMESTAMPTZ)")


def utc(time: str) -> str:
    """A time with a zone as UTC without one: what AT TIME ZONE says, in a tenth of its time."""
    return f"make_timestamp(epoch_us({time}))"


def _context(column: str, source: str) -> str:
    if source.startswith(("STRUCT", "MAP")):
        return f"to_json({column})"
    return f"TRY_CAST({column} AS JSON)"


def _answer(column: str, source: str) -> str:
    if source.startswith("STRUCT") or column == "NULL":
        fields = ", ".join(f'"{name}" VARCHAR' for name in _ANSWER)
        return f"TRY_CAST({column} AS STRUCT({fields}))"
    shape = ", ".join(f'"{name}": "VARCHAR"' for name in _ANSWER)
    return f"from_json(TRY_CAST({column}::VARCHAR AS JSON), '{{{shape}}}')"
