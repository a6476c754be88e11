"""Spark: the same records from the same files, on one machine or on a cluster.

Lines are read as text and parsed by Spark's SQL functions, without Python between. A session that the process
has already (a notebook's, spark-submit's) is used as it is; otherwise one is begun on this machine.
"""

import os
import shutil
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

import ibis
from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError, LogError
from analysis.log import records
from analysis.log.columns import ANSWER, RAW, ROLES
from analysis.log.engine import Engine, Wanted, brief
from analysis.log.places import Place

_ANSWER: Final = f"STRUCT<{', '.join(f'{name}: STRING' for name in ANSWER)}>"
READ: Final = (
    {name: "STRING" for name in RAW if name != "file"}
    | {"context": "MAP<STRING, STRING>"}
    | dict.fromkeys(ROLES, _ANSWER)
)
"""What is made of each field; text where null would hide what does not fit."""
SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.files.ignoreMissingFiles": "true",  # a log that is written to loses its oldest files
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": str(len(os.sched_getaffinity(0))),
}


class InSpark(Engine):
    """The files of `place` in a Spark session, whose driver may take about `memory` if it is begun here."""

    name = "spark"

    def __init__(self, place: Place, memory: str) -> None:
        self.files, self.bytes = place.files, place.bytes
        self.unusable = place.unusable
        self._numbers = count(1)
        self._session = _session(memory)
        self.backend: BaseBackend = ibis.pyspark.connect(self._session)
        self._raw = []
        try:
            if place.lines:
                self._raw.append(self._view("lines", self._lines(place.lines)))
            if place.parquet:
                self._raw.append(self._view("parquet", self._parquet(place.parquet)))
        except self._errors() as error:
            raise LogError(f"the log cannot be read: {brief(error)}") from error

    def records(self, wanted: Wanted) -> ir.Table:
        """See analysis.log.records.typed; lines and Parquet together."""
        return records.typed(self._raw, wanted)

    def keep(self, table: ir.Table) -> ir.Table:
        """`table`, computed once, in memory and on disk."""
        return self._view(f"kept_{next(self._numbers)}", self._frame(table).persist())

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table."""
        try:
            return [row.asDict(recursive=True) for row in self._frame(table).collect()]
        except self._errors() as error:
            raise LogError(f"the log cannot be read: {brief(error)}") from error

    def _frame(self, table: ir.Table) -> Any:
        return self._session.sql(self.backend.compile(table))

    def _view(self, name: str, frame: Any) -> ir.Table:
        frame.createOrReplaceTempView(name)
        return self.backend.table(name)

    def _lines(self, files: Sequence[str]) -> Any:
        shape = ", ".join(f"`{name}` {kind}" for name, kind in READ.items())
        lines = self._session.read.text(list(files), lineSep="\n").where("length(trim(value)) > 0")
        parsed = lines.selectExpr("_metadata.file_path AS file", f"from_json(value, '{shape}') AS record")
        columns = [f"record.`{name}`" for name in READ if name != "time"]
        return parsed.selectExpr(_path("file"), *columns, _time("record.time"))

    def _parquet(self, files: Sequence[str]) -> Any:
        frame = self._session.read.option("mergeSchema", "true").parquet(*files)
        types = dict(frame.dtypes)
        columns = [_as_read(name, types.get(name), kind) for name, kind in READ.items()]
        return frame.selectExpr(_path("_metadata.file_path"), *columns)

    def _errors(self) -> tuple[type[Exception], ...]:
        from py4j.protocol import Py4JError  # noqa: PLC0415
        from pyspark.errors import PySparkException  # noqa: PLC0415

        return PySparkException, Py4JError


def _session(memory: str) -> Any:
    """The session of this process, begun if there is none.

    Raises:
        EngineError: PySpark or Java is missing, or Spark does not start.
    """
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError as error:
        raise EngineError(
            "PySpark is not installed: pip install --require-hashes -r locks/spark.txt (456 MB to download)"
        ) from error
    session = SparkSession.getActiveSession()
    if session is not None:
        session.conf.set("spark.sql.session.timeZone", "UTC")
        return session
    if not (os.environ.get("SPARK_REMOTE") or shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise EngineError(
            "Spark needs Java 17 or later: install it (openjdk-17-jre-headless), or set JAVA_HOME"
        )
    builder = SparkSession.builder.appName("canario").config(
        "spark.driver.memory", memory.replace("B", "").replace(" ", "")
    )
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # what Spark raises here depends on how far it came
        raise EngineError(f"Spark does not start: {brief(error)}") from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _as_read(name: str, source: str | None, kind: str) -> str:
    """A column of Parquet as it is read from lines."""
    if source is None:
        return f"CAST(NULL AS {'TIMESTAMP_NTZ' if name == 'time' else kind}) AS `{name}`"
    if name == "time":
        return _time("time")
    if name in ROLES or (name == "context" and not source.startswith("map")):
        text = f"`{name}`" if source == "string" else f"to_json(`{name}`, map('ignoreNullFields', 'false'))"
        shape = kind if name == "context" else kind[len("STRUCT<") : -1].replace(": ", " ")
        return f"from_json({text}, '{shape}') AS `{name}`"
    if source in ("boolean", "double"):
        return f"`{name}`"
    return f"CAST(`{name}` AS {kind}) AS `{name}`"


def _path(column: str) -> str:
    """The file as it was given: Spark makes an URL of a path."""
    return f"regexp_replace({column}, '^file:(//)?/', '/') AS file"


def _time(column: str) -> str:
    return f"CAST(TRY_CAST({column} AS TIMESTAMP) AS TIMESTAMP_NTZ) AS time"
