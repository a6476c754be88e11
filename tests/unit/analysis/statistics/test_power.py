"""Sample sizes, held to published numbers and to statsmodels; what they promise is in test_promises."""

from math import ceil, inf, sqrt

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.proportion import power_proportions_2indep, proportion_effectsize
from statsmodels.stats.rates import power_poisson_diff_2indep

from analysis.metric import Kind
from analysis.statistics.power import Design, allowed, figures, least_users, need, size, smallest_effect

USUAL = Design(Kind.PROPORTION, 0.95)


@pytest.mark.parametrize(("effect", "expected"), [(0.02, (1484, 1506, 1605)), (-0.02, (2199, 2213, 2312))])
def test_reference_numbers(effect: float, expected: tuple[int, ...]) -> None:
    found = figures(USUAL, effect)
    assert (ceil(found.arcsine), ceil(found.two_proportion), ceil(found.fleiss)) == expected


def test_the_drop_is_what_is_sized_for() -> None:
    found = need(USUAL, 0.02)
    assert (found.champion, found.challenger, found.total, found.side) == (2312, 2312, 4624, -0.02)
    assert need(Design(Kind.PROPORTION, 0.05), 0.02).side == 0.02


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5, 0.9])
def test_unequal_arms_have_the_power_of_statsmodels(share: float) -> None:
    design = Design(Kind.PROPORTION, 0.2, share=share)
    found = figures(design, 0.03)
    power = power_proportions_2indep(
        0.03, 0.2, found.two_proportion, design.ratio, 0.025, alternative="larger", return_results=False
    )
    assert power == pytest.approx(0.8, abs=1e-6)
    distance = proportion_effectsize(0.23, 0.2)
    assert NormalIndPower().power(distance, found.arcsine, 0.05, design.ratio) == pytest.approx(0.8, abs=1e-6)
    assert found.fleiss > found.two_proportion


def test_the_correction_for_equal_arms_is_the_known_one() -> None:
    plain = figures(USUAL, 0.02).two_proportion
    assert size(USUAL, 0.02) == pytest.approx(plain / 4 * (1 + sqrt(1 + 4 / (plain * 0.02))) ** 2)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_means_are_those_of_statsmodels(share: float) -> None:
    design = Design(Kind.MEAN, 40, share=share, deviation=25)
    expected = TTestIndPower().solve_power(2 / 25, alpha=0.05, power=0.8, ratio=design.ratio)
    assert size(design, 2) == pytest.approx(expected, abs=2)
    one_tail = NormalIndPower().power(2 / 25, size(design, 2), 0.025, design.ratio, alternative="larger")
    assert one_tail == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_counts_are_those_of_statsmodels(share: float) -> None:
    design = Design(Kind.COUNT, 0.8, share=share)
    n = size(design, 0.1)
    power = power_poisson_diff_2indep(
        0.9, 0.8, n, design.ratio, 0.025, method_var="alt", alternative="larger", return_results=False
    )
    assert power == pytest.approx(0.8, abs=1e-6)
    assert size(Design(Kind.COUNT, 0.8, share=share, dispersion=1.5), 0.1) > 1.8 * n


@pytest.mark.parametrize(
    "design",
    [
        USUAL,
        Design(Kind.PROPORTION, 0.02, share=0.05),
        Design(Kind.MEAN, -3, share=0.1, deviation=20, power=0.9),
        Design(Kind.COUNT, 0.4, share=0.25, dispersion=0.7, alpha=0.01),
    ],
)
def test_the_smallest_effect_is_the_size_turned_round(design: Design) -> None:
    effect = 0.013
    found = need(design, effect)
    assert smallest_effect(design, found.champion, found.challenger) == pytest.approx(effect, rel=0.01)
    more = smallest_effect(design, 4 * found.champion, 4 * found.challenger)
    assert more == pytest.approx(effect / 2, rel=0.07)


def test_some_effects_are_found_by_nobody() -> None:
    assert smallest_effect(USUAL, 100, 1) is None
    assert smallest_effect(USUAL, 4, 2) is None
    assert smallest_effect(USUAL, 10**15, 10**15) == pytest.approx(0.95e-6)


def test_a_share_cannot_leave_its_range() -> None:
    assert need(USUAL, 0.06).side == -0.06
    with pytest.raises(ValueError, match="neither rise nor drop"):
        need(USUAL, 0.96)


def test_equal_arms_may_be_as_skewed_as_they_are() -> None:
    assert allowed(500, 500) == inf
    assert least_users(6.2, 1.0) == 0


def test_the_skewness_of_a_difference_is_that_of_the_small_arm() -> None:
    """(1/n1**2 - 1/n0**2) / (1/n1 + 1/n0)**1.5, against sums of exponential numbers, whose skewness is 2."""
    dice = np.random.default_rng(1)
    found = dice.gamma(10, 0.1, 400_000) - dice.gamma(40, 1 / 40, 400_000)  # means of 10 and of 40
    by_hand = 2 * (1 / 10**2 - 1 / 40**2) / (1 / 10 + 1 / 40) ** 1.5
    skewness = ((found - found.mean()) ** 3).mean() / found.std() ** 3
    assert skewness == pytest.approx(by_hand, abs=0.02)
    # At 5% the squared skewness of the difference may be 0.0404: 18 * 0.01 / (2 phi(z) z (z^4 + 2 z^2 - 3)).
    assert allowed(40, 10) == pytest.approx(2 * sqrt(0.0404) / by_hand, rel=0.01)


@pytest.mark.parametrize("ratio", [0.25, 4, 19])
def test_one_is_the_other_turned_round(ratio: float) -> None:
    users = least_users(6.2, ratio)
    assert allowed(ratio * users, users) == pytest.approx(6.2)


def test_a_plan_has_as_many_users_as_its_skewness_needs() -> None:
    canary = Design(Kind.MEAN, 20, deviation=26.2, share=0.05)
    assert need(canary, 5).challenger == 227
    skewed = Design(Kind.MEAN, 20, deviation=26.2, share=0.05, skewness=6.2)
    assert need(skewed, 5).challenger == 811
    assert need(skewed, 2).challenger == need(canary, 2).challenger > 811
    equal = Design(Kind.MEAN, 20, deviation=26.2, skewness=6.2)
    assert need(equal, 5) == need(Design(Kind.MEAN, 20, deviation=26.2), 5)
