"""Shares of requests, with intervals that know that requests of one user hang together, and distributions.

All from counts and sums that the engine made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwo, norm
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics.proportions import Share, p_value

CONFIDENCE = 0.95
BINS = 10  # of the population stability index, as who uses it expects


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
    """Two-sided p of two shares being equal: z test or exact; with the design effect of `one`."""
    if not one.total or not rest.total:
        return 1.0
    pair = Share(one.hits, one.total), Share(rest.hits, rest.total)
    return p_value([pair], corrected=False, design=one.design)


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


def ks_p(distance: float, first: int, second: int) -> float:
    """Chance of a Kolmogorov-Smirnov distance as great as this or greater, both samples being alike.

    The limit distribution with the effective size, as scipy.stats.ks_2samp has it for large samples. It
    takes the samples as independent. Two models that answer the same requests are not, so the true chance is
    smaller still: what it calls different is different, and what it calls alike need not be.

    Args:
        distance: the greatest distance of both cumulative distributions, 0 to 1.
        first, second: sizes of the samples.
    """
    if not first or not second:
        return 1.0
    return float(np.clip(kstwo.sf(distance, np.round(first * second / (first + second))), 0, 1))


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Population stability index: sum of (a - e) * ln(a / e) over bins, a and e being shares.

    Half an observation is added to each bin, so that an empty one does not make it infinite.
    Custom has it that 0.1 is a small change and 0.25 a great one.

    Args:
        expected, actual: counts in the same bins.
    """
    e, a = (np.asarray(each, dtype=float) + 0.5 for each in (expected, actual))
    e, a = e / e.sum(), a / a.sum()
    return float(np.sum((a - e) * np.log(a / e)))


def merged(counts: Sequence[int], ends: Sequence[int]) -> NDArray[np.int64]:
    """Fine bins put together: up to each of `ends`, exclusive; the last of them is len(counts)."""
    cumulative = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
    return np.asarray(np.diff(cumulative[[0, *ends]]), dtype=np.int64)


def tenths(counts: Sequence[int], bins: int = BINS) -> tuple[int, ...]:
    """Ends of bins that hold about a tenth of `counts` each; fewer where a fine bin holds more than that."""
    cumulative = np.cumsum(np.asarray(counts, dtype=float))
    if not len(cumulative) or not cumulative[-1]:
        return (len(counts),)
    cuts = np.searchsorted(cumulative, cumulative[-1] * np.arange(1, bins) / bins) + 1
    return tuple(sorted({*(int(cut) for cut in cuts), len(counts)}))
