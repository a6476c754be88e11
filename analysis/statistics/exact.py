"""Fisher's exact test of two shares, of one pair of arms or of strata that were compared side by side.

Given how many users did it in all, the number of the challenger's among them has, where the arms are alike,
a hypergeometric distribution: nothing is approximated, however few they are. Over strata the numbers add up,
so their distributions are convolved: the exact form of the Mantel-Haenszel test (Mehta, Patel, Gray,
"Computing an Exact Confidence Interval for the Common Odds Ratio in Several 2 x 2 Contingency Tables",
Journal of the American Statistical Association 1985). Two-sided is everything that is no more likely than
what was found, as in scipy.

Not mid-p: that finds more, and is false a little more often than the level where an arm is small; and the
corrected z test, by which N is planned, is the approximation of this one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

_ALIKE = 1 + 1e-7  # as likely but for rounding
_NEVER = 1e-25


class Counts(NamedTuple):
    """A stratum: how many did it, and how many users there are, of champion and challenger."""

    champion: int
    challenger: int
    champion_users: int
    challenger_users: int

    @property
    def did(self) -> int:
        """In both arms."""
        return self.champion + self.challenger

    @property
    def users(self) -> int:
        """Of both arms."""
        return self.champion_users + self.challenger_users

    @property
    def least(self) -> int:
        """Of the challenger's who did it, for so many in all."""
        return max(0, self.did - self.champion_users)

    @property
    def most(self) -> int:
        """The same."""
        return min(self.did, self.challenger_users)

    @property
    def expected(self) -> float:
        """Of the challenger's who did it, if the arms are alike."""
        return self.did * self.challenger_users / self.users if self.users else 0.0


def smallest_expected(strata: Sequence[Counts]) -> float:
    """How far the expected number is from the ends of what is possible; of one stratum: the smallest cell.

    Mantel, Fleiss, "Minimum expected cell size requirements for the Mantel-Haenszel one-degree-of-freedom
    chi-square test and a related rapid procedure", American Journal of Epidemiology 1980.
    """
    expected = sum(each.expected for each in strata)
    return min(expected - sum(each.least for each in strata), sum(each.most for each in strata) - expected)


def exact_p(strata: Sequence[Counts]) -> float:
    """Two-sided p of arms that are alike in every stratum."""
    start, likely = 0, np.ones(1)
    for each in strata:
        if each.least < each.most:
            first, chances = _chances(each)
            start, likely = start + first, np.convolve(likely, chances)
        else:
            start += each.least
    found = sum(each.challenger for each in strata) - start
    if not 0 <= found < len(likely):  # beyond what is computed at all
        return _NEVER
    return min(1.0, float(likely[likely <= likely[found] * _ALIKE].sum()))


def _chances(of: Counts) -> tuple[int, NDArray[np.float64]]:
    """The challenger's numbers that are not quite impossible: the first, and the chances from it on."""
    numbers = np.arange(of.least, of.most + 1)
    # Hypergeometric; scipy.stats has the same at a hundred times the time.
    chances = np.exp(
        _log_ways(of.challenger_users, numbers)
        + _log_ways(of.champion_users, of.did - numbers)
        - _log_ways(of.users, of.did)
    )
    kept = np.flatnonzero(chances > _NEVER)
    return int(numbers[kept[0]]), np.asarray(chances[kept[0] : kept[-1] + 1])


def _log_ways(users: int, did: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Logarithm of the number of ways to take so many of the users."""
    return np.asarray(gammaln(users + 1) - gammaln(np.add(did, 1)) - gammaln(users - np.asarray(did) + 1))
