"""Distances of distributions, against scipy and by hand."""

from math import log

import numpy as np
import pytest
from scipy.stats import ks_2samp

from analysis.statistics.distributions import ks_p, merged, psi, tenths


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
