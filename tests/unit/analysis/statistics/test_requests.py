"""Shares with intervals and distances of distributions, against statsmodels, scipy, a simulation, by hand."""

from math import isnan, log, sqrt

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm
from statsmodels.stats.contingency_tables import Table
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from analysis.statistics.requests import Clusters, Rate, difference_p, ks_p, merged, psi, tenths, trend_p


def test_the_interval_is_wilsons() -> None:
    low, high = proportion_confint(45, 50, method="wilson")
    assert Rate(45, 50).interval == pytest.approx((low, high), abs=1e-12)
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert isnan(Rate(0, 0).value)
    assert Rate(45, 50).others == Rate(5, 50)


def test_a_design_effect_widens_it() -> None:
    assert Rate(450, 500, design=10).interval == pytest.approx(Rate(45, 50).interval, abs=1e-12)


def clusters(n: np.ndarray, y: np.ndarray) -> Clusters:
    return Clusters(len(n), n.sum(), y.sum(), (n * n).sum(), (n * y).sum(), (y * y).sum())


def test_users_with_one_request_each_have_no_design_effect() -> None:
    y = np.array([1.0] * 70 + [0.0] * 30)
    found = clusters(np.ones(100), y)
    assert found.variance == pytest.approx(0.7 * 0.3 / 100, abs=1e-12)
    assert found.design(0.7 * 0.3) == pytest.approx(1, abs=1e-9)


def test_users_whose_requests_are_all_alike_count_as_one_each() -> None:
    n = np.full(100, 8.0)
    found = clusters(n, n * np.array([1.0] * 70 + [0.0] * 30))
    assert found.design(0.7 * 0.3) == pytest.approx(8, abs=1e-9)


def test_intervals_of_users_hold_what_they_say() -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(600):
        n = rng.integers(1, 12, 200).astype(float)
        chance = rng.beta(9, 1, 200)
        found = clusters(n, rng.binomial(n.astype(int), chance).astype(float))
        share = found.y / found.n
        low, high = Rate(round(found.y), round(found.n), found.design(share * (1 - share))).interval
        inside += low <= 0.9 <= high
    assert inside / 600 == pytest.approx(0.95, abs=0.025)


def test_the_mean_of_users_is_normal() -> None:
    found = clusters(np.ones(4), np.array([1.0, 2.0, 3.0, 4.0]))
    reach = 1.959963985 * sqrt(1.25 / 4)
    assert found.interval == pytest.approx((2.5 - reach, 2.5 + reach), abs=1e-8)


def test_two_shares_are_compared_as_statsmodels_does() -> None:
    _, p = proportions_ztest([30, 80], [200, 900])
    assert difference_p(Rate(30, 200), Rate(80, 900)) == pytest.approx(p, abs=1e-12)
    assert difference_p(Rate(0, 10), Rate(0, 10)) == 1.0
    assert difference_p(Rate(0, 0), Rate(3, 10)) == 1.0
    assert difference_p(Rate(30, 200, design=4), Rate(80, 900)) > p


def test_the_trend_is_statsmodels() -> None:
    hits, totals = [90, 85, 80, 85, 70], [100, 95, 100, 99, 90]
    table = np.array([[n - a for a, n in zip(hits, totals, strict=True)], hits])
    expected = Table(table, shift_zeros=False).test_ordinal_association(np.arange(2), np.arange(5))
    n = sum(totals)  # statsmodels has the variance of a permutation, which is n / (n - 1) of this
    z = abs(expected.zscore) * sqrt(n / (n - 1))
    assert trend_p(hits, totals) == pytest.approx(2 * norm.sf(z), abs=1e-9)
    assert trend_p([1], [2]) == 1.0
    assert trend_p([5, 5], [5, 5]) == 1.0


@pytest.mark.parametrize(
    ("seed", "first", "second", "shift"), [(1, 50, 80, 0.3), (2, 1000, 900, 0.0), (3, 5, 7, 1)]
)
def test_the_p_value_is_scipys(seed: int, first: int, second: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    expected = ks_2samp(rng.normal(size=first), rng.normal(shift, size=second), method="asymp")
    assert ks_p(expected.statistic, first, second) == pytest.approx(expected.pvalue, abs=1e-9)


def test_nothing_is_no_difference() -> None:
    assert ks_p(0.0, 0, 10) == 1.0


def test_psi_by_hand() -> None:
    expected, actual = [99.5, 299.5], [199.5, 199.5]
    by_hand = (0.5 - 0.25) * log(0.5 / 0.25) + (0.5 - 0.75) * log(0.5 / 0.75)
    assert psi(expected, actual) == pytest.approx(by_hand, abs=1e-12)  # type: ignore[arg-type]
    assert psi([10, 20], [100, 200]) == pytest.approx(0, abs=1e-3)
    assert np.isfinite(psi([10, 0], [0, 10]))


def test_tenths_hold_a_tenth_each() -> None:
    counts = [7] * 1000
    ends = tenths(counts)
    assert merged(counts, ends).tolist() == [700] * 10


@pytest.mark.parametrize("counts", [[0, 100, 0], [1], [0, 0], [5, 0, 0, 1]])
def test_heavy_bins_make_fewer_tenths(counts: list[int]) -> None:
    ends = tenths(counts)
    assert ends[-1] == len(counts)
    assert len(ends) == len(set(ends))
    assert merged(counts, ends).sum() == sum(counts)
