"""Lines of charts that are no plain series."""

import numpy as np
import pytest

from board.charts import MOST_OUTCOMES, charts_of, wanted
from board.document import Chart
from board.history import Span
from board.watch import Reading
from common.rate import Rate
from tests.unit.board.scenes import facts, history
from tests.unit.flags.rollout.scenes import JOB, NOW, PERSON, START, changes, off, on, share

NOTHING = (None, None, None)


def outcome_charts(outcomes: dict[tuple[str, str], list[float]], **lines: list[float]) -> list[Chart]:
    charts = charts_of(facts(history=Reading(history(outcomes, **lines), NOW)))
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


def test_an_outcome_has_a_line_of_each_model_with_wilsons_interval() -> None:
    (chart,) = outcome_charts(
        {("bought", "champion"): [0.1, 0.12, 0.11], ("bought", "challenger"): [np.nan, np.nan, 0.2]}
    )
    champion, challenger = chart.lines
    assert (chart.key, champion.name, challenger.name) == ("outcome/bought", "champion", "challenger")
    assert champion.values == (0.1, 0.12, 0.11)
    assert (champion.low[0], champion.high[0]) == pytest.approx(Rate(100, 1000).interval, rel=1e-4)
    assert challenger.values == (None, None, 0.2)
    assert (challenger.low[2], challenger.high[2]) == pytest.approx(Rate(20, 100).interval, rel=1e-4)
    assert challenger.low[:2] == challenger.high[:2] == (None, None)


def test_a_model_whose_users_do_not_buy_while_others_do_has_zero_and_not_nothing() -> None:
    (chart,) = outcome_charts({("bought", "champion"): [0.1, np.nan, 0.1]})
    champion, challenger = chart.lines
    assert champion.values == (0.1, None, 0.1)  # no feedback at all is not known to be none
    assert challenger.values == (None, None, 0.0)  # it had requests at the end only
    assert challenger.low[2] == 0.0
    assert challenger.high[2] == pytest.approx(Rate(0, 100).interval[1], rel=1e-4)


def test_a_model_without_requests_has_no_line() -> None:
    gone = {"assigned_requests:1h|challenger": [np.nan, np.nan, np.nan]}
    (chart,) = outcome_charts({("bought", "champion"): [0.1, 0.1, 0.1]}, **gone)
    assert chart.lines[1].values == chart.lines[1].low == NOTHING


def test_more_feedback_than_requests_is_all_of_them() -> None:
    (chart,) = outcome_charts({("bought", "champion"): [1.3, 1.0, 1.0]})  # Prometheus extrapolates
    assert chart.lines[0].values[0] == chart.lines[0].high[0] == 1.0


def test_only_the_commonest_outcomes_have_charts_by_name() -> None:
    many = {(name, "champion"): [0.01 * place] * 3 for place, name in enumerate("fbdeca", 1)}
    keys = [one.key.removeprefix("outcome/") for one in outcome_charts(many)]
    assert keys == ["a", "c", "d", "e"]
    assert len(keys) == MOST_OUTCOMES
