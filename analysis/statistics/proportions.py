"""Two shares: the z test, or an exact one where counts are small, and the intervals that go with them.

Each takes one pair of arms, or several that were compared side by side (stages of a ramp, strata): then what
is summed is the difference of each stratum, by the weights of Mantel and Haenszel, users * users / all users,
which depend on no outcome (Cochran, "Some Methods for Strengthening the Common chi-squared Tests", Biometrics
1954; Mantel, Haenszel, "Statistical Aspects of the Analysis of Data From Retrospective Studies", Journal of
the National Cancer Institute 1959). Of one pair it is the usual test.

z test: pooled variance in each stratum, with or without continuity correction; of one pair it is that of
scipy and tea-tasting, which overflows where one arm has few users. The intervals hold every difference, or
ratio, that the same test would not reject, with the variance under that null hypothesis (Miettinen, Nurminen,
"Comparative analysis of two rates", Statistics in Medicine 1985; by strata Klingenberg, "A new and improved
confidence interval for the Mantel-Haenszel risk difference", Statistics in Medicine 2014), so that p < alpha
and "0 is outside" are the same statement, also with the correction. Without it these are the score intervals
(Mee; Koopman).

Exact: where fewer than SMALL are expected in a cell, see analysis.statistics.exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, copysign, cos, pi, sqrt
from typing import Self

from scipy.stats import norm

from analysis.statistics.effect import Effect, Interval, Sample, interval_of_ratios, roots_around
from analysis.statistics.exact import Counts, exact_p, smallest_expected

SMALL = 5.0
"""Expected users of a cell: with fewer the normal approximation is no good (Cochran 1954)."""
EXACT = "Fisher's exact test"
_BESIDE_ZERO = 1e-9


@dataclass(frozen=True)
class Share:
    """How many of the users of an arm did it. There is at least one user."""

    converted: int
    users: int

    @classmethod
    def of(cls, sample: Sample) -> Self:
        """Of users whose measure is 1 or 0."""
        return cls(round(sample.mean * sample.users), sample.users)

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return self.converted / self.users


Strata = Sequence[tuple[Share, Share]]
"""Champion and challenger of each stratum; both have users."""


def p_value(strata: Strata, *, corrected: bool = True, design: float = 1.0) -> float:
    """Two-sided: exact where `small`, else the z test; 1 where nobody or everybody did it.

    Args:
        corrected: for continuity, in the z test.
        design: how many times the variance is that of as many independent users; 1 or more.
    """
    counts = _counts(strata, design)
    if smallest_expected(counts) < SMALL:
        return exact_p(counts)
    off = abs(sum(_weight(pair) * (pair[1].value - pair[0].value) for pair in strata))
    variance = sum(_weight(pair) ** 2 * null_deviation(*pair, 0.0, "diff") ** 2 for pair in strata) * design
    return min(1.0, 2 * float(norm.sf(max(off - corrected / 2, 0.0) / sqrt(variance))))


def small(strata: Strata) -> bool:
    """Whether the exact test decides; that depends on how many did it in all, and not on the arms."""
    return least_expected(strata) < SMALL


def least_expected(strata: Strata) -> float:
    """Users of the smallest cell, if the arms are alike."""
    return smallest_expected(_counts(strata))


def compare(champion: Share, challenger: Share, *, alpha: float = 0.05, corrected: bool = True) -> Effect:
    """The test that fits the counts, and both intervals at 1 - alpha."""
    return compare_strata([(champion, challenger)], alpha=alpha, corrected=corrected)


def compare_strata(strata: Strata, *, alpha: float = 0.05, corrected: bool = True) -> Effect:
    """The same of strata; levels are those of the strata by the weights of the test.

    With the exact test the intervals are those of the z test without correction, but for 0 itself: whether
    that is inside is what the exact test says.
    """
    p, exact = p_value(strata, corrected=corrected), small(strata)
    corrected = corrected and not exact
    absolute = difference_interval(strata, alpha=alpha, corrected=corrected)
    relative = ratio_interval(strata, alpha=alpha, corrected=corrected)
    champion, challenger = levels(strata)
    if exact:
        absolute = _agreeing(absolute, challenger - champion, rejected=p <= alpha)
        relative = relative and _agreeing(relative, challenger - champion, rejected=p <= alpha)
    test = EXACT if exact else "z test" + (", corrected" if corrected else "")
    return Effect(
        test=test + (", by stage" if len(strata) > 1 else ""),
        champion=champion,
        challenger=challenger,
        difference=challenger - champion,
        p=p,
        absolute=absolute,
        relative=relative,
    )


def difference_interval(strata: Strata, *, alpha: float = 0.05, corrected: bool = True) -> Interval:
    """Interval of challenger - champion, by inversion of the z test."""
    champion, challenger = levels(strata)
    found = challenger - champion
    correction = 0.5 / sum(map(_weight, strata)) if corrected else 0.0

    def beyond(value: float) -> float:
        allowed = norm.isf(alpha / 2) * deviation(strata, value, "diff") + correction
        return abs(found - value) - float(allowed)

    return roots_around(found, beyond, -1.0, 1.0)


def ratio_interval(strata: Strata, *, alpha: float = 0.05, corrected: bool = True) -> Interval | None:
    """Interval of challenger / champion - 1, by inversion; None where nobody of the champion's did it."""
    champion, challenger = levels(strata)
    if champion == 0:
        return None
    total = sum(map(_weight, strata))
    # Half a user, as where both are alike: so many users of the other arm does one of this arm stand for.
    halves = [(_weight(pair) / pair[0].users / 2, _weight(pair) / pair[1].users / 2) for pair in strata]
    ours, theirs = (sum(each) / len(strata) / total for each in zip(*halves, strict=True))

    def beyond(ratio: float) -> float:
        correction = ratio * ours + theirs if corrected else 0.0
        allowed = norm.isf(alpha / 2) * deviation(strata, ratio, "ratio") + correction
        return abs(challenger - ratio * champion) - float(allowed)

    return interval_of_ratios(challenger / champion, beyond)


