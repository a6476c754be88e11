"""Engines other than DuckDB, as far as they can be had here: SQL for them, and a database behind a URL."""

import builtins
import importlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest

from analysis.errors import EngineError, LogError
from analysis.log import Log, context_of, open_log
from analysis.log.columns import TABLES
from analysis.log.in_database import InDatabase, together
from analysis.log.open import counted, once
from analysis.metric import Kind, Metric
from analysis.users import Covariate, Period, first_requests, in_test, with_measure, with_segments
from tests.engines.same import assert_same
from tests.unit.analysis.make_log import START, LogPlan, make_records, write_log

METRIC = Metric(name="sales", outcome="bought", kind=Kind.MEAN)


def measured(log: Log) -> Any:
    """An expression with all that the measures use."""
    period = Period(START, START + timedelta(days=7), timedelta(days=1))
    users = in_test(log, period)
    before = Covariate(START - timedelta(days=14), START)
    table = with_measure(log, METRIC, period, users, before)
    return with_segments(table, first_requests(log, period, users), {"segment": "country"})


@pytest.mark.parametrize("dialect", ["duckdb", "clickhouse", "trino", "bigquery", "snowflake", "postgres"])
def test_there_is_sql_for_it(dialect: str) -> None:
    """That the statements run there is not proved; that Ibis can say them is."""
    context = "json" if dialect in {"bigquery", "postgres"} else "map<string, string>"
    tables = {
        kind: ibis.table(
            {name: context if name == "context" else of for name, of in schema.items()}, name=kind
        )
        for kind, schema in TABLES.items()
    }
    compiler = importlib.import_module(f"ibis.backends.sql.compilers.{dialect}").compiler
    nothing: Any = None
    log = Log(tables["prediction"], tables["shadow"], once(tables["feedback"]), nothing, nothing)
    wanted = {kind: schema.names for kind, schema in TABLES.items()}
    for expression in (measured(log), counted(together(tables, wanted))):
        assert "SELECT" in compiler.to_sqlglot(expression).sql(compiler.dialect)


@pytest.fixture
def database(tmp_path: Path) -> tuple[str, Log]:
    """A database with the log's tables, and the log from files."""
    log = open_log(str(write_log(tmp_path / "log", make_records(LogPlan(users=40, days_before=3)))))
    file = tmp_path / "warehouse.db"
    with duckdb.connect(str(file)) as warehouse:
        warehouse.execute("CREATE SCHEMA canario")
        for name in ("predictions", "shadow", "feedback"):
            rows = log.backend.to_pyarrow(getattr(log, name))
            warehouse.register("rows", rows)
            warehouse.execute(f"CREATE TABLE canario.{name} AS FROM rows")
    return f"duckdb://{file}", log


def test_a_database_behind_a_url_says_the_same(database: tuple[str, Log]) -> None:
    url, log = database
    other = open_log("canario", engine=url)
    here, there = (sorted(one.rows(measured(one)), key=lambda row: row["user"]) for one in (log, other))
    assert_same(here, there)
    assert other.survey._replace(bad=log.bad) == log.survey
    loaded = other.loaded(predictions=("user", "context"), feedback=("*",))
    by_country = loaded.predictions.group_by(country=context_of(loaded.predictions, "country"))
    assert len(other.rows(by_country.aggregate(n=ibis._.count()))) == 3
    assert not other.bad


def test_what_is_missing_in_a_database(database: tuple[str, Log], tmp_path: Path) -> None:
    url, _log = database
    with pytest.raises(LogError, match=r"elsewhere\.predictions: not in duckdb: .* request_id, time"):
        open_log("elsewhere", engine=url)
    with duckdb.connect(url.removeprefix("duckdb://")) as warehouse:
        warehouse.execute("ALTER TABLE canario.feedback DROP COLUMN value")
    with pytest.raises(LogError, match=r"canario\.feedback: has no value"):
        open_log("canario", engine=url)


def test_a_password_is_not_told() -> None:
    with pytest.raises(EngineError) as caught:
        InDatabase("nosuch://user:hunter2@host/db", "canario")
    assert "nosuch://host/db: no connection" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_engine_that_nobody_knows() -> None:
    with pytest.raises(EngineError, match="'polars' is no engine") as caught:
        open_log("log", engine="polars")
    assert caught.value.exit_code == 3


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("pyspark"):
            raise ImportError(name)
        return known(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    write_log(tmp_path, make_records(LogPlan(users=3)))
    with pytest.raises(EngineError, match="PySpark is not installed"):
        open_log(str(tmp_path), engine="spark")
