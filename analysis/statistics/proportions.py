"""Two shares: the z test, with and without continuity correction, and the intervals that it inverts to.

The p-value is scipy's, and equal to tea-tasting's, which overflows where one arm has few users. The intervals
hold every difference, or ratio, that the same test would not reject, with the variance under that null
hypothesis (Miettinen, Nurminen, "Comparative analysis of two rates", Statistics in Medicine 1985), so that
p < alpha and "0 is outside" are the same statement, also with the correction. Without it these are the score
intervals (Mee; Koopman).
"""

from dataclasses import dataclass
from math import acos, copysign, cos, pi, sqrt

from scipy.stats import chi2_contingency, norm

from analysis.statistics.effect import Effect, Interval, interval_of_ratios, roots_around


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
    table = [[each.converted, each.users - each.converted] for each in (champion, challenger)]
    return float(chi2_contingency(table, correction=corrected).pvalue)


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
