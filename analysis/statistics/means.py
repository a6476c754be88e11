"""Two means per user, or two ratios of them: Welch's t test, with a covariate where there is one.

All of it is tea-tasting's, on counts, means, variances and covariances per arm; a ratio such as "value per
request" gets its variance by the delta method, because the user is the unit and not the request. The
covariate is CUPED: what users did before the test takes away a part of how they differ in it (Deng, Xu,
Kohavi, Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data",
WSDM 2013).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt

import numpy as np
from scipy.stats import t
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import RatioOfMeans

from analysis.statistics.effect import Effect, Interval, Sample, weights


@dataclass(frozen=True)
class Columns:
    """What to compare: names of columns of the aggregates.

    Attributes:
        value: the measure of a user.
        denominator: what it is a ratio of; None: the mean per user.
        covariate: the same measure before the test, for CUPED; None: without.
    """

    value: str
    denominator: str | None = None
    covariate: str | None = None


def compare(champion: Aggregates, challenger: Aggregates, columns: Columns, *, alpha: float = 0.05) -> Effect:
    """Welch's test; the relative interval is that of the logarithm, by the delta method.

    Where nobody differs from anybody there is nothing to test with: p is 1, the intervals are infinite.

    Args:
        champion, challenger: each of two users or more.
    """
    metric = RatioOfMeans(
        columns.value,
        columns.denominator,
        columns.covariate,
        alternative="two-sided",
        confidence_level=1 - alpha,
        equal_var=False,
        use_t=True,
    )
    with np.errstate(invalid="ignore"):  # nobody differs: NaN, and so told below
        result = metric.analyze_aggregates(champion, challenger)
    tested = isfinite(result.pvalue)
    positive = tested and result.control > 0 and result.treatment > 0
    return Effect(
        test="Welch" + (" with CUPED" if columns.covariate else ""),
        champion=float(result.control),
        challenger=float(result.treatment),
        difference=float(result.effect_size),
        p=float(result.pvalue) if tested else 1.0,
        absolute=(
            Interval(float(result.effect_size_ci_lower), float(result.effect_size_ci_upper))
            if tested
            else Interval(-inf, inf)
        ),
        relative=(
            Interval(float(result.rel_effect_size_ci_lower), float(result.rel_effect_size_ci_upper))
            if positive
            else None
        ),
    )


def compare_strata(
    strata: Sequence[tuple[Sample, Sample]], *, alpha: float = 0.05, covariate: bool = False
) -> Effect:
    """Welch's test of strata (stages of a ramp): differences weighted by `effect.weights`.

    Each arm of each stratum has its own variance, and the degrees of freedom are Satterthwaite's ("An
    Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 1946) over all of them.
    Of one stratum it is `compare`. Levels are those of the strata by the same weights.

    Args:
        strata: champion and challenger, each of two users or more.
        covariate: they are `adjusted`, which only the test's name tells.
    """
    shares = weights([(champion.users, challenger.users) for champion, challenger in strata])
    levels, errors, freedom = [0.0, 0.0], [0.0, 0.0], 0.0
    for share, pair in zip(shares, strata, strict=True):
        for arm, sample in enumerate(pair):
            error = share**2 * sample.error
            levels[arm] += share * sample.mean
            errors[arm] += error
            freedom += error**2 / (sample.users - 1)
    (champion, challenger), variance = levels, sum(errors)
    found, name = challenger - champion, "Welch" + (" with CUPED" if covariate else "") + ", by stage"
    if variance <= 0:
        return Effect(name, champion, challenger, found, 1.0, Interval(-inf, inf), None)
    spread = t(variance**2 / freedom)
    reach = float(spread.isf(alpha / 2))
    relative = None
    if champion > 0 and challenger > 0:
        wide = reach * sqrt(errors[1] / challenger**2 + errors[0] / champion**2)
        middle = log(challenger / champion)
        relative = Interval(exp(middle - wide) - 1, exp(middle + wide) - 1)
    off = reach * sqrt(variance)
    return Effect(
        test=name,
        champion=champion,
        challenger=challenger,
        difference=found,
        p=float(2 * spread.sf(abs(found) / sqrt(variance))),
        absolute=Interval(found - off, found + off),
        relative=relative,
    )


def adjusted(
    strata: Sequence[tuple[Aggregates, Aggregates]], value: str, covariate: str
) -> tuple[tuple[Sample, Sample], ...]:
    """The arms with what the covariate explains taken out (CUPED), by one slope for all arms and strata."""
    arms = [arm for pair in strata for arm in pair]
    spread = sum((arm.count() - 1) * float(arm.var(covariate)) for arm in arms)
    together = sum((arm.count() - 1) * float(arm.cov(covariate, value)) for arm in arms)
    slope = together / spread if spread else 0.0

    def sample(arm: Aggregates, middle: float) -> Sample:
        mean = float(arm.mean(value)) - slope * (float(arm.mean(covariate)) - middle)
        variance = float(arm.var(value) - 2 * slope * arm.cov(covariate, value))
        return Sample(arm.count(), mean, max(variance + slope**2 * float(arm.var(covariate)), 0.0))

    return tuple(
        (sample(champion, middle), sample(challenger, middle))
        for champion, challenger in strata
        for middle in (float((champion + challenger).mean(covariate)),)
    )


@dataclass(frozen=True)
class Narrowing:
    """What the covariate did.

    Attributes:
        correlation: between the measure in the test and before it, over both arms.
        width: width of the interval with the covariate, over that without; below 1 is a gain.
    """

    correlation: float
    width: float

    @property
    def users_saved(self) -> float:
        """The share of users that could be left out for an interval as wide as without the covariate."""
        return 1 - self.width**2


def usable(champion: Aggregates, challenger: Aggregates, covariate: str) -> bool:
    """Whether the covariate differs between users at all; that is no look at the effect."""
    return bool((champion + challenger).var(covariate) > 0)


def narrowing(both: Aggregates, columns: Columns, plain: Effect, adjusted: Effect) -> Narrowing:
    """Compare two readings of the same arms, without and with the covariate of `columns`.

    Args:
        both: aggregates of both arms together.
    """
    spread = float(both.var(columns.value) * both.var(columns.covariate)) ** 0.5
    return Narrowing(
        correlation=float(both.cov(columns.value, columns.covariate)) / spread if spread else 0.0,
        width=adjusted.absolute.width / plain.absolute.width if plain.absolute.width else 1.0,
    )
