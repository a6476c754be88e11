"""docs/metrics.md has every metric of every process, and no other."""

import re

import pytest

from common.names import JobMetric, MeshMetric, Metric, PlanMetric, Recorded, TokenMetric
from docs import metrics
from docs.metrics import Row, of_job, of_mesh_job, of_plan_job, of_service, of_token, recorded


def test_the_page_is_what_the_code_says() -> None:
    assert metrics.PAGE.read_text(encoding="utf-8") == metrics.page(), "run: python -m docs.metrics"


def test_the_page_has_every_name_in_the_code_with_its_kind() -> None:
    """The page as it is committed: names are those of the code's lists, kinds as Prometheus names them."""
    text = metrics.PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w:]+)` \| (\w+) \|", text, re.MULTILINE))
    of_flask = {"flask_http_request_duration_seconds", "flask_http_request_total"}
    assert rows.keys() - of_flask == {*Metric, *JobMetric, *PlanMetric, *MeshMetric, *TokenMetric, *Recorded}
    assert {name for name, kind in rows.items() if kind == "counter"} == {
        name for name in rows if name.endswith("_total")
    }


def test_every_name_is_there_and_nothing_else_but_http() -> None:
    service = {row.name for row in of_service()}
    assert {name for name in service if not name.startswith("flask_http_")} == set(Metric)
    assert {row.name for row in of_job()} == set(JobMetric)
    assert {row.name for row in of_plan_job()} == set(PlanMetric)
    assert {row.name for row in of_mesh_job()} == set(MeshMetric)
    assert {row.name for row in of_token()} == set(TokenMetric)
    assert {row.name for row in recorded()} == set(Recorded)


@pytest.mark.parametrize(
    "row", [*of_service(), *of_job(), *of_mesh_job(), *recorded()], ids=lambda row: row.name
)
def test_a_row_says_enough(row: Row) -> None:
    assert row.kind in {"counter", "gauge", "histogram"}
    assert len(row.meaning) > 5
    assert (row.kind == "counter") == row.name.endswith("_total")
    assert "|" not in "".join(row)
