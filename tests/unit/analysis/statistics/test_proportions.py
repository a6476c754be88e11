"""Shares, held to scipy and statsmodels, and the intervals to the test that they invert."""

import pytest
from scipy.stats import chi2_contingency
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from analysis.statistics.proportions import Share, compare, difference_interval, p_value, ratio_interval

CASES = [
    (Share(950, 1000), Share(965, 1000)),
    (Share(9500, 10_000), Share(460, 500)),  # a canary
    (Share(3, 2000), Share(9, 2100)),
    (Share(40, 60), Share(55, 61)),
]


@pytest.mark.parametrize(("corrected", "expected"), [(False, 0.096374), (True, 0.120699)])
def test_reference_numbers(corrected: bool, expected: float) -> None:
    assert p_value(*CASES[0], corrected=corrected) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("champion", "challenger"), CASES)
def test_p_values_are_those_of_scipy_and_statsmodels(champion: Share, challenger: Share) -> None:
    table = [[each.converted, each.users - each.converted] for each in (champion, challenger)]
    for corrected in (False, True):
        expected = chi2_contingency(table, correction=corrected).pvalue
        assert p_value(champion, challenger, corrected=corrected) == pytest.approx(expected, abs=1e-9)
    _, plain = proportions_ztest(
        [champion.converted, challenger.converted], [champion.users, challenger.users]
    )
    assert p_value(champion, challenger, corrected=False) == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize(("champion", "challenger"), [CASES[0], CASES[1], CASES[3]])  # it fails for rare ones
def test_intervals_without_correction_are_the_score_intervals_of_statsmodels(
    champion: Share, challenger: Share
) -> None:
    counts = (challenger.converted, challenger.users, champion.converted, champion.users)
    low, high = confint_proportions_2indep(*counts, method="score", compare="diff", correction=False)
    ours = difference_interval(champion, challenger, corrected=False)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-6)
    low, high = confint_proportions_2indep(*counts, method="score", compare="ratio", correction=False)
    relative = ratio_interval(champion, challenger, corrected=False)
    assert relative is not None
    assert (relative.low + 1, relative.high + 1) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("converted", range(930, 1000, 3))
def test_an_interval_leaves_out_nothing_exactly_where_the_test_rejects(
    converted: int, corrected: bool
) -> None:
    effect = compare(Share(9500, 10_000), Share(converted, 1000), corrected=corrected)
    assert effect.relative is not None
    assert (0 in effect.absolute) == (0 in effect.relative) == (effect.p >= 0.05)


def test_the_correction_widens() -> None:
    plain, corrected = (difference_interval(*CASES[0], corrected=each) for each in (False, True))
    assert corrected.low < plain.low < plain.high < corrected.high


@pytest.mark.parametrize("converted", [0, 1000])
def test_nobody_or_everybody(converted: int) -> None:
    effect = compare(Share(converted, 1000), Share(converted, 1000))
    assert effect.p == 1
    assert 0 in effect.absolute
    assert effect.absolute.width < 0.02


def test_a_champion_with_nothing_has_no_relative_interval() -> None:
    effect = compare(Share(0, 1000), Share(20, 1000))
    assert effect.relative is None
    assert effect.relative_difference is None
    assert effect.p < 0.001
    assert 0 not in effect.absolute


def test_of_one_buyer_a_ratio_may_be_anything() -> None:
    limits = ratio_interval(Share(1, 40), Share(5, 40))
    assert limits is not None
    assert limits.low < 0
    assert limits.high > 50
