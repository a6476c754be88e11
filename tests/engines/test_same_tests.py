"""Measures of the A/B test and of its plan: other engines say what DuckDB says, to 1e-9."""

from datetime import timedelta

import pytest

from analysis.abtest.examine import ReportOptions, examine
from analysis.abtest.measure import loaded
from analysis.abtest.registration import PlannedUsers, RegisteredSegment
from analysis.log import Log
from analysis.metric import Direction, Kind, Metric
from analysis.power import question as planning
from tests.engines.conftest import Opened
from tests.engines.same import assert_same
from tests.unit.analysis.abtest.registered import registration
from tests.unit.analysis.make_log import START, LogPlan, make_records, write_log

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

PLAN = LogPlan(users=150, days_before=5, by_user=0.2, changers=0.1, effect=0.2, spread=0.1, seed=11)
UNTIL = START + timedelta(days=8)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, opened: Opened) -> tuple[Log, Log]:
    """Of DuckDB and of the other engine."""
    one, two = opened(write_log(tmp_path_factory.mktemp("log"), make_records(PLAN)))
    return loaded(one, segment=True), loaded(two, segment=True)


@pytest.mark.parametrize(
    ("kind", "sequential"),
    [(Kind.PROPORTION, False), (Kind.MEAN, False), (Kind.COUNT, False), (Kind.MEAN, True)],
)
def test_the_same_test(logs: tuple[Log, Log], kind: Kind, sequential: bool) -> None:
    segment = RegisteredSegment(property="country", value="NO") if kind is Kind.COUNT else None
    test = registration(
        registered=START,
        metric=Metric(name="sales", outcome="bought", kind=kind),
        deviation=20 if kind is Kind.MEAN else None,
        users=PlannedUsers(champion=20, challenger=20),
        window="1d",
        covariate="4d",
        segment=segment,
        guardrails=[Metric(name="returned", outcome="returned", direction=Direction.DECREASE)],
    )
    options = ReportOptions(until=UNTIL, sequential=sequential)
    one, two = (examine(log, test, test.sha256, options, UNTIL) for log in logs)
    assert one.results is not None
    assert_same(one, two, where="examined")


def test_the_same_plan(logs: tuple[Log, Log]) -> None:
    metric = Metric(name="sales", outcome="bought", kind=Kind.MEAN)
    plans = []
    for log in logs:
        period, arrivals = planning.traffic(log, timedelta(days=1), None)
        plans.append((period, arrivals, planning.level(log, metric, period)))
    one, two = plans
    assert_same(one, two, where="plan")
