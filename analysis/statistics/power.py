"""How many users a test needs, and what it can find with those that there are.

Sizes are users of the challenger, `n`, for `ratio` times as many of the champion: a canary of 5% has a ratio
of 19. Everything is two-sided. Formulas are statsmodels'; own are only Fleiss's continuity correction for
unequal arms (Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 3rd ed., 4.4; Fleiss,
Tytun, Ury, Biometrics 1980), the turning round from a size to an effect, and how skewed a measure may be for
Welch's test of arms of unequal sizes to hold its level.

A small arm that has not met its rare and large values has too small a mean and too small a variance, and is
called worse: in a canary of 5% with 227 users, log-normal amounts of equal models are so in 6 of 100 tests,
and called better in less than one. Arms of equal sizes err alike, and the difference is right: the skewness
of a difference of means is (1/n1**2 - 1/n0**2) / (1/n1 + 1/n0)**1.5 times that of the measure, which is 0
for n1 = n0. Source: P. Hall, "The Bootstrap and Edgeworth Expansion" (1992), 2.6: the error of the two-sided
t test is 2 phi(z) z (z**4 + 2 z**2 - 3) / 18 times the squared skewness of the mean. The term of the
kurtosis, which makes it smaller at the usual levels, is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf, log, sqrt

from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower, normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_effectsize, samplesize_proportions_2indep_onetail

from analysis.metric import Kind

MOST_ERROR = 0.2
"""Of alpha, that skewness may add: 6% instead of 5%."""


@dataclass(frozen=True)
class Design:
    """A test that is planned.

    Attributes:
        kind: what is measured of each user: a yes or no, an amount, or how often.
        baseline: the champion's share, mean or count per user.
        alpha: chance of a difference where there is none.
        power: chance to find a difference that there is.
        share: the challenger's share of users, above 0 and below 1.
        deviation: standard deviation from user to user; only for a mean.
        dispersion: of a negative binomial count, variance = mean + dispersion * mean**2; 0 is Poisson.
        skewness: of a mean from user to user; 0 where it is not known.
    """

    kind: Kind
    baseline: float
    alpha: float = 0.05
    power: float = 0.8
    share: float = 0.5
    deviation: float | None = None
    dispersion: float = 0.0
    skewness: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError where these do not go together."""
        if self.kind is Kind.PROPORTION and not 0 < self.baseline < 1:
            raise ValueError(f"the baseline of a proportion lies between 0 and 1, not at {self.baseline:g}")
        if self.kind is Kind.COUNT and self.baseline <= 0:
            raise ValueError(f"the baseline of a count is above 0, not {self.baseline:g}")
        if (self.kind is Kind.MEAN) != (self.deviation is not None):
            raise ValueError(
                "a mean needs its standard deviation from user to user (deviation); no other does"
            )
        if self.skewness and self.kind is not Kind.MEAN:
            raise ValueError("skewness is that of a mean")

    @property
    def ratio(self) -> float:
        """Users of the champion for each of the challenger."""
        return (1 - self.share) / self.share

    def variance(self, level: float) -> float:
        """From user to user, where the measure is `level`."""
        if self.kind is Kind.PROPORTION:
            return level * (1 - level)
        if self.kind is Kind.COUNT:
            return level + self.dispersion * level**2
        assert self.deviation is not None  # noqa: S101  (a mean has one)
        return self.deviation**2

    def possible(self, level: float) -> bool:
        """Whether the measure can be `level`."""
        return self.kind is Kind.MEAN or (level > 0 and (self.kind is Kind.COUNT or level < 1))


@dataclass(frozen=True)
class Figures:
    """Three answers for a proportion, users of the challenger; the last is that of the test we do."""

    arcsine: float
    two_proportion: float
    fleiss: float


def figures(design: Design, effect: float) -> Figures:
    """Sizes for a proportion that changes from the baseline by `effect`, which has a sign."""
    arcsine = NormalIndPower().solve_power(
        effect_size=abs(proportion_effectsize(design.baseline + effect, design.baseline)),
        alpha=design.alpha,
        power=design.power,
        ratio=design.ratio,
    )
    return Figures(float(arcsine), _two_proportion(design, effect), size(design, effect))


