"""Logs of all kinds of files, opened and counted."""

from pathlib import Path

import ibis

from analysis.log import context_of, open_log
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
