"""Shares of requests with intervals that know that requests of one user hang together."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """`hits` of `total`.

    Attributes:
        design: how many times the variance is that of as many requests of as many users; 1 or more.
    """

    hits: int
    total: int
    design: float = 1.0

    @property
    def value(self) -> float:
        """Between 0 and 1; NaN of nothing."""
        return self.hits / self.total if self.total else nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's at 95%, of as many independent requests as these are worth; (0, 1) of nothing."""
        if not self.total:
            return 0.0, 1.0
        low, high = proportion_confint(
            self.hits / self.design, self.total / self.design, alpha=1 - CONFIDENCE, method="wilson"
        )
        return float(low), float(high)

    @property
    def others(self) -> "Rate":
        """What did not hit."""
        return Rate(self.total - self.hits, self.total, self.design)


@dataclass(frozen=True)
class Clusters:
    """Sums over users of a quantity y per request and of n, their numbers of requests.

    Attributes:
        users: how many.
        n, y: sums.
        nn, ny, yy: sums of the products.
    """

    users: int
    n: float
    y: float
    nn: float
    ny: float
    yy: float

    @property
    def variance(self) -> float:
        """Of the mean y / n, users being independent and their requests not: that of a ratio."""
        if not self.n:
            return nan
        mean = self.y / self.n
        return max(self.yy - 2 * mean * self.ny + mean * mean * self.nn, 0.0) / self.n**2

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, at 95%, normal."""
        reach = float(norm.isf((1 - CONFIDENCE) / 2)) * sqrt(self.variance) if self.n else nan
        mean = self.y / self.n if self.n else nan
        return mean - reach, mean + reach

    def design(self, single: float) -> float:
        """The design effect against `single`, the variance of one request; never below 1."""
        alone = single / self.n if self.n else 0.0
        return max(self.variance / alone, 1.0) if alone > 0 else 1.0


def difference_p(one: Rate, rest: Rate) -> float:
    """Two-sided p of two shares being equal: pooled z test; with the design effect of `one`."""
    total = one.total + rest.total
    if not one.total or not rest.total:
        return 1.0
    pooled = (one.hits + rest.hits) / total
    variance = pooled * (1 - pooled) * (1 / one.total + 1 / rest.total) * one.design
    if variance <= 0:
        return 1.0
    return float(2 * norm.sf(abs(one.value - rest.value) / sqrt(variance)))


def trend_p(hits: Sequence[int], totals: Sequence[int], design: float = 1.0) -> float:
    """Two-sided p of no trend in shares over evenly spaced days: Cochran and Armitage's test."""
    a, n = np.asarray(hits, dtype=float), np.asarray(totals, dtype=float)
    if len(a) < 2 or not n.sum():
        return 1.0
    day, share = np.arange(len(a), dtype=float), a.sum() / n.sum()
    centred = day - float((n * day).sum() / n.sum())
    variance = share * (1 - share) * float((n * centred**2).sum()) * design
    if variance <= 0:
        return 1.0
    return float(2 * norm.sf(abs(float((centred * a).sum())) / sqrt(variance)))
