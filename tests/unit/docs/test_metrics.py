"""docs/metrics.md has every metric of every process, and no other."""

from pathlib import Path

import pytest

from common.names import JobMetric, Metric, PlanMetric, Recorded, TokenMetric
from docs import metrics
from docs.metrics import Row, of_job, of_plan_job, of_service, of_token, recorded

REPOSITORY = Path(__file__).parents[3]


def test_the_page_is_what_the_code_says() -> None:
    assert metrics.PAGE.read_text(encoding="utf-8") == metrics.page(), "run: python -m docs.metrics"


def test_every_name_is_there_and_nothing_else_but_http() -> None:
    service = {row.name for row in of_service()}
    assert {name for name in service if not name.startswith("flask_http_")} == set(Metric)
    assert {row.name for row in of_job()} == set(JobMetric)
    assert {row.name for row in of_plan_job()} == set(PlanMetric)
    assert {row.name for row in of_token()} == set(TokenMetric)
    assert {row.name for row in recorded()} == set(Recorded)


@pytest.mark.parametrize("row", [*of_service(), *of_job(), *recorded()], ids=lambda row: row.name)
def test_a_row_says_enough(row: Row) -> None:
    assert row.kind in {"counter", "gauge", "histogram"}
    assert len(row.meaning) > 5
    assert (row.kind == "counter") == row.name.endswith("_total")
    assert "|" not in "".join(row)