def deviation(strata: Strata, value: float, compare: str) -> float:
    """`null_deviation` of the weighted mean over strata."""
    total = sum(map(_weight, strata))
    return sqrt(sum((_weight(pair) * null_deviation(*pair, value, compare)) ** 2 for pair in strata)) / total


def _weight(pair: tuple[Share, Share]) -> float:
    champion, challenger = pair
    return champion.users * challenger.users / (champion.users + challenger.users)


def levels(strata: Strata) -> tuple[float, float]:
    """Of champion and challenger: the means over strata."""
    if len(strata) == 1:
        ((champion, challenger),) = strata
        return champion.value, challenger.value
    total = sum(map(_weight, strata))
    champion_level, challenger_level = (
        sum(_weight(pair) * pair[arm].value for pair in strata) / total for arm in (0, 1)
    )
    return champion_level, challenger_level


def _counts(strata: Strata, design: float = 1.0) -> list[Counts]:
    return [
        Counts(
            *(round(each.converted / design) for each in pair), *(round(each.users / design) for each in pair)
        )
        for pair in strata
    ]


def _agreeing(interval: Interval, found: float, *, rejected: bool) -> Interval:
    """With 0 in it if and only if that is not rejected."""
    if not rejected:
        return Interval(min(interval.low, 0.0), max(interval.high, 0.0))
    if 0 not in interval:
        return interval
    if found > 0:
        return Interval(min(_BESIDE_ZERO, found), interval.high)
    return Interval(interval.low, max(-_BESIDE_ZERO, found))


def null_deviation(champion: Share, challenger: Share, value: float, compare: str) -> float:
    """Of challenger - champion - value, or challenger - value * champion, if `value` were the true one.

    Args:
        compare: "diff" or "ratio".
    """
    if compare == "diff":
        theirs = _champion_if_difference(champion, challenger, value)
        return sqrt(_variance(theirs, champion.users) + _variance(theirs + value, challenger.users))
    theirs = _champion_if_ratio(champion, challenger, value)
    return sqrt(value**2 * _variance(theirs, champion.users) + _variance(value * theirs, challenger.users))


def _variance(share: float, users: int) -> float:
    inside = min(max(share, 0.0), 1.0)
    return inside * (1 - inside) / users


def _champion_if_difference(champion: Share, challenger: Share, value: float) -> float:
    """The champion's most likely share if the challenger's is larger by `value`: a root of a cubic.

    Appendix I of the reference. statsmodels 0.15 (`score_test_proportions_2indep`) has the champion's users
    who did it where the reference has all of its users, in the linear coefficient: for shares near 1 there is
    hardly a difference, for small ones its intervals are wrong or NaN.
    """
    n0, n = champion.users, champion.users + challenger.users
    done = champion.converted + challenger.converted
    cubic, square = float(n), (challenger.users + 2 * n0) * value - n - done
    linear = (n0 * value - n - 2 * champion.converted) * value + done
    constant = champion.converted * value * (1 - value)
    third = square / (3 * cubic)
    q = third**3 - linear * square / (6 * cubic**2) + constant / (2 * cubic)
    p = copysign(sqrt(max(third**2 - linear / (3 * cubic), 0.0)), q)
    angle = (pi + acos(min(max(q / p**3, -1.0), 1.0))) / 3 if p else 0.0
    return 2 * p * cos(angle) - third


def _champion_if_ratio(champion: Share, challenger: Share, value: float) -> float:
    """The champion's most likely share if the challenger's is `value` times as large."""
    users, done = champion.users + challenger.users, champion.converted + challenger.converted
    if value == 0:
        return champion.value
    square = users * value
    linear = (challenger.users + champion.converted) * value + challenger.converted + champion.users
    return (linear - sqrt(max(linear**2 - 4 * square * done, 0.0))) / (2 * square)
