"""Counts per user from value counts, held to scipy on the users one by one."""

from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import mannwhitneyu, ttest_ind

from analysis.statistics.counts import ValueCounts, bootstrap, mann_whitney

Users = NDArray[np.int64]


def draw(seed: int, champion: int, challenger: int, rate: float = 0.8) -> tuple[Users, Users]:
    dice = np.random.default_rng(seed)
    return dice.negative_binomial(0.7, 0.7 / (0.7 + 0.8), champion), dice.poisson(rate, challenger)


@pytest.mark.parametrize("seed", range(5))
def test_mann_whitney_is_that_of_scipy(seed: int) -> None:
    champion, challenger = draw(seed, 800, 60)
    expected = mannwhitneyu(challenger, champion, method="asymptotic")
    ours = mann_whitney(ValueCounts.of(champion), ValueCounts.of(challenger))
    assert ours.u == pytest.approx(expected.statistic, abs=1e-6)
    assert ours.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert ours.superiority == pytest.approx(expected.statistic / (800 * 60))


def test_mann_whitney_of_users_who_do_not_differ() -> None:
    nobody = ValueCounts.of(np.zeros(40))
    assert mann_whitney(nobody, nobody).p == 1
    assert mann_whitney(nobody, nobody).superiority == 0.5


def test_value_counts_are_the_sample() -> None:
    users, _ = draw(1, 500, 1)
    counts = ValueCounts.of(users)
    assert counts.total == 500
    assert counts.mean == pytest.approx(users.mean())
    assert counts.variance == pytest.approx(users.var(ddof=1))


def test_the_bootstrap_is_that_of_scipy_but_for_its_dice() -> None:
    """scipy has percentiles of the difference; with equal arms of some size all bootstraps are nearly one."""
    champion, challenger = draw(2, 3000, 3000)

    def difference(a: Users, b: Users, axis: int) -> NDArray[np.float64]:
        result: NDArray[np.float64] = a.mean(axis=axis) - b.mean(axis=axis)
        return result

    expected = scipy_bootstrap(
        (challenger, champion), difference, n_resamples=2000, method="percentile", rng=1
    ).confidence_interval
    ours = bootstrap([(ValueCounts.of(champion), ValueCounts.of(challenger))], seed=1)
    assert ours.absolute.low == pytest.approx(expected.low, abs=0.006)
    assert ours.absolute.high == pytest.approx(expected.high, abs=0.006)
    assert ours.p == pytest.approx(ttest_ind(challenger, champion, equal_var=False).pvalue, abs=0.02)


def test_the_same_seed_gives_the_same_answer() -> None:
    champion, challenger = (ValueCounts.of(each) for each in draw(3, 900, 100))
    assert bootstrap([(champion, challenger)], seed=7) == bootstrap([(champion, challenger)], seed=7)
    assert bootstrap([(champion, challenger)], seed=7) != bootstrap([(champion, challenger)], seed=8)


@pytest.mark.parametrize("seed", range(12))
def test_an_interval_leaves_out_nothing_where_p_is_small(seed: int) -> None:
    champion, challenger = draw(seed, 900, 300, rate=0.95)
    effect = bootstrap([(ValueCounts.of(champion), ValueCounts.of(challenger))], seed=seed)
    assert (0 in effect.absolute) == (effect.p > 0.05)
    assert effect.relative is not None
    assert effect.relative.low < (effect.relative_difference or 0) < effect.relative.high


def test_many_values_are_drawn_in_pieces() -> None:
    dice = np.random.default_rng(9)
    champion, challenger = ValueCounts.of(dice.normal(5, 1, 1500)), ValueCounts.of(dice.normal(5.3, 1, 1500))
    effect = bootstrap([(champion, challenger)], seed=1, replicates=2500)
    assert effect.p < 0.01
    assert effect.absolute.width == pytest.approx(2 * 1.96 * (2 / 1500) ** 0.5, rel=0.08)


def test_users_who_do_not_differ_prove_nothing() -> None:
    nobody = ValueCounts.of(np.zeros(40))
    effect = bootstrap([(nobody, nobody)], seed=1)
    assert (effect.p, effect.absolute.high, effect.relative) == (1.0, inf, None)
