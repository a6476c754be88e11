"""Columns of the three tables, the same in every engine, and how expressions get at them.

Times are UTC without a zone, in microseconds, so that every engine means the same by a day: give
`moment(...)` to comparisons, not an aware datetime.
"""

from datetime import UTC, datetime
from typing import Final

import ibis
from ibis.expr import types as ir

CONTEXT: Final = "map<string, string>"
ANSWER: Final = {
    "name": "string",
    "version": "string",
    "class_name": "string",
    "prediction": "float64",
    "probability": "float64",
    "seconds": "float64",
}
PREDICTIONS: Final = ibis.schema(
    {
        "request_id": "!string",
        "time": "!timestamp",
        "user": "string",
        "context": CONTEXT,
        "assigned": "!string",
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
    | {f"{role}_{name}": kind for role in ("champion", "challenger") for name, kind in ANSWER.items()}
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
