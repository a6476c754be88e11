"""What a comparison of two arms comes to, whichever test made it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from scipy.optimize import brentq

_MOST = 1e6  # a larger ratio is told as infinite


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
