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
        return f"{column} AT TIME ZONE 'UTC'"
    if source.startswith("TIMESTAMP"):  # without a zone it is UTC, as all of a log
        return f"{column}::TIMESTAMP"
    return f"TRY_CAST({column}::VARCHAR AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"


def _context(column: str, source: str) -> str:
    if source.startswith("STRUCT"):
        return f"TRY_CAST(to_json({column}) AS MAP(VARCHAR, VARCHAR))"
    if source in ("VARCHAR", "JSON"):
        return f"TRY_CAST(TRY_CAST({column} AS JSON) AS MAP(VARCHAR, VARCHAR))"
    return f"TRY_CAST({column} AS MAP(VARCHAR, VARCHAR))"


def _answer(column: str, source: str) -> str:
    if not source.startswith("STRUCT"):  # text with JSON, or a column of nulls
        shape = ", ".join(f'"{name}": "VARCHAR"' for name in _ANSWER)
        return f"from_json(TRY_CAST({column}::VARCHAR AS JSON), '{{{shape}}}')"
    fields = ", ".join(f'"{name}" VARCHAR' for name in _ANSWER)
    return f"TRY_CAST({column} AS STRUCT({fields}))"
