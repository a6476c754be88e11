"""From records as they were read to the three tables: the same expressions in every engine.

A reader (JSON lines, Parquet, Spark) gives one table of records of all kinds with the columns `RAW`. Numbers
and booleans may come as text there, because a reader of typed columns makes null of "high" where a number
should stand, and nobody would know. A line that is no JSON object comes as a row of nulls.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log.columns import ANSWER, FEEDBACK, PREDICTIONS, SHADOW
from common.names import Model

SCHEMA: Final = "1"
RAW: Final = (
    "file",
    "schema",
    "kind",
    "time",  # a timestamp without a zone, UTC; null where the text is none
    "request_id",
    "user",
    "context",  # a map, or text with JSON; null where it is none
    "assigned",
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
TABLES: Final = {"prediction": PREDICTIONS, "shadow": SHADOW, "feedback": FEEDBACK}
"""Columns of the table of each kind of record."""
LARGEST: Final = 1e300  # what is beyond is no measurement; NaN is beyond everything in DuckDB and Spark
EARLIEST: Final = datetime(2000, 1, 1)
LATEST: Final = datetime(2200, 1, 1)
ROLES: Final = tuple(role.value for role in Model)

_TYPES: Final = {
    "prediction": "string",  # a label may be a word
    "probability": "float64",
    "seconds": "float64",
    "agree": "boolean",
    "value": "float64",
    "known": "boolean",
}

Fault = tuple[ir.BooleanValue, str]


def typed(raw: ir.Table, wanted: dict[str, Sequence[str]]) -> ir.Table:
    """Records of the `wanted` kinds, and of any kind with a fault, with the columns wanted of each.

    Columns: kind, fault (null where nothing is wrong), file (null where nothing is wrong) and all that are
    wanted of any kind, in the types of the tables. Only what is wanted is checked: a fault in a record of
    another kind is not seen.
    """
    table = raw.mutate(fault=fault(raw, wanted))
    columns = {name: TABLES[kind][name] for kind, names in wanted.items() for name in names}
    return table.filter(_.kind.isin(list(wanted)) | _.fault.notnull()).select(
        "kind",
        "fault",
        file=_.fault.isnull().ifelse(ibis.null("string"), _.file),
        **{name: _as(_column(table, name), str(kind)) for name, kind in columns.items()},
    )


def table_of(records: ir.Table, kind: str, names: Sequence[str]) -> ir.Table:
    """The good records of one kind, of a table that `typed` made."""
    return records.filter(_.kind == kind, _.fault.isnull()).select(*names)


def tidy(raw: ir.Table) -> ir.Table:
    """The good records of the known kinds as they were logged, in types of their own, for Parquet."""
    texts = [name for name in RAW if name not in {"file", "schema", "time", "context", *ROLES, *_TYPES}]
    answers = {
        role: ibis.struct({name: _as(raw[role][name], kind) for name, kind in ANSWER.items()})
        for role in ROLES
    }
    kinds = {name: _as(raw[name], kind) for name, kind in _TYPES.items()}
    table = raw.filter(raw.kind.isin(list(TABLES)), fault(raw).isnull())
    schema = raw["schema"].cast("int64")
    return table.select("time", "context", *texts, schema=schema, **kinds, **answers)


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


def fault(raw: ir.Table, kinds: Iterable[str] = tuple(TABLES)) -> ir.StringColumn:
    """What is wrong with each record; null where nothing is, and for kinds that are not asked for."""
    of_kind = {"prediction": _of_prediction, "shadow": _of_shadow, "feedback": _of_feedback}
    return ibis.cases(
        (raw["schema"].isnull(), "no JSON object with a schema"),
        (raw["schema"].cast("string") != SCHEMA, "this schema is not known"),
        (raw.kind.isnull(), "no kind"),
        (~raw.time.between(EARLIEST, LATEST).fill_null(False), "time is no date and time"),
        *[(raw.kind == kind, _first(of_kind[kind](raw))) for kind in kinds],
        else_=ibis.null("string"),
    )


def _of_prediction(raw: ir.Table) -> list[Fault]:
    return [
        *[_missing(raw, name) for name in ("request_id", "reason", "model_name", "model_version")],
        (~_is_model(raw.assigned), "assigned is no model's role"),
        (~_is_model(raw.model), "model is no model's role"),
        (raw.probability.notnull() & ~_is_probability(raw.probability), "probability is none"),
        (~_is_duration(raw.seconds), "seconds is no duration"),
    ]


def _of_shadow(raw: ir.Table) -> list[Fault]:
    faults = [_missing(raw, "request_id")]
    for role in ROLES:
        answer = raw[role]
        probability, seconds = answer["probability"], answer["seconds"]
        faults += [
            (answer["name"].isnull() | answer["version"].isnull(), f"{role} has no name or version"),
            (probability.notnull() & ~_is_probability(probability), f"probability of the {role} is none"),
            (seconds.notnull() & ~_is_duration(seconds), f"seconds of the {role} is no duration"),
        ]
    return [
        *faults,
        (raw.agree.notnull() & _as(raw.agree, "boolean").isnull(), "agree is neither true nor false"),
    ]


def _of_feedback(raw: ir.Table) -> list[Fault]:
    is_number = _number(raw.value).between(-LARGEST, LARGEST).fill_null(False)
    return [
        _missing(raw, "outcome"),
        (raw.value.notnull() & ~is_number, "value is no number"),
        (_as(raw.known, "boolean").isnull(), "known is neither true nor false"),
        (raw.assigned.notnull() & ~_is_model(raw.assigned), "assigned is no model's role"),
    ]


def _first(faults: Sequence[Fault]) -> ir.StringColumn:
    return ibis.cases(*faults, else_=ibis.null("string"))


def _missing(raw: ir.Table, name: str) -> Fault:
    return raw[name].isnull(), f"no {name}"


def _is_model(column: ir.StringColumn) -> ir.BooleanValue:
    return column.isin(ROLES).fill_null(False)


def _is_probability(column: ir.Value) -> ir.BooleanValue:
    return _number(column).between(0, 1).fill_null(False)


def _is_duration(column: ir.Value) -> ir.BooleanValue:
    return _number(column).between(0, LARGEST).fill_null(False)


def _number(column: ir.Value) -> ir.FloatingValue:
    return _as(column, "float64")


def _column(raw: ir.Table, name: str) -> ir.Value:
    """The column of a table, in the raw records: `champion_seconds` is a field of `champion`."""
    role, _separator, field = name.partition("_")
    return raw[role][field] if role in ROLES and field in ANSWER else raw[name]


def _as(column: ir.Value, kind: str) -> ir.Value:
    """The column in the type of the table; text that does not fit becomes null."""
    wanted = ibis.dtype(kind).copy(nullable=True)
    if column.type().copy(nullable=True) == wanted or wanted.is_map():  # contexts stay as they were read
        return column
    return column.try_cast(wanted) if column.type().is_string() else column.cast(wanted)
