from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import pytest

from common.answers import Track
from common.selector import Selector
from rollback.guardrails.counts import Counted, count_all
from rollback.guardrails.edges import Buckets, Edges, quantile
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.kinds.question import Moment, NotYet
from rollback.guardrails.kinds.sequential import Counting, Sequential
from rollback.guardrails.measure import cold
from rollback.guardrails.tally import SeriesPlan, bucket_selector, selector
from rollback.guardrails.window import Grid
from tests.unit.rollback.conftest import ARMS, NOW, SEQUENTIAL, TAIL, policy_of

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
STEP = timedelta(seconds=15)
X = Selector("x_bucket")


def plan(
    guardrail: Guardrail,
    known: Mapping[str, Buckets],
    before: Mapping[str, Buckets],
    learnt: Mapping[str, tuple[Buckets, datetime]],
    start: datetime,
) -> SeriesPlan:
    """What it asks where counting begins at `start`, if it may ask."""
    grid = Grid(start, STEP, 2, start + 2 * STEP)
    moment = Moment(
        policy_of(SEQUENTIAL), grid.now, start, grid, known=known, before=before, learnt=learnt, arms=ARMS
    )
    question = guardrail.ask(moment)
    assert isinstance(question, Counting)
    return question.plan


def planned(fields: dict[str, object], before: float, learnt: bool = False) -> SeriesPlan:
    (guardrail,) = policy_of(fields).of(Sequential)
    first = {"x": (buckets(1000, 0.2), NOW)} if learnt else {}
    return plan(guardrail, KNOWN, {"x": buckets(before, 0.012)}, first, NOW)


def test_a_quantile_is_that_of_prometheus() -> None:
    assert quantile(0.5, {"1": 0, "2": 10, "+Inf": 10}) == 1.5
    assert quantile(0.99, {"1": 5, "2": 9, "+Inf": 10}) == 2  # in the last bucket: its lower edge
    assert quantile(0.5, {"1": 0, "2": 0, "+Inf": 0}) == 1


def test_edges_are_those_of_the_champion_before_the_stage() -> None:
    assert planned(TAIL, 1000) == SeriesPlan(X, X, Edges("0.012", "0.0144"))
    with pytest.raises(NotYet, match="1,000 of its calls"):
        planned(TAIL, 999)


def test_a_champion_that_was_not_called_before_is_learnt_and_counted_afterwards() -> None:
    found = planned({**TAIL, "margin": 5.0}, 0, learnt=True)
    assert (found.edges, found.counting_from) == (Edges("0.2", "1.0"), NOW)
    guardrails = policy_of(TAIL, {**LIMIT, "name": "hard"}).of(Sequential)
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
    (guardrail,) = policy_of({**LIMIT, "histogram": "typo"}).of(Sequential)
    with pytest.raises(ValueError, match="no series of typo_bucket; is the name right"):
        plan(guardrail, KNOWN, {}, {}, NOW)
    with pytest.raises(NotYet, match="nobody has been counted in typo_bucket yet"):
        plan(guardrail, {"typo": {"0.2": 0.0, "+Inf": 0.0}}, {}, {}, NOW)


def test_a_lag_puts_counting_off() -> None:
    assert planned({**SEQUENTIAL, "lag": "1m"}, 0).counting_from == NOW + timedelta(minutes=1)


def test_one_selector_fetches_what_all_need() -> None:
    plans = [planned(SEQUENTIAL, 0), planned(TAIL, 1000)]
    assert selector(plans, ARMS) == (
        '{__name__=~"bad_total|calls_total|x_bucket", job="service", model=~"champion|challenger",'
        ' le=~"|\\\\+Inf|0\\\\.012|0\\\\.0144"}'
    )


GRID = Grid(NOW, timedelta(seconds=15), 2, NOW + timedelta(seconds=37))


def counted(*series: tuple[dict[str, str], list[float]]) -> list[Counted]:
    return count_all(Track(labels, np.array(values, dtype=np.float64)) for labels, values in series)


