"""Two shares: the z test, with and without continuity correction, and the intervals that it inverts to.

The p-value is tea-tasting's. The intervals hold every difference, or ratio, that the same test would not
reject, with statsmodels' variance under that null hypothesis (Miettinen, Nurminen, "Comparative analysis of
two rates", Statistics in Medicine 1985), so that p < alpha and "0 is outside" are the same statement, also
with the correction. Without it these are statsmodels' score intervals.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from scipy.stats import norm
from statsmodels.stats.proportion import score_test_proportions_2indep
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Proportion

from analysis.statistics.effect import Effect, Interval, interval_of_ratios, roots_around

_COLUMN = "converted"


@dataclass(frozen=True)
class Share:
    """How many of the users of an arm did it. There is at least one user."""

    converted: int
    users: int

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return self.converted / self.users


def p_value(champion: Share, challenger: Share, *, corrected: bool = True) -> float:
    """Two-sided, pooled variance, normal approximation; 1 where nobody or everybody did it."""
    converted, users = champion.converted + challenger.converted, champion.users + challenger.users
    if converted in {0, users}:
        return 1.0
    test = Proportion(_COLUMN, method="norm", alternative="two-sided", correction=corrected, equal_var=True)
    return float(test.analyze_aggregates(_aggregates(champion), _aggregates(challenger)).pvalue)


def compare(champion: Share, challenger: Share, *, alpha: float = 0.05, corrected: bool = True) -> Effect:
    """The z test and both intervals at 1 - alpha."""
    return Effect(
        test="z test" + (", corrected" if corrected else ""),
        champion=champion.value,
        challenger=challenger.value,
        difference=challenger.value - champion.value,
        p=p_value(champion, challenger, corrected=corrected),
        absolute=difference_interval(champion, challenger, alpha=alpha, corrected=corrected),
        relative=ratio_interval(champion, challenger, alpha=alpha, corrected=corrected),
    )


def difference_interval(
    champion: Share, challenger: Share, *, alpha: float = 0.05, corrected: bool = True
) -> Interval:
    """Interval of challenger - champion, by inversion of the test."""
    found = challenger.value - champion.value
    correction = (1 / champion.users + 1 / challenger.users) / 2 if corrected else 0.0

    def beyond(value: float) -> float:
        allowed = norm.isf(alpha / 2) * null_deviation(champion, challenger, value, "diff") + correction
        return abs(found - value) - float(allowed)

    return roots_around(found, beyond, -1.0, 1.0)


def ratio_interval(
    champion: Share, challenger: Share, *, alpha: float = 0.05, corrected: bool = True
) -> Interval | None:
    """Interval of challenger / champion - 1, by inversion; None where nobody of the champion's did it."""
    if champion.converted == 0:
        return None
    found = challenger.value / champion.value

    def beyond(ratio: float) -> float:
        correction = (ratio / champion.users + 1 / challenger.users) / 2 if corrected else 0.0
        allowed = norm.isf(alpha / 2) * null_deviation(champion, challenger, ratio, "ratio") + correction
        return abs(challenger.value - ratio * champion.value) - float(allowed)

    return interval_of_ratios(found, beyond)


def null_deviation(champion: Share, challenger: Share, value: float, compare: str) -> float:
    """Of challenger - champion - value, or challenger - value * champion, if `value` were the true one."""
    if compare == "ratio" and value == 0:  # nobody of the challenger's would do it, and nothing would vary
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):  # at the ends a variance may be 0 or -1e-19
        result = score_test_proportions_2indep(
            challenger.converted,
            challenger.users,
            champion.converted,
            champion.users,
            value=value,
            compare=compare,
            correction=False,
        )
    variance = float(result.variance)
    return sqrt(variance) if isfinite(variance) and variance > 0 else 0.0


def _aggregates(share: Share) -> Aggregates:
    return Aggregates(count_=share.users, mean_={_COLUMN: share.value})
