"""The door to DuckDB, embedded in this process: a log's files as one table of records."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

import ibis
from ibis.backends import BaseBackend
from ibis.expr import types as ir

ANSWER: Final = dict.fromkeys(
    ("name", "version", "class_name", "prediction", "probability", "seconds"), "VARCHAR"
)


def _struct(fields: Mapping[str, str]) -> str:
    return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in fields.items()) + ")"


READ: Final = {
    "schema": "VARCHAR",
    "kind": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "request_id": "VARCHAR",
    "user": "VARCHAR",
    "context": "JSON",
    "assigned": "VARCHAR",
    "model": "VARCHAR",
    "reason": "VARCHAR",
    "model_name": "VARCHAR",
    "model_version": "VARCHAR",
    "prediction": "VARCHAR",
    "class_name": "VARCHAR",
    "probability": "VARCHAR",
    "seconds": "VARCHAR",
    "champion": _struct(ANSWER),
    "challenger": _struct(ANSWER),
    "agree": "VARCHAR",
    "error": "VARCHAR",
    "outcome": "VARCHAR",
    "value": "VARCHAR",
    "known": "VARCHAR",
}


def connect(memory: str) -> BaseBackend:
    """DuckDB with at most about `memory` (such as 1GB); what does not fit goes to a temporary folder."""
    backend = ibis.duckdb.connect(
        memory_limit=memory, temp_directory=tempfile.gettempdir(), preserve_insertion_order=False
    )
    backend.raw_sql("SET TimeZone = 'UTC'")
    return backend


def json_lines(backend: BaseBackend, files: Sequence[str]) -> ir.Table:
    """Records of files of JSON lines, packed with gzip or not."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in READ.items())
    kept = ", ".join(f'"{name}"' for name in READ if name not in ("time", "context"))
    backend.raw_sql(
        f"""CREATE OR REPLACE TEMP VIEW records AS
        SELECT filename AS file, {kept}, "time" AT TIME ZONE 'UTC' AS "time",
            TRY_CAST(context AS MAP(VARCHAR, VARCHAR)) AS context
        FROM read_json([{", ".join(_quoted(file) for file in files)}], format = 'newline_delimited',
            ignore_errors = true, filename = true, columns = {{{columns}}})"""  # noqa: S608 - quoted
    )
    return backend.table("records")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