def test_counters_are_added_up_by_model_and_matchers() -> None:
    (guardrail,) = policy_of({**SEQUENTIAL, "bad": 'bad_total{reason!="busy"}'}).of(Sequential)
    counts, missing = plan(guardrail, {}, {}, {}, NOW).count(
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
    assert [list(each) for each in counts.arms] == [[10, 10, 10], [0, 0, 0], [1, 1, 1], [1, 1, 0]]


def test_a_counter_that_nobody_has_is_told() -> None:
    (guardrail,) = policy_of(SEQUENTIAL).of(Sequential)
    counts, missing = plan(guardrail, {}, {}, {}, NOW).count(
        counted(({"__name__": "calls_total", "model": "champion"}, [0, 10, 20, 30])), GRID
    )
    assert missing == "bad_total"
    assert counts.challenger_total.sum() == 0


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ('calls_total{status=~"5.."}', None),
        ('calls_total{code=~"5.."}', "calls_total with a label code"),
        ('other_total{code=~"5.."}', 'other_total{code=~"5.."}'),
    ],
)
def test_bad_calls_that_are_part_of_all_are_told_apart_by_a_label_that_is_there(
    bad: str, expected: str | None
) -> None:
    """Nobody may have failed yet; but without the label nobody could ever be seen to."""
    (guardrail,) = policy_of({**SEQUENTIAL, "bad": bad}).of(Sequential)
    series = {"__name__": "calls_total", "model": "champion", "status": "200"}
    counts, missing = plan(guardrail, {}, {}, {}, NOW).count(counted((series, [0, 10, 20, 30])), GRID)
    assert missing == expected
    assert counts.champion_bad.sum() == 0


def test_slow_calls_are_all_less_the_fast_and_begin_when_they_are_to() -> None:
    series = counted(
        ({"__name__": "x_bucket", "model": "champion", "le": "+Inf"}, [0, 10, 20, 30]),
        ({"__name__": "x_bucket", "model": "champion", "le": "0.012"}, [0, 9, 18, 27]),
        ({"__name__": "x_bucket", "model": "challenger", "le": "+Inf"}, [0, 5, 10, 15]),
        ({"__name__": "x_bucket", "model": "challenger", "le": "0.0144"}, [0, 3, 6, 9]),
    )
    edges = Edges("0.012", "0.0144")
    counts, _ = SeriesPlan(X, X, edges).count(series, GRID)
    assert [list(each) for each in counts.arms] == [[10, 10, 10], [1, 1, 1], [5, 5, 5], [2, 2, 2]]
    counts, _ = SeriesPlan(X, X, edges, NOW + timedelta(seconds=14)).count(series, GRID)
    assert list(counts.champion_total) == [0, 10, 10]


def test_the_champions_calls_are_counted_by_bucket_in_spans() -> None:
    fields = {
        **SEQUENTIAL,
        "by": "user-windows",
        "buckets": {"calls": "c_total", "bad": "b_total", "label": "part"},
    }
    (guardrail,) = policy_of(fields).of(Sequential)
    asked = plan(guardrail, {}, {}, {}, NOW)
    assert bucket_selector([asked], ARMS) == '{__name__=~"b_total|c_total", job="service", model="champion"}'
    assert bucket_selector([planned(SEQUENTIAL, 0)], ARMS) is None
    grid = Grid(NOW, STEP, 85, NOW + 85 * STEP)  # 21 minutes: two spans
    assert (grid.span_steps, grid.spans) == (40, 2)
    by_bucket = counted(
        ({"__name__": "c_total", "model": "champion", "part": "7", "instance": "a"}, [0, 10, 30]),
        ({"__name__": "c_total", "model": "champion", "part": "7", "instance": "b"}, [5, 6, 1]),
        ({"__name__": "c_total", "model": "champion", "part": "8", "instance": "a"}, [0, 9, 19]),
        ({"__name__": "b_total", "model": "champion", "part": "8", "instance": "a"}, [0, 1, 1]),
        ({"__name__": "c_total", "model": "challenger", "part": "1", "instance": "a"}, [0, 9, 19]),
    )
    counts, missing = asked.count([], grid, by_bucket)
    assert missing == "calls_total"
    assert counts.buckets is not None
    assert counts.buckets.every == 40
    assert counts.buckets.calls.tolist() == [[11, 9], [21, 10]]  # the counter of b began anew
    assert counts.buckets.bad.tolist() == [[0, 1], [0, 0]]


def test_buckets_that_nobody_counts_are_told() -> None:
    fields = {**SEQUENTIAL, "by": "user-windows", "buckets": {"calls": "c_total", "bad": "b_total"}}
    (guardrail,) = policy_of(fields).of(Sequential)
    series = counted(
        *(
            ({"__name__": name, "model": model}, [0.0] * 43)
            for name in ("calls_total", "bad_total")
            for model in ("champion", "challenger")
        )
    )
    asked = plan(guardrail, {}, {}, {}, NOW)
    assert asked.count(series, Grid(NOW, STEP, 41, NOW + 41 * STEP))[1] == "c_total"
    young = counted(*((dict(each.labels), [0.0] * 4) for each in series))
    assert asked.count(young, GRID)[1] is None  # within the first ten minutes they are not needed
