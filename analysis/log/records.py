"""From records as they were read to the three tables: the same expressions in every engine.

A reader (JSON lines, Parquet, Spark) gives one table of records of all kinds with the columns `RAW`. Numbers
and booleans may come as text there, because a reader of typed columns makes null of "high" where a number
should stand, and nobody would know. A line that is no JSON object comes as a row of nulls.
"""

from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log.columns import ANSWER, FEEDBACK, PREDICTIONS, SHADOW
from common.names import Model

SCHEMA: Final = "1"
ANSWER_FIELDS: Final = tuple(ANSWER)
RAW: Final = (
    "file",
    "schema",
    "kind",
    "time",  # a timestamp without a zone, UTC; null where the text is none
    "request_id",
    "user",
    "context",  # a map; null where it is none
    "assigned",
    "model",
    "reason",
    "model_name",
    "model_version",
    "prediction",
    "class_name",
    "probability",
    "seconds",
    "champion",
    "challenger",
    "agree",
    "error",
    "outcome",
    "value",
    "known",
)
KINDS: Final = ("prediction", "shadow", "feedback")
LARGEST: Final = 1e300  # what is beyond is no measurement; NaN is beyond everything in DuckDB and Spark


def predictions(raw: ir.Table) -> ir.Table:
    """Records of answers, with the columns `PREDICTIONS`."""
    table = raw.filter(raw.kind == "prediction", _fault_of_prediction(raw).isnull())
    return table.select(**{name: _as(table[name], str(kind)) for name, kind in PREDICTIONS.items()})


def shadow(raw: ir.Table) -> ir.Table:
    """Pairs of answers, with the columns `SHADOW`."""
    table = raw.filter(raw.kind == "shadow", _fault_of_shadow(raw).isnull())
    columns = {
        name: _as(table[name], str(SHADOW[name]))
        for name in ("request_id", "time", "user", "context", "agree", "error")
    }
    for role in Model:
        for name, kind in ANSWER.items():
            columns[f"{role}_{name}"] = _as(table[role.value][name], kind)
    return table.select(**columns)


def feedback(raw: ir.Table) -> ir.Table:
    """Outcomes, with the columns `FEEDBACK`; the same outcome of the same request once, the earliest."""
    table = raw.filter(raw.kind == "feedback", _fault_of_feedback(raw).isnull())
    table = table.select(**{name: _as(table[name], str(kind)) for name, kind in FEEDBACK.items()})
    by_user = table.filter(_.request_id.isnull())
    by_request = table.filter(_.request_id.notnull())
    order = ["time", ibis.asc("value", nulls_first=True), ibis.asc("user", nulls_first=True)]
    rank = ibis.row_number().over(ibis.window(group_by=["request_id", "outcome"], order_by=order))
    return by_user.union(by_request.mutate(rank=rank).filter(_.rank == 0).drop("rank"))


def survey(raw: ir.Table) -> ir.Table:
    """How many records of which kind, in which file, with which fault (null: none), from when to when."""
    named = raw.select("file", "kind", "time", fault=fault(raw))
    return named.group_by("file", "kind", "fault").aggregate(
        records=named.count(), first=named.time.min(), last=named.time.max()
    )


def fault(raw: ir.Table) -> ir.StringColumn:
    """What is wrong with each record; null where nothing is. Kinds that are not known are none of ours."""
    return ibis.cases(
        (raw["schema"].isnull(), "no JSON object with a schema"),
        (raw.kind.isnull(), "no kind"),
        (raw.kind == "prediction", _fault_of_prediction(raw)),
        (raw.kind == "shadow", _fault_of_shadow(raw)),
        (raw.kind == "feedback", _fault_of_feedback(raw)),
        else_=ibis.null("string"),
    )


def _fault_of_prediction(raw: ir.Table) -> ir.StringColumn:
    named = [_missing(raw, name) for name in ("request_id", "reason", "model_name", "model_version")]
    return _first(
        *_common(raw),
        *named,
        (~_is_model(raw.assigned), "assigned is no model's role"),
        (~_is_model(raw.model), "model is no model's role"),
        (raw.probability.notnull() & ~_is_probability(raw.probability), "probability is none"),
        (~_is_duration(raw.seconds), "seconds is no duration"),
    )


def _fault_of_shadow(raw: ir.Table) -> ir.StringColumn:
    faults = [*_common(raw), _missing(raw, "request_id")]
    for role in Model:
        answer = raw[role.value]
        faults += [
            (answer["name"].isnull() | answer["version"].isnull(), f"{role} has no name or version"),
            (
                answer["probability"].notnull() & ~_is_probability(answer["probability"]),
                f"probability of {role} is none",
            ),
            (
                answer["seconds"].notnull() & ~_is_duration(answer["seconds"]),
                f"seconds of {role} is no duration",
            ),
        ]
    faults.append(
        (raw.agree.notnull() & _as(raw.agree, "boolean").isnull(), "agree is neither true nor false")
    )
    return _first(*faults)


def _fault_of_feedback(raw: ir.Table) -> ir.StringColumn:
    value = _number(raw.value).abs() <= LARGEST
    return _first(
        *_common(raw),
        _missing(raw, "outcome"),
        (raw.value.notnull() & ~value.fill_null(False), "value is no number"),
        (_as(raw.known, "boolean").isnull(), "known is neither true nor false"),
        (raw.assigned.notnull() & ~_is_model(raw.assigned), "assigned is no model's role"),
    )


Fault = tuple[ir.BooleanValue, str]


def _common(raw: ir.Table) -> list[Fault]:
    return [
        ((raw["schema"].cast("string") != SCHEMA).fill_null(True), "this schema is not known"),
        (raw.time.isnull(), "time is no date and time"),
    ]


def _first(*faults: Fault) -> ir.StringColumn:
    return ibis.cases(*faults, else_=ibis.null("string"))


def _missing(raw: ir.Table, name: str) -> Fault:
    return raw[name].isnull(), f"no {name}"


def _is_model(column: ir.StringColumn) -> ir.BooleanValue:
    return column.isin([role.value for role in Model]).fill_null(False)


def _is_probability(column: ir.Value) -> ir.BooleanValue:
    return _number(column).between(0, 1).fill_null(False)


def _is_duration(column: ir.Value) -> ir.BooleanValue:
    return _number(column).between(0, LARGEST).fill_null(False)


def _number(column: ir.Value) -> ir.FloatingValue:
    return _as(column, "float64")


def _as(column: ir.Value, kind: str) -> ir.Value:
    """The column in the type of the table; text that does not fit becomes null."""
    wanted = ibis.dtype(kind).copy(nullable=True)
    if column.type().copy(nullable=True) == wanted:
        return column
    return column.try_cast(wanted) if column.type().is_string() else column.cast(wanted)
