"""How skewed a measure may be for Welch's test of arms of unequal sizes to hold its level.

A small arm that has not met its rare and large values has too small a mean and too small a variance, and is
called worse: in a canary of 5% with 227 users, log-normal amounts of equal models are so in 6 of 100 tests,
and called better in less than one. Arms of equal sizes err alike, and the difference is right: the skewness
of a difference of means is (1/n1**2 - 1/n0**2) / (1/n1 + 1/n0)**1.5 times that of the measure, which is 0
for n1 = n0.

Source: P. Hall, "The Bootstrap and Edgeworth Expansion" (1992), 2.6: the error of the two-sided t test is
2 phi(z) z (z**4 + 2 z**2 - 3) / 18 times the squared skewness of the mean. The term of the kurtosis, which
makes it smaller at the usual levels, is left out.
"""

from math import inf, sqrt

from scipy.stats import norm

MOST_ERROR = 0.2
"""Of alpha, that skewness may add: 6% instead of 5%."""


def allowed(champion: float, challenger: float, alpha: float = 0.05) -> float:
    """The skewness of a measure up to which the test keeps to alpha (and MOST_ERROR of it) in these arms."""
    skewness = _of_difference(champion, challenger)
    return sqrt(_most_squared(alpha)) / skewness if skewness else inf


def least_users(skewness: float, ratio: float, alpha: float = 0.05) -> float:
    """Users of the challenger from which on it does; `ratio` times as many have the champion."""
    return (skewness * _of_difference(ratio, 1.0)) ** 2 / _most_squared(alpha)


def _of_difference(champion: float, challenger: float) -> float:
    """Of a difference of means, where that of the measure is 1."""
    return float(abs(1 / challenger**2 - 1 / champion**2) / (1 / challenger + 1 / champion) ** 1.5)


def _most_squared(alpha: float) -> float:
    z = float(norm.isf(alpha / 2))
    return MOST_ERROR * alpha * 18 / (2 * float(norm.pdf(z)) * z * (z**4 + 2 * z**2 - 3))
