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


def wilson(share: Numbers, runs: Numbers, errors: Numbers | float = Z) -> tuple[Numbers, Numbers]:
    """Wilson's interval for each share of so many runs, of which there are some; at 95% unless told.

    Rounding may take it the last digit beyond 0 or 1.

    Args:
        errors: standard errors to each side.
    """
    squared = errors * errors
    middle = (share + squared / (2 * runs)) / (1 + squared / runs)
    spread = (share * (1 - share) / runs + squared / (4 * runs * runs)) ** 0.5
    half = errors * spread / (1 + squared / runs)
    return middle - half, middle + half
