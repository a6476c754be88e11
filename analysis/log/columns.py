"""Columns of records as they were logged and of the three tables, and how expressions get at them.

Times are UTC without a zone, in microseconds, so that every engine means the same by a day: give
`moment(...)` to comparisons, not an aware datetime.
"""

from datetime import UTC, datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from common.names import Model

ROLES: Final = tuple(role.value for role in Model)
CONTEXT: Final = "map<string, string>"
ANSWER: Final = {
    "name": "string",
    "version": "string",
    "class_name": "string",
    "prediction": "float64",
    "probability": "float64",
    "seconds": "float64",
}
RAW: Final = (
    "file",
    "schema",
    "kind",
    "time",  # a timestamp without a zone, UTC; null where the text is none
    "request_id",
    "user",
    "context",  # a map, or text with JSON; null where it is none
    "assigned",
    "share",
    "model",
    "reason",
    "model_name",
    "model_version",
    "prediction",
    "class_name",
    "probability",
    "seconds",
    "champion",  # a struct with the fields ANSWER
    "challenger",
    "agree",
    "error",
    "outcome",
    "value",
    "known",
)
"""Of records of all kinds, as a reader (JSON lines, Parquet, Spark) gives them.

Numbers and booleans may come as text there, because a reader of typed columns makes null of "high" where a
number should stand, and nobody would know. A line that is no JSON object comes as a row of nulls.
"""
PREDICTIONS: Final = ibis.schema(
    {
        "request_id": "!string",
        "time": "!timestamp",
        "user": "string",
        "context": CONTEXT,
        "assigned": "!string",
        "share": "float64",
        "model": "!string",
        "reason": "!string",
        "model_name": "!string",
        "model_version": "!string",
        "prediction": "float64",
        "class_name": "string",
        "probability": "float64",
        "seconds": "!float64",
    }
)
SHADOW: Final = ibis.schema(
    {
        "request_id": "!string",
        "time": "!timestamp",
        "user": "string",
        "context": CONTEXT,
        "agree": "boolean",
        "error": "string",
    }
    | {f"{role}_{name}": kind for role in ROLES for name, kind in ANSWER.items()}
)
FEEDBACK: Final = ibis.schema(
    {
        "request_id": "string",
        "time": "!timestamp",
        "user": "string",
        "outcome": "!string",
        "value": "float64",
        "known": "!boolean",
        "assigned": "string",
    }
)
TABLES: Final = {"prediction": PREDICTIONS, "shadow": SHADOW, "feedback": FEEDBACK}
"""Columns of the table of each kind of record."""
LATER: Final = frozenset({"share"})
"""Columns that older tables of a database may lack."""
TABLE_NAMES: Final = {"prediction": "predictions", "shadow": "shadow", "feedback": "feedback"}
KINDS: Final = tuple(TABLES)


def raw_column(raw: ir.Table, name: str) -> ir.Value:
    """The column of a table, in the raw records: `champion_seconds` is a field of `champion`."""
    role, field = role_and_field(name)
    return raw[role][field] if role else raw[name]


def role_and_field(name: str) -> tuple[str, str]:
    """champion_seconds to champion and seconds; what is no field of an answer has no role."""
    role, _separator, field = name.partition("_")
    return (role, field) if role in ROLES and field in ANSWER else ("", name)


def as_type(column: ir.Value, kind: str) -> ir.Value:
    """The column in the type of the table; text that does not fit becomes null."""
    wanted = ibis.dtype(kind).copy(nullable=True)
    if column.type().copy(nullable=True) == wanted or wanted.is_map():  # contexts stay as they were read
        return column
    return column.try_cast(wanted) if column.type().is_string() else column.cast(wanted)


def context_of(table: ir.Table, name: str) -> ir.StringColumn:
    """The property `name` of each row's context; null where the request had none."""
    if table["context"].type().is_json():  # databases without maps
        return table["context"][name].unwrap_as("string")
    return contexts(table).get(name)


def contexts(table: ir.Table) -> ir.MapColumn:
    """The contexts as maps, for which ask late: a log that was loaded may have them as text.

    To open each of ten million costs as much as to read the rest of the record, and most are opened in vain:
    they are those of a user's later requests, or the same as many others.
    """
    context = table["context"]
    if context.type().is_string():
        context = context.try_cast("json")
    return context.try_cast(CONTEXT) if context.type().is_json() else context


def moment(time: datetime) -> ir.TimestampScalar:
    """`time`, which must have a zone, as the tables have it."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no zone")
    return ibis.literal(time.astimezone(UTC).replace(tzinfo=None), type="timestamp")
