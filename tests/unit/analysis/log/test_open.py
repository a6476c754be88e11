"""Logs of all kinds of files, opened and counted."""

from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest
from ibis.expr import types as ir

from analysis.log import context_of, contexts, open_log
from analysis.log.columns import FEEDBACK, PREDICTIONS, SHADOW
from tests.unit.analysis.make_log import LogPlan, make_records, write_log


def test_three_tables_with_the_columns_of_the_contract(tmp_path: Path) -> None:
    records = make_records(LogPlan(users=30))
    log = open_log(str(write_log(tmp_path / "log", records, files=2)))
    for table, schema, kind in (
        (log.predictions, PREDICTIONS, "prediction"),
        (log.shadow, SHADOW, "shadow"),
        (log.feedback, FEEDBACK, "feedback"),
    ):
        assert table.columns == schema.names
        assert [str(one).lstrip("!") for one in table.schema().types] == [
            str(one).lstrip("!") for one in schema.types
        ]
        expected = sum(record["kind"] == kind for record in records)
        assert log.rows(table.aggregate(n=ibis._.count())) == [{"n": expected}]
    assert log.bad.count == 0


def test_context_by_name(tmp_path: Path) -> None:
    records = make_records(LogPlan(users=30))
    log = open_log(str(write_log(tmp_path, records)))
    rows = log.rows(
        log.predictions.group_by(country=context_of(log.predictions, "country")).aggregate(n=ibis._.count())
    )
    assert {row["country"]: row["n"] for row in rows} == {
        country: sum(r["kind"] == "prediction" and r["context"]["country"] == country for r in records)
        for country in ("NO", "SE", "DE")
    }


def test_contexts_of_a_loaded_log_are_the_same(tmp_path: Path) -> None:
    strange: list[Any] = [
        {"age": 7, "tags": ["a"], "none": None},
        {"a'b\"c": "Åland 🇦🇽"},
        {},
        None,
        7,
        '{"a":"b"}',
    ]
    records = [each for each in make_records(LogPlan(users=9)) if each["kind"] == "prediction"]
    for record, context in zip(records, strange, strict=False):
        record["context"] = context
    log = open_log(str(write_log(tmp_path, records)))
    loaded = log.loaded(predictions=("request_id", "context"))

    def found(table: ir.Table) -> list[dict[str, Any]]:
        values = {f"value_{n}": context_of(table, name) for n, name in enumerate(("age", "a'b\"c", "plan"))}
        return log.rows(table.select("request_id", context=contexts(table), **values).order_by("request_id"))

    assert found(loaded.predictions) == found(log.predictions)
    of_first = {row["request_id"]: row["context"] for row in found(loaded.predictions)}
    assert [of_first[each["request_id"]] for each in records[:6]] == [
        {"age": "7", "tags": '["a"]', "none": None},
        strange[1],
        {},
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("kind", ["prediction", "shadow", "feedback"])
def test_parquet_of_one_kind_of_records(tmp_path: Path, kind: str) -> None:
    """A converter knows nothing of columns that no line has."""
    records = [each for each in make_records(LogPlan(users=30)) if each["kind"] == kind]
    lines = write_log(tmp_path / "lines", records)
    duckdb.sql(f"COPY (FROM read_json('{lines}/*.jsonl')) TO '{tmp_path}/log.parquet'")
    survey = open_log(str(tmp_path / "log.parquet")).survey
    assert survey.records == {"prediction": 0, "shadow": 0, "feedback": 0} | {kind: len(records)}
    assert not survey.bad
