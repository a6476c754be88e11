"""Users as the unit, against the same in plain Python on random logs."""

from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.abtest.measure import loaded
from analysis.log import open_log
from analysis.metric import Kind, Metric
from analysis.users import Covariate, Period, first_requests, in_test, with_measure, with_segments
from tests.thorough import part
from tests.unit.analysis.make_log import (
    START,
    write_log,
)
from tests.unit.analysis.plain_users import plain_users
from tests.unit.analysis.untidy_log import untidy

UNTIL = START + timedelta(days=7)
WINDOW = timedelta(hours=6)
CASES = [
    (Period(START, UNTIL, WINDOW), Covariate(START - timedelta(days=60), START)),
    (Period(START, UNTIL, timedelta(days=3)), Covariate(START - timedelta(days=2), START)),
    (
        Period(START + timedelta(days=1), UNTIL, WINDOW),
        Covariate(START - timedelta(days=60), START - timedelta(days=1)),
    ),
]


@pytest.mark.parametrize("seed", range(part(12)))
def test_the_same_as_in_plain_python(tmp_path: Path, seed: int) -> None:
    records = untidy(seed)
    log = open_log(str(write_log(tmp_path, records, files=2)))
    if seed % 2:
        log = loaded(log, segment=True)
    for kind, (period, covariate) in zip(Kind, (CASES * 2)[seed % 3 :], strict=False):
        metric = Metric(name="sales", outcome="bought", kind=kind)
        users = in_test(log, period)
        table = with_measure(log, metric, period, users, covariate)
        rows = log.rows(with_segments(table, first_requests(log, period, users), {"segment": "country"}))
        expected = plain_users(records, metric, period, covariate, "country")
        assert sorted(row["user"] for row in rows) == sorted(expected)
        for row in rows:
            check(row, expected[row["user"]])
        norwegians = log.rows(in_test(log, replace(period, segment=("country", "NO"))))
        wanted = sorted(user for user, row in expected.items() if row["segment"] == "NO")
        assert sorted(row["user"] for row in norwegians) == wanted


def check(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises AssertionError where a row is not as wanted."""
    assert row["first"].replace(tzinfo=UTC) == wanted["first"]
    for name in ("assigned", "assignments", "outcomes", "segment"):
        assert row[name] == wanted[name], name
    for name in ("total", "measure", "before"):
        assert row[name] == pytest.approx(wanted[name], abs=1e-9), name
