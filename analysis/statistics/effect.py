"""What goes into a comparison of two arms and what comes of it, whichever test makes it; many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests

_MOST = 1e6  # a larger ratio is told as infinite


@dataclass(frozen=True)
class Sample:
    """Users of an arm, or of a part of it: mean and variance (n - 1) of a measure from user to user."""

    users: int
    mean: float
    variance: float

    @property
    def error(self) -> float:
        """Variance of the mean; infinite of less than two users."""
        return self.variance / self.users if self.users > 1 else inf


def pooled(samples: Sequence[Sample]) -> Sample:
    """All of them as one: counts, means and sums of squares add up."""
    users = sum(each.users for each in samples)
    if not users:
        return Sample(0, 0.0, 0.0)
    mean = sum(each.users * each.mean for each in samples) / users
    squares = sum(
        (each.users - 1) * each.variance + each.users * (each.mean - mean) ** 2
        for each in samples
        if each.users
    )
    return Sample(users, mean, squares / (users - 1) if users > 1 else 0.0)


def weights(users: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """Of strata, by users of champion and challenger: n1 * n0 / (n1 + n0) (Mantel, Haenszel), over their sum.

    They are what the variance of a difference goes by where all strata vary alike, and depend on no outcome:
    by inverse variances a small arm that has not met its rare and large values would count for too much.
    """
    raw = [n0 * n1 / (n0 + n1) for n0, n1 in users]
    return tuple(each / sum(raw) for each in raw)


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`; either may be infinite."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """How far the ends are apart."""
        return self.high - self.low


@dataclass(frozen=True)
class Effect:
    """Challenger against champion.

    Attributes:
        test: name of the test that `p` and `absolute` are of.
        champion, challenger: the measure in each arm: a share, a mean, or outcomes per user.
        difference: challenger minus champion; with a covariate, after its part is taken out.
        p: two-sided. For a sequential reading 1 / e: valid at any time.
        absolute: interval of the difference; without 0 where p is below alpha.
        relative: interval of challenger / champion - 1; None where there is none (the champion has nothing).
    """

    test: str
    champion: float
    challenger: float
    difference: float
    p: float
    absolute: Interval
    relative: Interval | None

    @property
    def relative_difference(self) -> float | None:
        """challenger / champion - 1; None where the champion has nothing."""
        return self.difference / self.champion if self.champion > 0 else None


def roots_around(inside: float, beyond: Callable[[float], float], lowest: float, highest: float) -> Interval:
    """The values around `inside` that a test does not reject: an interval by inversion.

    Args:
        inside: a value that is not rejected.
        beyond: the test's statistic minus its critical value: above 0 where a value is rejected.
        lowest, highest: where the search ends; such an end is its own limit if it is not rejected.
    """

    def limit(end: float) -> float:
        if end == inside or beyond(end) <= 0:
            return end
        # All of one arm and none of the other: the statistic and its limit are both 0 at `inside` itself.
        beside = inside + (end - inside) * 1e-9
        start = beside if beyond(beside) < 0 else inside
        return float(brentq(beyond, min(start, end), max(start, end), xtol=1e-12))

    return Interval(limit(lowest), limit(highest))


def interval_of_ratios(found: float, beyond: Callable[[float], float]) -> Interval:
    """`roots_around` for a ratio that is 0 or more, told as ratio - 1.

    Args:
        found: the ratio as it is in the arms.
        beyond: as for `roots_around`, of ratios.
    """
    most = max(found, 1.0)
    while beyond(most) <= 0 and most < _MOST:
        most *= 2
    limits = roots_around(found, beyond, 0.0, most)
    return Interval(limits.low - 1, limits.high - 1 if most < _MOST else inf)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: the chance of even one false alarm among them all stays below the level.

    Nothing is assumed of how the comparisons hang together, and segments do: each user is in several.
    """
    return _adjusted(p, "holm")


def holm_of(p: Sequence[float], family: int) -> tuple[float, ...]:
    """Holm of a family that is larger than what was compared yet: the others have p = 1.

    With p-values that are valid at any time and a family that was fixed before, it holds at all times
    together: at the first false alarm, whenever that is, p of one of m true hypotheses is below level / m,
    and the chance that one of m ever is so small is the level at most.
    """
    return holm([*p, *[1.0] * (family - len(p))])[: len(p)]


def benjamini_hochberg(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: of those below the level, so large a share is false, in the mean."""
    return _adjusted(p, "fdr_bh")


def interval_alpha(alpha: float, comparisons: int) -> float:
    """Of each interval, so that all of them hold together with a chance of 1 - alpha (Bonferroni).

    Holm's steps have no intervals that promise that and still say how large an effect is; so in a narrow case
    Holm finds a segment whose interval just reaches 0.
    """
    return alpha / max(comparisons, 1)


def _adjusted(p: Sequence[float], method: str) -> tuple[float, ...]:
    if not p:
        return ()
    return tuple(float(each) for each in multipletests(list(p), method=method)[1])
