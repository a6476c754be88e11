"""CUPED: what users did before the test takes away a part of how they differ in it.

Deng, Xu, Kohavi, Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing
Pre-Experiment Data" (WSDM 2013). The test itself is in `analysis.statistics.means`; here is whether there is
anything to use, and what it was worth.
"""

from dataclasses import dataclass

from tea_tasting.aggr import Aggregates

from analysis.statistics.effect import Effect
from analysis.statistics.means import Columns


@dataclass(frozen=True)
class Narrowing:
    """What the covariate did.

    Attributes:
        correlation: between the measure in the test and before it, over both arms.
        width: width of the interval with the covariate, over that without; below 1 is a gain.
    """

    correlation: float
    width: float

    @property
    def users_saved(self) -> float:
        """The share of users that could be left out for an interval as wide as without the covariate."""
        return 1 - self.width**2


def usable(champion: Aggregates, challenger: Aggregates, covariate: str) -> bool:
    """Whether the covariate differs between users at all; that is no look at the effect."""
    return bool((champion + challenger).var(covariate) > 0)


def narrowing(both: Aggregates, columns: Columns, plain: Effect, adjusted: Effect) -> Narrowing:
    """Compare two readings of the same arms, without and with the covariate of `columns`.

    Args:
        both: aggregates of both arms together.
    """
    spread = float(both.var(columns.value) * both.var(columns.covariate)) ** 0.5
    return Narrowing(
        correlation=float(both.cov(columns.value, columns.covariate)) / spread if spread else 0.0,
        width=adjusted.absolute.width / plain.absolute.width if plain.absolute.width else 1.0,
    )
