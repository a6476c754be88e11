"""Lines of charts that are no plain series."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from board.charts import MOST_OUTCOMES, charts_of, wanted
from board.document import Chart
from board.history import Counts, Span
from board.watch import Reading
from common.rate import Rate
from flags.rollout.situation import Situation
from tests.unit.board.scenes import facts, history, numbers
from tests.unit.flags.rollout.scenes import (
    JOB,
    NOW,
    PERSON,
    PLAN_JOB,
    START,
    changes,
    of_log,
    off,
    on,
    share,
)

NOTHING = (None, None, None)
LONG_AGO = NOW - timedelta(days=1)


def counts(hits: dict[tuple[str, str], list[float]], **fields: Any) -> Counts:
    """What was counted in the two steps between the three moments of `history`."""
    told = Counts(
        requests={"champion": np.array([500.0, 500.0]), "challenger": np.array([0.0, 100.0])},
        outcomes={key: np.array(line) for key, line in hits.items()},
    )
    return replace(told, **fields)


def outcome_charts(found: Counts, seen: Situation | None = None) -> list[Chart]:
    stage = numbers(since=LONG_AGO)
    charts = charts_of(facts(seen, told=stage, history=Reading(history(found), NOW)))
    assert charts
    return [one for one in charts.all if one.key.startswith("outcome/")]


def test_the_wanted_share_is_a_step_at_each_change() -> None:
    log = changes(*START, share(PERSON, 0, 5), share(PERSON, 5, 25), off(JOB), on(PERSON))
    first = int(log[0].at.timestamp())
    moves = [int(one.at.timestamp()) for one in log]
    assert wanted(log, [first - 1, *moves]) == (None, 0.0, 0.0, 0.0, 5.0, 25.0, 0.0, 25.0)


def test_no_change_is_no_line() -> None:
    assert wanted((), [1, 2]) == (None, None)


def test_each_span_has_as_many_points_as_a_screen() -> None:
    assert {span.value: span.points for span in Span} == {
        "15m": 181,
        "1h": 241,
        "6h": 241,
        "1d": 241,
        "7d": 225,
    }


def test_an_outcome_counts_up_with_wilsons_interval() -> None:
    (chart,) = outcome_charts(
        counts({("bought", "champion"): [50.0, 60.0], ("bought", "challenger"): [0.0, 20.0]})
    )
    champion, challenger = chart.lines
    assert (chart.key, champion.name, challenger.name) == ("outcome/bought", "champion", "challenger")
    assert champion.values == (None, 0.1, 0.11)
    assert (champion.low[2], champion.high[2]) == pytest.approx(Rate(110, 1000).interval, rel=1e-4)
    assert challenger.values == (None, None, 0.2)
    assert (challenger.low[2], challenger.high[2]) == pytest.approx(Rate(20, 100).interval, rel=1e-4)
    assert challenger.low[:2] == challenger.high[:2] == (None, None)


def test_a_stage_that_began_before_the_chart_brings_what_it_has_counted() -> None:
    known = {
        "since": LONG_AGO,
        "requests_before": {"champion": 9000.0, "challenger": 400.0},
        "outcomes_before": {("bought", "champion"): 900.0, ("bought", "challenger"): 30.0},
    }
    (chart,) = outcome_charts(
        counts({("bought", "champion"): [50.0, 50.0], ("bought", "challenger"): [0.0, 10.0]}, **known)
    )
    champion, challenger = chart.lines
    assert champion.values == pytest.approx((0.1, 0.1, 0.1))
    assert challenger.values == pytest.approx((0.075, 0.075, 0.08))
    assert chart.since == LONG_AGO


def at_25_since(seconds: float) -> Situation:
    """The share went from 1% to 25% so long ago."""
    log = changes(*START, share(PLAN_JOB, 0, 1), share(PLAN_JOB, 1, 25))
    log[-1] = replace(log[-1], at=NOW - timedelta(seconds=seconds))
    return of_log(log, 25)


def test_stages_are_not_pooled_so_the_comparison_cannot_turn_round() -> None:
    """In a good time of few challenger's users, then in a bad one of many, it is better in both."""
    hits = {("bought", "champion"): [200.0, 10.0], ("bought", "challenger"): [2.2, 10.0]}
    asked = {"champion": np.array([1000.0, 300.0]), "challenger": np.array([10.0, 100.0])}
    pooled = ((200 + 10) / 1300, (2.2 + 10) / 110)
    assert pooled[0] > pooled[1]  # all hours together: the champion looks better
    (chart,) = outcome_charts(counts(hits, requests=asked), at_25_since(5))
    champion, challenger = chart.lines
    assert champion.values == (None, None, 0.033333)
    assert challenger.values == (None, None, 0.1)  # each stage begins at 0: the first moment has nothing
    assert chart.since == NOW - timedelta(seconds=5)


def test_a_step_in_which_the_stage_changes_belongs_to_none() -> None:
    hits = {("bought", "champion"): [40.0, 7.0], ("bought", "challenger"): [4.0, 1.0]}
    (chart,) = outcome_charts(counts(hits), at_25_since(7))  # between the first and the second moment
    assert chart.lines[0].values == (None, None, 0.014)


def test_another_version_begins_anew() -> None:
    hits = {("bought", "champion"): [40.0, 7.0], ("bought", "challenger"): [4.0, 1.0]}
    (chart,) = outcome_charts(counts(hits, swaps=(1,)))
    assert chart.lines[0].values == (None, None, 0.014)


def test_a_model_whose_users_do_not_buy_while_others_do_has_zero_and_not_nothing() -> None:
    (chart,) = outcome_charts(counts({("bought", "champion"): [0.0, 100.0]}))
    champion, challenger = chart.lines
    assert champion.values == (None, None, 0.1)  # no feedback at all is not known to be none
    assert challenger.values == (None, None, 0.0)  # it had requests at the end only
    assert challenger.low[2] == 0.0
    assert challenger.high[2] == pytest.approx(Rate(0, 100).interval[1], rel=1e-4)


def test_a_model_without_requests_has_no_line() -> None:
    gone = {"champion": np.array([500.0, 500.0])}
    (chart,) = outcome_charts(counts({("bought", "champion"): [50.0, 50.0]}, requests=gone))
    assert chart.lines[1].values == chart.lines[1].low == NOTHING


def test_more_feedback_than_requests_is_all_of_them() -> None:
    (chart,) = outcome_charts(counts({("bought", "champion"): [600.0, 500.0]}))  # on requests of before
    assert chart.lines[0].values[1] == chart.lines[0].high[1] == 1.0


def test_only_the_commonest_outcomes_have_charts_by_name() -> None:
    many = {(name, "champion"): [float(place)] * 2 for place, name in enumerate("fbdeca", 1)}
    keys = [one.key.removeprefix("outcome/") for one in outcome_charts(counts(many))]
    assert keys == ["a", "c", "d", "e"]
    assert len(keys) == MOST_OUTCOMES
