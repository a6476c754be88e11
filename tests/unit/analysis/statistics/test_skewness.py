"""How skewed a measure may be in unequal arms."""

from math import inf, sqrt

import numpy as np
import pytest

from analysis.measures.metric import Kind
from analysis.statistics.power import Design, need
from analysis.statistics.skewness import allowed, least_users


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
