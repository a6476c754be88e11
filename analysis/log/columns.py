"""Columns of the three tables, the same in every engine, and how expressions get at them.

Times are UTC without a zone, in microseconds, so that every engine means the same by a day: give
`moment(...)` to comparisons, not an aware datetime.
"""

from datetime import UTC, datetime
from typing import Final

import ibis
from ibis.expr import types as ir

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
        "context": "map<string, string>",
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
        "context": "map<string, string>",
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
    context = table["context"]
    if context.type().is_json():  # databases without maps
        return context[name].unwrap_as("string")
    return context.get(name)


def moment(time: datetime) -> ir.TimestampScalar:
    """`time`, which must have a zone, as the tables have it."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no zone")
    return ibis.literal(time.astimezone(UTC).replace(tzinfo=None), type="timestamp")
