"""Means and ratios per user, held to scipy, statsmodels and the delta method written out."""

from math import exp, inf, log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, ttest_ind
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
from tea_tasting.aggr import Aggregates

from analysis.statistics.means import Columns, compare, narrowing, usable

Values = NDArray[np.float64]


def aggregates(**columns: Values) -> Aggregates:
    """What the engine hands over."""
    names = list(columns)
    covariances = np.cov(np.array(list(columns.values()))).reshape(len(names), len(names))
    return Aggregates(
        count_=len(columns[names[0]]),
        mean_={name: float(values.mean()) for name, values in columns.items()},
        var_={name: float(covariances[i, i]) for i, name in enumerate(names)},
        cov_={(a, b): float(covariances[i, j]) for i, a in enumerate(names) for j, b in enumerate(names)},
    )


@pytest.fixture
def arms() -> tuple[Values, Values]:
    dice = np.random.default_rng(3)
    return dice.lognormal(3, 1, 900), dice.lognormal(3.15, 1.2, 120)


def test_welch_is_that_of_scipy_and_statsmodels(arms: tuple[Values, Values]) -> None:
    champion, challenger = arms
    effect = compare(aggregates(y=champion), aggregates(y=challenger), Columns("y"))
    assert effect.p == pytest.approx(ttest_ind(challenger, champion, equal_var=False).pvalue, abs=1e-9)
    expected = CompareMeans(DescrStatsW(challenger), DescrStatsW(champion)).tconfint_diff(usevar="unequal")
    assert (effect.absolute.low, effect.absolute.high) == pytest.approx(expected, abs=1e-6)
    assert effect.difference == pytest.approx(challenger.mean() - champion.mean())


def test_the_relative_interval_is_the_delta_methods(arms: tuple[Values, Values]) -> None:
    champion, challenger = arms
    effect = compare(aggregates(y=champion), aggregates(y=challenger), Columns("y"))
    deviation = sqrt(sum(each.var(ddof=1) / len(each) / each.mean() ** 2 for each in arms))
    found = log(challenger.mean() / champion.mean())
    assert effect.relative is not None
    assert effect.relative.low == pytest.approx(exp(found - 1.96 * deviation) - 1, abs=0.01)  # t for normal
    assert effect.relative_difference == pytest.approx(exp(found) - 1)


def test_ratios_per_request_know_that_the_user_is_the_unit() -> None:
    dice = np.random.default_rng(4)

    def arm(users: int) -> dict[str, Values]:
        requests = dice.geometric(0.2, users).astype(float)
        return {"requests": requests, "y": dice.binomial(requests.astype(int), dice.beta(2, 6, users)) * 1.0}

    champion, challenger = arm(4000), arm(700)
    effect = compare(aggregates(**champion), aggregates(**challenger), Columns("y", "requests"))
    variances = []
    for each in (champion, challenger):  # of the linearised values, user by user
        ratio = each["y"].mean() / each["requests"].mean()
        linear = (each["y"] - ratio * each["requests"]) / each["requests"].mean()
        variances.append(linear.var(ddof=1) / len(linear))
    z = effect.difference / sqrt(sum(variances))
    assert effect.p == pytest.approx(2 * norm.sf(abs(z)), abs=1e-3)  # t for normal
    pooled = (champion["y"].sum() + challenger["y"].sum()) / (
        champion["requests"].sum() + challenger["requests"].sum()
    )
    naive = sqrt(pooled * (1 - pooled) * (1 / champion["requests"].sum() + 1 / challenger["requests"].sum()))
    assert effect.absolute.width > 1.3 * 2 * 1.96 * naive


def test_a_covariate_narrows_by_what_its_correlation_says() -> None:
    dice = np.random.default_rng(5)

    def arm(users: int, effect: float) -> Aggregates:
        before = dice.normal(10, 3, users)
        return aggregates(before=before, y=before + effect + dice.normal(0, 3, users))

    champion, challenger = arm(5000, 0.0), arm(5000, 0.15)
    columns = Columns("y", covariate="before")
    plain, adjusted = compare(champion, challenger, Columns("y")), compare(champion, challenger, columns)
    worth = narrowing(champion + challenger, columns, plain, adjusted)
    assert worth.correlation == pytest.approx(sqrt(0.5), abs=0.02)
    assert worth.width == pytest.approx(sqrt(1 - worth.correlation**2), abs=0.005)
    assert worth.users_saved == pytest.approx(0.5, abs=0.02)
    assert "CUPED" in adjusted.test
    assert 0.15 in adjusted.absolute


def test_a_covariate_that_is_the_same_for_all_is_of_no_use() -> None:
    both = aggregates(y=np.arange(9.0), before=np.zeros(9))
    assert not usable(both, both, "before")
    assert usable(both, both, "y")


def test_users_who_do_not_differ_prove_nothing() -> None:
    nothing = aggregates(y=np.zeros(50))
    effect = compare(nothing, nothing, Columns("y"))
    assert (effect.p, effect.absolute.low, effect.relative) == (1.0, -inf, None)


def test_losses_have_no_relative_interval() -> None:
    dice = np.random.default_rng(6)
    champion, challenger = aggregates(y=dice.normal(-5, 1, 50)), aggregates(y=dice.normal(-4, 1, 50))
    effect = compare(champion, challenger, Columns("y"))
    assert effect.relative is None
    assert effect.relative_difference is None
    assert effect.p < 1e-3
