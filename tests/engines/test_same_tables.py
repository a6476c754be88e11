"""The same expressions on the same logs: other engines say what DuckDB says, to 1e-9."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analysis.log import BadLines, Log, open_log
from analysis.log.left_out import left_out, named_requests
from analysis.metric import Kind, Metric
from analysis.segments.measure import divided
from analysis.shadow.measure import read_shadow
from analysis.users import Covariate, Period, first_requests, in_test, with_measure, with_segments
from tests.engines.conftest import Opened
from tests.engines.same import assert_same
from tests.unit.analysis.lines import BAD, GOOD
from tests.unit.analysis.make_log import START, LogPlan, make_records, write_log
from tests.unit.analysis.untidy_log import untidy

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # libraries of the engines warn of each other
]

PLAN = LogPlan(
    users=80, days_before=4, by_user=0.2, changers=0.1, failures=0.1, nans=0.1, shift=0.2, effect=0.2, seed=7
)
NOT_SEEN_BY_SPARK = {
    "no UTF-8",  # is repaired
    "two in one line",  # the first is taken
    "NaN",  # is a number, as Java writes it
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bad = [text for name, (text, _why) in BAD.items() if name not in NOT_SEEN_BY_SPARK]
    return write_log(
        tmp_path_factory.mktemp("log"), make_records(PLAN) + untidy(3), files=3, bad=[*bad, *GOOD.values()]
    )


@pytest.fixture(scope="module")
def logs(folder: Path, opened: Opened) -> tuple[Log, Log]:
    """Of DuckDB and of the other engine."""
    return opened(folder)


def rows(log: Log, table: Any) -> list[dict[str, Any]]:
    """In one order."""
    return sorted(
        (
            {name: dict(value) if name == "context" else value for name, value in row.items()}
            for row in log.rows(table)
        ),
        key=repr,
    )


def test_the_same_tables(logs: tuple[Log, Log]) -> None:
    for name in ("predictions", "shadow", "feedback"):
        one, two = (rows(log, getattr(log, name)) for log in logs)
        assert len(one) > 20
        assert_same(one, two, where=name)


def test_the_same_bad_lines(logs: tuple[Log, Log]) -> None:
    one, two = (log.survey for log in logs)
    assert one.bad.count == len(BAD) - len(NOT_SEEN_BY_SPARK)
    if logs[1].engine == "spark":
        assert two == one
    else:  # what is in its tables was good enough for whoever loaded it, and came once
        told = one.records | {"feedback": len(rows(logs[0], logs[0].feedback))}
        assert two == one._replace(records=told, bad=BadLines())


def test_parquet_too(logs: tuple[Log, Log], folder: Path, tmp_path: Path) -> None:
    if logs[1].engine != "spark":
        pytest.skip("of files")
    duckdb.sql(f"COPY (FROM read_json('{folder}/*-002.jsonl')) TO '{tmp_path}/log.parquet'")
    one, two = (open_log(str(tmp_path), engine=engine) for engine in ("duckdb", "spark"))
    for name in ("predictions", "shadow", "feedback"):
        assert_same(rows(one, getattr(one, name)), rows(two, getattr(two, name)), where=name)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_users(logs: tuple[Log, Log], kind: Kind) -> None:
    metric = Metric(name="sales", outcome="bought", kind=kind)
    period = Period(START, START + timedelta(days=7), timedelta(hours=6))
    before = Covariate(START - timedelta(days=14), START)
    tables = []
    for log in logs:
        users = in_test(log, period)
        table = with_measure(log, metric, period, users, before)
        asked = first_requests(log, period, users)
        tables.append(rows(log, with_segments(table, asked, {"segment": "country"})))
    one, two = tables
    assert len(one) > 50
    assert_same(one, two, where="users")


def test_the_same_is_left_out(logs: tuple[Log, Log]) -> None:
    metric = Metric(name="sales", outcome="bought", kind=Kind.COUNT)
    period = Period(START, START + timedelta(days=7), timedelta(hours=6))
    one, two = (left_out(log, metric, period, in_test(log, period)) for log in logs)
    assert one.late
    assert one.unknown
    assert_same(one, two, where="left out")
    assert_same(*(named_requests(log) for log in logs), where="named requests")


def test_loaded_is_the_same(logs: tuple[Log, Log]) -> None:
    one, two = (log.loaded(predictions=("user", "seconds"), feedback=("*",)) for log in logs)
    assert_same(rows(one, one.predictions), rows(two, two.predictions))
    assert_same(rows(one, one.feedback), rows(two, two.feedback))
    assert two.bad == (one.bad if logs[1].engine == "spark" else BadLines())


def test_the_same_shadow(logs: tuple[Log, Log]) -> None:
    one, two = (read_shadow(log) for log in logs)
    assert_same(one, two, where="shadow")


def test_the_same_segments(logs: tuple[Log, Log]) -> None:
    metric = Metric(name="sales", outcome="bought", kind=Kind.MEAN)
    until = START + timedelta(days=7)
    period = Period(START, until, timedelta(hours=6))
    for least in (5, 100):
        one, two = (divided(log, metric, period, until, (), least) for log in logs)
        assert set(one.segments) == {"country", "plan"}  # others come with later requests only
        assert_same(one, two, where="segments")
