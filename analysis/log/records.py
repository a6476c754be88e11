"""Raw records: what is wrong with one, said once in CHECKS for all engines, and the others in their types.

The engine counts the faults (`fault`); where the first of them are is looked up in Python (`bad_lines`), in
the files in which it has found something, and only until enough is found. A test holds both together.
"""

import gzip
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log.columns import ANSWER, KINDS, RAW, ROLES, TABLES, as_type, raw_column, role_and_field
from analysis.log.engine import BadLine, Wanted

SCHEMA: Final = "1"
LARGEST: Final = 1e300  # what is beyond is no measurement; NaN is beyond everything in DuckDB and Spark
EARLIEST: Final = datetime(2000, 1, 1)
LATEST: Final = datetime(2200, 1, 1)
LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a line that are looked at."""

_TIME: Final = re.compile(
    r"(\d{1,6})-(\d{1,2})-(\d{1,2})(?:[T ] *(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?)?)?"
    r"\s*(?:Z|[+-]\d{1,2}(?::?\d{2})?)?"
)
"""Engines are lenient: 2026-11-2T1:2 is a time to them."""

_TYPES: Final = {
    "prediction": "string",  # a label may be a word
    "probability": "float64",
    "share": "float64",
    "seconds": "float64",
    "agree": "boolean",
    "value": "float64",
    "known": "boolean",
}

Sort = Literal["given", "role", "boolean", "probability", "duration", "amount"]
_BOUNDS: Final = {"probability": (0, 1), "duration": (0, LARGEST), "amount": (-LARGEST, LARGEST)}


class Check(NamedTuple):
    """A field, named as in the tables, is of this sort; or `why` is wrong. Null is right where `or_null`."""

    field: str
    sort: Sort
    why: str
    or_null: bool = False


CHECKS: Final = {
    "prediction": (
        Check("request_id", "given", "no request_id"),
        Check("reason", "given", "no reason"),
        Check("model_name", "given", "no model_name"),
        Check("model_version", "given", "no model_version"),
        Check("assigned", "role", "assigned is no model's role"),
        Check("model", "role", "model is no model's role"),
        Check("probability", "probability", "probability is none", or_null=True),
        Check("seconds", "duration", "seconds is no duration"),
    ),
    "shadow": (
        Check("request_id", "given", "no request_id"),
        *(
            check
            for role in ROLES
            for check in (
                Check(f"{role}_name", "given", f"{role} has no name or version"),
                Check(f"{role}_version", "given", f"{role} has no name or version"),
                Check(
                    f"{role}_probability", "probability", f"probability of the {role} is none", or_null=True
                ),
                Check(f"{role}_seconds", "duration", f"seconds of the {role} is no duration", or_null=True),
            )
        ),
        Check("agree", "boolean", "agree is neither true nor false", or_null=True),
    ),
    "feedback": (
        Check("outcome", "given", "no outcome"),
        Check("value", "amount", "value is no number", or_null=True),
        Check("known", "boolean", "known is neither true nor false"),
        Check("assigned", "role", "assigned is no model's role", or_null=True),
    ),
}


def typed(raws: Sequence[ir.Table], wanted: Wanted) -> ir.Table:
    """Records of the `wanted` kinds, and of any kind with a fault, with the columns wanted of each.

    Columns: kind, fault (null where nothing is wrong), file (null where nothing is wrong) and all that are
    wanted of any kind, in the types of the tables. Only what is wanted is checked: a fault in a record of
    another kind is not seen.
    """
    return ibis.union(*[_typed(raw, wanted) for raw in raws])


def _typed(raw: ir.Table, wanted: Wanted) -> ir.Table:
    table = raw.mutate(fault=fault(raw, wanted))
    columns = {name: TABLES[kind][name] for kind, names in wanted.items() for name in names}
    return table.filter(_.kind.isin(list(wanted)) | _.fault.notnull()).select(
        "kind",
        "fault",
        file=_.fault.isnull().ifelse(ibis.null("string"), _.file),
        **{name: as_type(raw_column(table, name), str(kind)) for name, kind in columns.items()},
    )


def as_logged(raw: ir.Table) -> ir.Table:
    """The good records of the known kinds as they were logged, in types of their own, for Parquet."""
    texts = [name for name in RAW if name not in {"file", "schema", "time", "context", *ROLES, *_TYPES}]
    answers = {
        role: ibis.struct({name: as_type(raw[role][name], kind) for name, kind in ANSWER.items()})
        for role in ROLES
    }
    kinds = {name: as_type(raw[name], kind) for name, kind in _TYPES.items()}
    table = raw.filter(raw.kind.isin(list(TABLES)), fault(raw).isnull())
    schema = raw["schema"].cast("int64")
    return table.select("time", "context", *texts, schema=schema, **kinds, **answers)


def fault(raw: ir.Table, kinds: Iterable[str] = KINDS) -> ir.StringColumn:
    """What is wrong with each record; null where nothing is, and for kinds that are not asked for."""
    nothing = ibis.null("string")
    return ibis.cases(
        (raw["schema"].isnull(), "no JSON object with a schema"),
        (raw["schema"].cast("string") != SCHEMA, "this schema is not known"),
        (raw.kind.isnull(), "no kind"),
        (~raw.time.between(EARLIEST, LATEST).fill_null(False), "time is no date and time"),
        *[
            (
                raw.kind == kind,
                ibis.cases(*[(_breaks(raw, each), each.why) for each in CHECKS[kind]], else_=nothing),
            )
            for kind in kinds
        ],
        else_=nothing,
    )


def _breaks(raw: ir.Table, check: Check) -> ir.BooleanValue:
    column = raw_column(raw, check.field)
    wrong = ~_fits_column(column, check.sort)
    return column.notnull() & wrong if check.or_null else wrong


def _fits_column(column: ir.Value, sort: Sort) -> ir.BooleanValue:
    if sort == "given":
        return column.notnull()
    if sort == "role":
        return column.isin(ROLES).fill_null(False)
    if sort == "boolean":
        return as_type(column, "boolean").notnull()
    return as_type(column, "float64").between(*_BOUNDS[sort]).fill_null(False)


def bad_lines(file: str, kinds: Collection[str], most: int) -> Iterator[BadLine]:
    """The first `most` bad lines of a local file; fewer where it can be read no further."""
    found = 0
    try:
        with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                why = fault_of(line, kinds)
                if why is None:
                    continue
                if not line.endswith(b"\n"):
                    why = f"the last line, cut short or still being written: {why}"
                yield BadLine(file, number, why)
                found += 1
                if found == most:
                    return
    except (OSError, EOFError):  # removed or rotated meanwhile, or a packed file that is cut short
        return


def fault_of(line: bytes, kinds: Collection[str]) -> str | None:  # noqa: PLR0911 - one for each fault
    """What is wrong with a line; None where nothing is, also for an empty one."""
    if not line.strip():
        return None
    try:
        record = json.loads(line[:LONGEST])
    except (ValueError, RecursionError):
        return "no JSON object with a schema"
    if not isinstance(record, dict) or record.get("schema") is None:
        return "no JSON object with a schema"
    if _text(record["schema"]) != SCHEMA:
        return "this schema is not known"
    kind = record.get("kind")
    if kind is None:
        return "no kind"
    if not _is_time(record.get("time")):
        return "time is no date and time"
    if kind not in kinds:
        return None
    for check in CHECKS[kind]:
        value = _value(record, check.field)
        if not (check.or_null and value is None) and not _fits(value, check.sort):
            return check.why
    return None


def _value(record: dict[str, Any], name: str) -> Any:
    role, field = role_and_field(name)
    holder = record.get(role) if role else record
    return holder.get(field) if isinstance(holder, dict) else None


def _fits(value: Any, sort: Sort) -> bool:
    if sort == "given":
        return value is not None
    if sort == "role":
        return value in ROLES
    text = _text(value)
    if sort == "boolean":
        return text.lower() in {"true", "false", "t", "f", "yes", "no", "y", "n", "1", "0"}
    low, high = _BOUNDS[sort]
    try:
        return low <= float(text) <= high
    except ValueError:
        return False


def _text(value: Any) -> str:
    """As an engine reads a JSON value into a column of text."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_time(value: Any) -> bool:
    found = _TIME.fullmatch(_text(value).strip())
    if found is None:
        return False
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        return EARLIEST <= datetime(year, month, day, hour, minute, second) < LATEST
    except ValueError:
        return False
