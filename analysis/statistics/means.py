"""Two means per user, or two ratios of them: Welch's t test, with a covariate where there is one.

All of it is tea-tasting's, on counts, means, variances and covariances per arm; a ratio such as "value per
request" gets its variance by the delta method, because the user is the unit and not the request.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import RatioOfMeans

from analysis.statistics.effect import Effect, Interval


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
