from datetime import timedelta

import numpy as np
import pytest

from common.answers import Track
from rollback.counts import Counted, count_all
from rollback.edges import Edges, quantile
from rollback.plans import NotYet, cold, plan
from rollback.tally import Plan, selector
from rollback.window import Grid
from tests.unit.rollback.conftest import NOW, SEQUENTIAL, TAIL, policy_of

EDGES = [0.005, 0.01, 0.012, 0.0144, 0.2, 1.0]
LIMIT: dict[str, object] = {
    **{name: value for name, value in TAIL.items() if name not in {"quantile", "margin"}},
    "slower_than": "100ms",
    "limit": 0.01,
}


def buckets(calls: float, p99: float) -> dict[str, float]:
    """So many calls, 99% of which took up to `p99`."""
    found = {str(edge): calls * (0.99 if edge >= p99 else 0.5) for edge in EDGES}
    return {**found, "+Inf": calls}


KNOWN = {"x": buckets(5000, 0.012)}


def planned(fields: dict[str, object], before: float, learnt: bool = False) -> Plan:
    (guardrail,) = policy_of(fields).sequential
    first = {"x": (buckets(1000, 0.2), NOW)} if learnt else {}
    return plan(guardrail, KNOWN, {"x": buckets(before, 0.012)}, first, NOW)


def test_a_quantile_is_that_of_prometheus() -> None:
    assert quantile(0.5, {"1": 0, "2": 10, "+Inf": 10}) == 1.5
    assert quantile(0.99, {"1": 5, "2": 9, "+Inf": 10}) == 2  # in the last bucket: its lower edge
    assert quantile(0.5, {"1": 0, "2": 0, "+Inf": 0}) == 1


def test_edges_are_those_of_the_champion_before_the_stage() -> None:
    assert planned(TAIL, 1000) == Plan(policy_of(TAIL).sequential[0], Edges("0.012", "0.0144"))
    with pytest.raises(NotYet, match="1,000 of its calls"):
        planned(TAIL, 999)


def test_a_champion_that_was_not_called_before_is_learnt_and_counted_afterwards() -> None:
    found = planned({**TAIL, "margin": 5.0}, 0, learnt=True)
    assert (found.edges, found.counting_from) == (Edges("0.2", "1.0"), NOW)
    guardrails = policy_of(TAIL, {**LIMIT, "name": "hard"}).sequential
    assert cold(guardrails, {"x": buckets(999, 0.012)}) == ["x"]
    assert cold(guardrails, {"x": buckets(1000, 0.012)}) == []
    assert cold(guardrails[1:], {}) == []


def test_a_fixed_time_needs_no_champion_and_takes_the_next_edge() -> None:
    assert planned(LIMIT, 0).edges == Edges("0.2", "0.2")
    with pytest.raises(ValueError, match="x has no bucket that ends at 2s or later"):
        planned({**LIMIT, "slower_than": "2s"}, 0)
    with pytest.raises(ValueError, match="above the last edge"):
        planned({**TAIL, "floor": "900ms", "margin": 9.0}, 1000)


def test_a_histogram_that_nobody_counts_is_said() -> None:
    (guardrail,) = policy_of({**LIMIT, "histogram": "typo"}).sequential
    with pytest.raises(ValueError, match="no series of typo_bucket; is the name right"):
        plan(guardrail, KNOWN, {}, {}, NOW)
    with pytest.raises(NotYet, match="nobody has been counted in typo_bucket yet"):
        plan(guardrail, {"typo": {"0.2": 0.0, "+Inf": 0.0}}, {}, {}, NOW)


def test_a_lag_puts_counting_off() -> None:
    assert planned({**SEQUENTIAL, "lag": "1m"}, 0).counting_from == NOW + timedelta(minutes=1)


def test_one_selector_fetches_what_all_need() -> None:
    plans = [planned(SEQUENTIAL, 0), planned(TAIL, 1000)]
    assert selector(plans, 'job="service"') == (
        '{__name__=~"bad_total|calls_total|x_bucket", job="service", model=~"champion|challenger",'
        ' le=~"|\\\\+Inf|0\\\\.012|0\\\\.0144"}'
    )


GRID = Grid(NOW, timedelta(seconds=15), 2, NOW + timedelta(seconds=37))


def counted(*series: tuple[dict[str, str], list[float]]) -> list[Counted]:
    return count_all(Track(labels, np.array(values, dtype=np.float64)) for labels, values in series)


def test_counters_are_added_up_by_model_and_matchers() -> None:
    (guardrail,) = policy_of({**SEQUENTIAL, "bad": 'bad_total{reason!="busy"}'}).sequential
    counts, missing = Plan(guardrail).count(
        counted(
            ({"__name__": "calls_total", "model": "champion"}, [0, 10, 20, 30]),
            ({"__name__": "calls_total", "model": "challenger"}, [0, 1, 2, 3]),
            ({"__name__": "bad_total", "model": "challenger", "reason": "late"}, [0, 1, 1, 1]),
            ({"__name__": "bad_total", "model": "challenger", "reason": "wrong"}, [0, 0, 1, 1]),
            ({"__name__": "bad_total", "model": "challenger", "reason": "busy"}, [0, 5, 9, 9]),
            ({"__name__": "calls_total", "model": "unknown"}, [0, 9, 9, 9]),
        ),
        GRID,
    )
    assert missing is None
    assert [list(each) for each in vars(counts).values()] == [[10, 10, 10], [0, 0, 0], [1, 1, 1], [1, 1, 0]]


def test_a_counter_that_nobody_has_is_told() -> None:
    (guardrail,) = policy_of(SEQUENTIAL).sequential
    counts, missing = Plan(guardrail).count(
        counted(({"__name__": "calls_total", "model": "champion"}, [0, 10, 20, 30])), GRID
    )
    assert missing == "bad_total"
    assert counts.challenger_total.sum() == 0


def test_slow_calls_are_all_less_the_fast_and_begin_when_they_are_to() -> None:
    (guardrail,) = policy_of(TAIL).sequential
    series = counted(
        ({"__name__": "x_bucket", "model": "champion", "le": "+Inf"}, [0, 10, 20, 30]),
        ({"__name__": "x_bucket", "model": "champion", "le": "0.012"}, [0, 9, 18, 27]),
        ({"__name__": "x_bucket", "model": "challenger", "le": "+Inf"}, [0, 5, 10, 15]),
        ({"__name__": "x_bucket", "model": "challenger", "le": "0.0144"}, [0, 3, 6, 9]),
    )
    edges = Edges("0.012", "0.0144")
    counts, _ = Plan(guardrail, edges).count(series, GRID)
    assert [list(each) for each in vars(counts).values()] == [[10, 10, 10], [1, 1, 1], [5, 5, 5], [2, 2, 2]]
    counts, _ = Plan(guardrail, edges, NOW + timedelta(seconds=14)).count(series, GRID)
    assert list(counts.champion_total) == [0, 10, 10]
