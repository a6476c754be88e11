"""The sample ratio, held to published numbers and to scipy."""

import pytest
from scipy.stats import binomtest

from analysis.statistics.ratio import sample_ratio


def test_reference_number() -> None:
    assert sample_ratio(156, 212, 0.5).p_any_time == pytest.approx(0.0748645, abs=5e-8)
    assert sample_ratio(212, 156, 0.5).p_any_time == pytest.approx(0.0748645, abs=5e-8)


@pytest.mark.parametrize(("champion", "challenger", "planned"), [(5230, 4770, 0.5), (95_000, 5300, 0.05)])
def test_once_is_nearly_the_exact_test(champion: int, challenger: int, planned: float) -> None:
    exact = binomtest(challenger, champion + challenger, planned).pvalue
    assert sample_ratio(champion, challenger, planned).p == pytest.approx(exact, rel=0.2)


def test_a_mismatch_is_one_beyond_doubt() -> None:
    fits, off = sample_ratio(9500, 520, 0.05), sample_ratio(9500, 700, 0.05)
    assert not fits.mismatch(once=True)
    assert off.mismatch(once=True)
    assert off.mismatch(once=False)
    assert off.observed == pytest.approx(700 / 10_200)


def test_many_looks_ask_for_more_than_one() -> None:
    ratio = sample_ratio(10_340, 9_850, 0.5)
    assert ratio.p < 0.001 < ratio.p_any_time
    assert ratio.mismatch(once=True)
    assert not ratio.mismatch(once=False)


def test_without_users_there_is_no_mismatch() -> None:
    ratio = sample_ratio(0, 0, 0.2)
    assert (ratio.p, ratio.p_any_time, ratio.observed) == (1.0, 1.0, 0.2)