def size(design: Design, effect: float) -> float:
    """Users of the challenger to find `effect`, which has a sign, by the test that the report does.

    For means and counts the normal approximation: Student's t asks for two users more.
    """
    if design.kind is Kind.PROPORTION:
        plain = _two_proportion(design, effect)
        return plain / 4 * (1 + sqrt(1 + 2 * (1 + 1 / design.ratio) / (plain * abs(effect)))) ** 2
    spread = sqrt(design.variance(design.baseline + effect) + design.variance(design.baseline) / design.ratio)
    return float(normal_sample_size_one_tail(effect, design.power, design.alpha / 2, spread))


def _two_proportion(design: Design, effect: float) -> float:
    return float(
        samplesize_proportions_2indep_onetail(
            effect, design.baseline, design.power, ratio=design.ratio, alpha=design.alpha
        )
    )


@dataclass(frozen=True)
class Need:
    """Users of each arm, whole, and the side (a change with a sign) that needs most of them."""

    champion: int
    challenger: int
    side: float

    @property
    def total(self) -> int:
        """Of both arms."""
        return self.champion + self.challenger


def dispersion_of(mean: float, variance: float) -> float:
    """Of a negative binomial count: variance = mean + dispersion * mean**2; 0 is Poisson."""
    return max((variance - mean) / mean**2, 0.0) if mean > 0 else 0.0


def sides(design: Design, effect: float) -> list[float]:
    """Rise and drop by `effect`, as far as the measure can do so."""
    return [side for side in (effect, -effect) if design.possible(design.baseline + side)]


def need(design: Design, effect: float) -> Need:
    """Users to find a change by `effect` (above 0) whether it is a rise or a drop.

    A drop from .95 varies more than a rise, and so needs half as many users again. Who sizes for the rise
    that he hopes for is half blind to the harm.

    Raises:
        ValueError: neither is possible.
    """
    worst = max(
        ((size(design, side), side) for side in sides(design, effect)), key=lambda each: each[0], default=None
    )
    if worst is None:
        raise ValueError(f"{design.baseline:g} can neither rise nor drop by {effect:g}")
    users = max(worst[0], for_skewness(design))
    return Need(ceil(users * design.ratio - 1e-9), ceil(users - 1e-9), worst[1])


def for_skewness(design: Design) -> float:
    """Users of the challenger from which on the test of a mean keeps to its level, whatever the effect."""
    return least_users(design.skewness, design.ratio, design.alpha) if design.kind is Kind.MEAN else 0.0


def smallest_effect(design: Design, champion: float, challenger: float) -> float | None:
    """The smallest change, rise or drop, that arms of these sizes find with the design's power.

    The design's share is not looked at: the arms say it. None where no possible change is found.
    """
    if min(champion, challenger) < 2:
        return None
    actual = replace(design, share=challenger / (champion + challenger))

    def needed(effect: float) -> float:
        return max((size(actual, side) for side in sides(actual, effect)), default=0.0)

    return _where(needed, challenger, *_range(actual))


def _range(design: Design) -> tuple[float, float]:
    """The smallest and the largest change to think of."""
    if design.kind is Kind.PROPORTION:
        most = max(design.baseline, 1 - design.baseline)
    elif design.kind is Kind.COUNT:
        most = 1e3 * design.baseline
    else:
        assert design.deviation is not None  # noqa: S101
        most = 10 * design.deviation
    return most * 1e-6, most * (1 - 1e-6)


def _where(needed: Callable[[float], float], users: float, least: float, most: float) -> float | None:
    """The effect for which `needed`, which falls, is `users`."""
    if needed(least) <= users:
        return least
    if needed(most) > users:
        return None
    return float(brentq(lambda effect: log(needed(effect) / users), least, most, xtol=least * 1e-3))


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
