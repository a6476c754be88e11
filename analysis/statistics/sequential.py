"""A reading of two arms that holds whenever, and however often, one looks.

The difference of two means, over its variance, behaves like a sum of independent normal numbers; the mixture
of all their drifts under a normal distribution is an e-process, and the differences that it does not reject
are a confidence sequence: the true one is in ALL its intervals with a chance of 1 - alpha.

Information is 1 / variance of the difference. It plays the part of time: it grows as users come. That
variance is taken under the difference in question, from both arms together: a small arm that has not yet met
its rare and large values has too small a mean AND too small a variance. With variances of their own, 8-29% of
canaries of 5% "find" a difference that is none (docs/decisions/0021-ab-test.md).

Asymptotic: it needs the central limit theorem, so a reading begins at LEAST_USERS an arm.

Sources: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
(Annals of Statistics 2021), for the mixture and its tuning; Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics 2024), for its
use on averages with an estimated variance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log, sqrt

import numpy as np
from numpy.typing import NDArray

from analysis.metric import Kind
from analysis.statistics.effect import Effect, Interval, Sample, interval_of_ratios, roots_around, weights
from analysis.statistics.proportions import Share, Strata, deviation, least_expected, levels

Values = NDArray[np.float64] | np.float64
LEAST_USERS = 100
"""Of each arm, for a first reading."""
LEAST_EVENTS = 5
"""Expected in the smaller arm, of the rarer of "did" and "did not", for a first reading of a share."""


@dataclass(frozen=True)
class Planned:
    """What the evidence is tuned to: the arms at the planned end, and the variance from user to user."""

    champion: int
    challenger: int
    variance: float

    def error(self, factor: float = 1.0) -> float:
        """Variance of challenger - factor * champion at the planned end, if that is 0."""
        return factor**2 * self.variance * (1 / self.challenger + 1 / self.champion)


def mixing(v_opt: float, alpha: float) -> float:
    """The variance of the mixture for which a bound is nearly the tightest at `v_opt`."""
    return v_opt / (2 * log(1 / alpha) + log(1 + 2 * log(1 / alpha)))


def two_sided_bound(v: float, v_opt: float, alpha: float) -> float:
    """What a sum of variance `v` exceeds, on either side and ever, with a chance of at most `alpha`."""
    rho = mixing(v_opt, alpha)
    return sqrt((v + rho) * log((v + rho) / (rho * alpha**2)))


def log_e(difference: Values, error: Values, planned_error: float, alpha: float) -> Values:
    """Evidence that a difference of means is not 0; the natural logarithm of e, (...) for (...).

    Args:
        difference: as found.
        error: its variance now.
        planned_error: its variance at the planned end; evidence is tuned to that moment.
        alpha: what the evidence is tuned to, too.
    """
    information, rho = 1 / error, mixing(1 / planned_error, alpha)
    total = information + rho
    result: Values = 0.5 * np.log(rho / total) + (difference * information) ** 2 / (2 * total)
    return result


def compare(
    strata: Sequence[tuple[Sample, Sample]], kind: Kind, planned: Planned, *, alpha: float = 0.05
) -> Effect:
    """Two arms in one measure: the confidence sequence's intervals at this moment, and p = 1 / e.

    Of strata (stages of a ramp) the differences are weighted by `effect.weights`: within a stage the share
    stays, so that what its users add is independent of those before, and so is the sum.

    Args:
        strata: champion and challenger: users whose outcomes are all in, in the order in which they came.
    """
    if kind is Kind.PROPORTION:
        return compare_shares([(Share.of(a), Share.of(b)) for a, b in strata], planned, alpha=alpha)
    return compare_means(strata, planned, alpha=alpha)


def compare_means(
    strata: Sequence[tuple[Sample, Sample]], planned: Planned, *, alpha: float = 0.05
) -> Effect:
    """Two means; the variance is the larger of that of the arms apart and of both together."""
    sizes = [(champion.users, challenger.users) for champion, challenger in strata]
    shares = weights(sizes)

    def error(difference: float, factor: float = 1.0) -> float:
        """Variance of challenger - factor * champion, if that were `difference`."""
        return sum(
            share**2 * _error_of_means(*pair, difference, factor)
            for share, pair in zip(shares, strata, strict=True)
        )

    smaller = min(map(sum, zip(*sizes, strict=True)))
    levels = [
        sum(share * pair[arm].mean for share, pair in zip(shares, strata, strict=True)) for arm in (0, 1)
    ]
    blank = _blank(levels, Interval(-inf, inf), len(strata))
    enough = smaller >= LEAST_USERS and error(0.0) > 0
    return _compare(blank, error, planned, alpha) if enough else blank


def _error_of_means(champion: Sample, challenger: Sample, difference: float, factor: float) -> float:
    n1, n0 = challenger.users, champion.users
    off = challenger.mean - factor * champion.mean - difference
    squares = (n1 - 1) * challenger.variance + (n0 - 1) * factor**2 * champion.variance
    together = (squares + off**2 * n1 * n0 / (n1 + n0)) / (n1 + n0) * (1 / n1 + 1 / n0)
    return max(together, challenger.error + factor**2 * champion.error)


def compare_shares(strata: Strata, planned: Planned, *, alpha: float = 0.05) -> Effect:
    """Two shares: as `compare_means`; the variance is that of the score test."""

    def error(difference: float, factor: float = 1.0) -> float:
        if factor == 1:  # also for the ratio, whose test this is there
            return deviation(strata, difference, "diff") ** 2
        return deviation(strata, factor, "ratio") ** 2

    smaller = min(sum(pair[arm].users for pair in strata) for arm in (0, 1))
    blank = _blank(levels(strata), Interval(-1.0, 1.0), len(strata))
    enough = smaller >= LEAST_USERS and least_expected(strata) >= LEAST_EVENTS
    return _compare(blank, error, planned, alpha) if enough else blank


def _blank(found: Sequence[float], possible: Interval, strata: int) -> Effect:
    """Before there is anything to say; `found` are the levels of champion and challenger."""
    champion, challenger = found
    test = "any time" + (", by stage" if strata > 1 else "")
    return Effect(test, champion, challenger, challenger - champion, 1.0, possible, None)


def _compare(blank: Effect, error: Callable[..., float], planned: Planned, alpha: float) -> Effect:
    found = blank.difference

    def beyond(difference: float) -> float:
        return abs(found - difference) - _reach(error(difference), planned.error(), alpha)

    around = 10 * _reach(error(found), planned.error(), alpha)
    low, high = max(blank.absolute.low, found - around), min(blank.absolute.high, found + around)
    evidence = float(log_e(np.float64(found), np.float64(error(0.0)), planned.error(), alpha))
    return replace(
        blank,
        p=min(1.0, exp(-max(evidence, 0.0))),
        absolute=roots_around(found, beyond, low, high),
        relative=_relative(blank, error, planned, alpha),
    )


def _relative(blank: Effect, error: Callable[..., float], planned: Planned, alpha: float) -> Interval | None:
    """All r for which challenger - (1 + r) * champion is not seen to differ from 0."""
    if blank.champion <= 0 or blank.challenger < 0:
        return None

    def beyond(factor: float) -> float:
        reach = _reach(error(0.0, factor), planned.error(factor), alpha)
        return abs(blank.challenger - factor * blank.champion) - reach

    return interval_of_ratios(blank.challenger / blank.champion, beyond)


def _reach(error: float, planned_error: float, alpha: float) -> float:
    """Half the width of the interval of a difference whose variance is `error`; 0 where nothing can vary."""
    if min(error, planned_error) <= 0:
        return 0.0
    return two_sided_bound(1 / error, 1 / planned_error, alpha) * error
