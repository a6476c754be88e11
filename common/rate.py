"""A share of things that happened, with what chance leaves open about it. Pure."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Z: Final = NormalDist().inv_cdf(0.975)
Numbers = TypeVar("Numbers", float, NDArray[np.float64])


@dataclass(frozen=True)
class Rate:
    """How often something happened, with a 95% interval."""

    hits: int
    runs: int

    @property
    def share(self) -> float:
        """Of the runs."""
        return self.hits / self.runs if self.runs else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval, at 95%."""
        if not self.runs:
            return 0.0, 1.0
        low, high = wilson(self.share, float(self.runs))
        return max(low, 0.0), min(high, 1.0)


def wilson(share: Numbers, runs: Numbers) -> tuple[Numbers, Numbers]:
    """Wilson's interval at 95% for each share of so many runs, of which there are some.

    Rounding may take it the last digit beyond 0 or 1.
    """
    middle = (share + Z * Z / (2 * runs)) / (1 + Z * Z / runs)
    spread = (share * (1 - share) / runs + (Z / (2 * runs)) ** 2) ** 0.5
    half = Z * spread / (1 + Z * Z / runs)
    return middle - half, middle + half
